//! The page in a real Chromium. `target/web-screenshots` has what it looked like.

use crate::browsing::Browser;
use crate::support::directory::Directory;
use crate::support::{Server, command, eventually};
use crate::web::{TOKEN, Web, token_file};
use serde_json::json;

const TAB: &str = "\u{E004}";
const ENTER: &str = "\u{E007}";

fn open(web: &Web) -> Browser {
    let browser = Browser::open(&format!("http://{}/", web.address));
    browser.wait_for_text("#state", "The hub answers");
    browser
}

/// Says something with several priorities.
fn talk(server: &Server) {
    let mut alice = server.connect();
    for line in ["/nick alice", "/low 21.5 C", "door is open", "/high water in the cellar"] {
        alice.ask(line);
    }
}

#[test]
fn page_shows_live_lines_marks_urgent_ones_and_moves_its_plots() {
    let directory = Directory::new("web-live-journal");
    let (server, web) = Web::with_hub(&["--journal", directory.path()], &[]);
    let browser = open(&web);
    talk(&server);
    browser.wait_for_text("#log", "door is open");
    let mut bob = server.connect();
    assert_eq!(bob.ask("/nick bob"), "OK 1");
    assert!(bob.ask("/urgent smoke in the workshop").starts_with("ACK "));
    browser.wait_for_text("#log li.urgent", "URGENT 4 p9 bob smoke in the workshop");
    browser.wait_for_text("#alert", "Urgent, from bob: smoke in the workshop");
    assert!(!browser.text("#log li.urgent").contains("door is open"));
    browser.wait_for_text("#clients", "bob");
    browser.wait_for_text("#waiting", "p99");
    browser.wait_for_text("#journal", "works");
    let line = "return document.querySelector('#plot-rate path.p9')?.getAttribute('d') ?? ''";
    eventually("the plot has a line", || browser.run(line) != "");
    let before = browser.run(line);
    eventually("it moves", || browser.run(line) != before);
    let label = browser.run("return document.querySelector('#plot-latency svg').getAttribute('aria-label')");
    assert!(label.as_str().unwrap().contains("p9"), "{label}");
    browser.screenshot("light");
    assert_eq!(browser.errors(), Vec::<String>::new());
}

#[test]
fn hub_that_is_away_is_said_plainly_and_is_shown_again() {
    let server = Server::start(&[]);
    let address = server.address;
    let web = Web::start(address, &[]);
    let browser = open(&web);
    talk(&server);
    browser.wait_for_text("#log", "door is open");
    server.signal("KILL");
    drop(server);
    browser.wait_for_text("#state", "The hub is away");
    browser.wait_for_text("#uptime", "what is shown is old");
    assert_eq!(browser.run("return document.getElementById('state').getAttribute('role')"), "status");
    browser.screenshot("away");
    let mut command = command();
    command.args(["--listen", &address.to_string()]);
    let server = Server::start_command(command);
    browser.wait_for_text("#state", "The hub answers");
    assert!(server.connect().ask("/urgent again").starts_with("ACK "));
    // Without a journal its IDs begin anew.
    browser.wait_for_text("#log", "URGENT 1 p9");
    browser.wait_for_text("#log", "again");
    // And when the page's own server goes, the page says that.
    drop(web);
    browser.wait_for_text("#state", "firstline-web does not answer");
}

#[test]
fn page_that_gets_no_history_asks_again() {
    let (server, web) = Web::with_hub(&[], &[]);
    server.connect().ask("/urgent smoke");
    let is_there = |point: &serde_json::Value| point["priorities"]["9"]["p99_us"][0].as_u64() > Some(0);
    web.events("").wait_for_event("point", is_there);
    let browser = open(&web);
    // The first two answers are as if others had taken all places for the history.
    let script = "const real = fetch; let asked = 0; fetch = (path, options) =>
        path === '/history' && asked++ < 2 ? Promise.resolve(new Response('', {status: 503})) : real(path, options);";
    browser.devtools("Page.addScriptToEvaluateOnNewDocument", json!({"source": script}));
    browser.go(&format!("http://{}/", web.address));
    browser.wait_for_text("#state", "The hub answers");
    eventually("the history was asked for again", || browser.run("return asked").as_u64() > Some(2));
    let latency = "return document.querySelectorAll('#plot-latency path.p9').length";
    eventually("the plot has what was before", || browser.run(latency) == 1);
}

#[test]
fn line_is_sent_by_keyboard_after_the_token_is_shown() {
    let directory = Directory::new("web-browser-send");
    let (server, web) = Web::with_hub(&[], &["--allow-send", "--viewer-token-file", &token_file(&directory)]);
    let browser = open(&web);
    talk(&server);
    browser.wait_for_text("#unread", "Show the token");
    assert!(browser.is_visible("#login") && !browser.is_visible("#send") && !browser.is_visible("#log"));
    assert!(!browser.text("body").contains("door is open"));
    browser.focus("#token");
    browser.press(&format!("nonsense-nonsense{ENTER}"));
    browser.wait_for_text("#login-result", "wrong token");
    browser.focus("#token");
    browser.press(&format!("{TOKEN}{ENTER}"));
    eventually("it may send", || browser.is_visible("#send"));
    browser.wait_for_text("#log", "door is open");
    let mut reader = server.connect();
    assert_eq!(reader.ask("/join"), "OK 1");
    // 9 chooses the urgent priority, Tab goes on to the text.
    browser.focus("#priority");
    browser.press(&format!("9{TAB}<img src=x> & smoke{ENTER}"));
    assert_eq!(reader.line(), "MSG 4 p9 web <img src=x> & smoke");
    browser.wait_for_text("#send-result", "acknowledged: 4");
    browser.wait_for_text("#log li.urgent", "web <img src=x> & smoke");
    assert_eq!(
        browser.run("return document.images.length + document.scripts.length"),
        1,
        "markup stays text"
    );
    browser.screenshot("sending");
    let errors = browser.errors();
    assert!(errors.iter().all(|error| error.contains("/login") && error.contains("403")), "{errors:?}");
}

#[test]
fn narrow_screen_and_dark_colors_are_readable() {
    let (server, web) = Web::with_hub(&[], &[]);
    let browser = open(&web);
    talk(&server);
    let long = "x".repeat(400);
    assert!(server.connect().ask(&format!("/urgent {long}")).starts_with("ACK "));
    browser.wait_for_text("#log", &long);
    for width in [320, 390, 768, 1400] {
        browser.resize(width, 800);
        let fits = "return document.documentElement.scrollWidth <= window.innerWidth";
        eventually(&format!("nothing is cut off at {width}"), || browser.run(fits) == true);
    }
    browser.resize(390, 844);
    browser.screenshot("narrow");
    let lightness = "return getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)[0]";
    for (scheme, is_dark) in [("light", false), ("dark", true)] {
        browser.set_scheme(scheme);
        assert_eq!(browser.run(lightness).as_u64().unwrap() < 128, is_dark);
        let contrasts = browser.run(CONTRASTS);
        for (pair, contrast) in contrasts.as_object().unwrap() {
            assert!(contrast.as_f64().unwrap() >= 4.5, "{scheme}: {pair} has {contrast}");
        }
    }
    browser.resize(1200, 1000);
    browser.screenshot("dark");
}

/// The contrast of each color of text with what it stands on (WCAG 2, relative luminance); 4.5 is what is asked for.
const CONTRASTS: &str = "
    const style = getComputedStyle(document.documentElement);
    const luminance = name => {
        let hex = style.getPropertyValue(name).trim().slice(1);
        if (hex.length === 3) hex = [...hex].map(c => c + c).join('');
        const [r, g, b] = [0, 2, 4].map(i => parseInt(hex.slice(i, i + 2), 16) / 255)
            .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
        return .2126 * r + .7152 * g + .0722 * b;
    };
    const contrasts = {};
    for (const [text, backs] of [
            ['--text', ['--back', '--panel', '--urgent-back']], ['--faint', ['--back', '--panel', '--urgent-back']],
            ['--urgent', ['--panel', '--back', '--urgent-back']], ['--good', ['--back']], ['--link', ['--back']]]) {
        for (const back of backs) {
            const [low, high] = [luminance(text), luminance(back)].sort((a, b) => a - b);
            contrasts[text + ' on ' + back] = (high + .05) / (low + .05);
        }
    }
    return contrasts;";

#[test]
fn screen_reader_finds_headings_names_and_announcements() {
    let directory = Directory::new("web-reader");
    let (server, web) = Web::with_hub(&[], &["--allow-send", "--viewer-token-file", &token_file(&directory)]);
    let browser = open(&web);
    talk(&server);
    browser.focus("#token");
    browser.press(&format!("{TOKEN}{ENTER}"));
    eventually("it may send", || browser.is_visible("#send"));
    browser.wait_for_text("#log", "door is open");
    browser.wait_for_text("#waiting", "p99");
    browser.wait_for_text("#clients", "web");
    browser.devtools("Accessibility.enable", json!({}));
    let tree = browser.devtools("Accessibility.getFullAXTree", json!({}));
    let nodes: Vec<_> =
        tree["nodes"].as_array().unwrap().iter().filter(|node| node["ignored"] == false).collect();
    let named = |role: &str| -> Vec<String> {
        let of_role = nodes.iter().filter(|node| node["role"]["value"] == role);
        of_role.map(|node| node["name"]["value"].as_str().unwrap_or_default().to_string()).collect()
    };
    let headings = named("heading");
    for heading in
        ["firstline", "Waiting", "Messages", "Send a line", "The last hour", "Connected", "Journal"]
    {
        assert!(headings.iter().any(|found| found == heading), "{heading} in {headings:?}");
    }
    for (role, least) in
        [("image", 3), ("textbox", 1), ("combobox", 1), ("button", 2), ("link", 1), ("list", 1), ("table", 2)]
    {
        let names = named(role);
        assert!(names.len() >= least, "{role}: {names:?}");
        assert!(role == "list" || names.iter().all(|name| !name.is_empty()), "{role}: {names:?}");
    }
    assert!(!named("status").is_empty() && !named("alert").is_empty());
    // Every control is reached by Tab, in order.
    browser.run("document.activeElement.blur()");
    let mut reached = Vec::new();
    for _ in 0..14 {
        browser.press(TAB);
        reached.push(
            browser.run("return document.activeElement.id || document.activeElement.textContent.trim()"),
        );
    }
    for control in ["To the messages", "log", "priority", "text", "Send", "logout"] {
        assert!(reached.iter().any(|id| id == control), "{control} in {reached:?}");
    }
}
