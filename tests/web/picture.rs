//! The picture in deploy/doc/web.md. `tests/web/picture` draws it anew.

use crate::scene::Scene;
use crate::support::eventually;
use crate::web::TOKEN;

#[test]
fn picture_shows_all_parts_of_the_page() {
    let mut scene = Scene::new("web-picture");
    let browser = scene.open();
    browser.focus("#token");
    browser.press(&format!("{TOKEN}\u{E007}"));
    eventually("it may send", || browser.is_visible("#send"));
    // Some points for each plot.
    for points in 2..6 {
        scene.talk();
        let count = "return past.at_s.length";
        eventually("there is another point", || {
            browser.run(count).as_u64().is_some_and(|count| count >= points)
        });
    }
    scene.wait_for_everything(&browser);
    assert_eq!(browser.text("#tasks tbody tr"), "9\t4\t4\t0\t0\t0\t0");
    browser.run("document.activeElement.blur()");
    browser.screenshot("page");
    assert_eq!(browser.errors(), Vec::<String>::new());
}
