//! axe-core finds nothing in the page that keeps people out (https://github.com/dequelabs/axe-core). `tests/stages/web`
//! fetches it.

use crate::browsing::Browser;
use crate::scene::Scene;
use crate::support::eventually;
use std::fs;

const AXE: &str = "target/axe-core-4.14.1/node_modules/axe-core/axe.min.js";

const ENTER: &str = "\u{E007}";

/// The violations that axe finds, and how many of its rules the page passes.
fn examine(browser: &Browser) -> (Vec<String>, u64) {
    let axe = fs::read_to_string(AXE).expect("tests/stages/web fetches axe-core");
    browser.evaluate(&axe);
    let found = browser.evaluate(
        "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})
            .then(r => ({
            passes: r.passes.length,
            violations: r.violations.map(v => `${v.id}: ${v.help}: ${v.nodes.map(n => n.html).join(' | ')}`) }))",
    );
    let violations = found["violations"].as_array().unwrap();
    (violations.iter().map(ToString::to_string).collect(), found["passes"].as_u64().unwrap())
}

fn assert_accessible(browser: &Browser, state: &str) {
    let (violations, passes) = examine(browser);
    assert_eq!(violations, Vec::<String>::new(), "{state}");
    assert!(passes >= 15, "{state}: only {passes} rules apply");
}

#[test]
fn page_violates_no_rule_in_any_state_size_and_color() {
    let mut scene = Scene::new("web-axe");
    let browser = scene.open();
    assert_accessible(&browser, "without the token");
    browser.focus("#token");
    browser.press(&format!("{}{ENTER}", crate::web::TOKEN));
    eventually("it may send", || browser.is_visible("#send"));
    scene.talk();
    scene.wait_for_everything(&browser);
    for scheme in ["light", "dark"] {
        browser.set_scheme(scheme);
        for width in [320, 1200] {
            browser.resize(width, 1000);
            assert_accessible(&browser, &format!("{scheme}, {width} wide"));
        }
    }
    scene.server.signal("KILL");
    browser.wait_for_text("#state", "The hub is away");
    assert_accessible(&browser, "without the hub");
    // And axe does find what is wrong.
    browser.evaluate("document.documentElement.removeAttribute('lang')");
    assert!(examine(&browser).0.iter().any(|found| found.contains("html-has-lang")));
}
