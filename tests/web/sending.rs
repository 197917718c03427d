//! Sending from the page.

use crate::support::Server;
use crate::support::directory::Directory;
use crate::web::{TOKEN, Web, command, token_file};
use std::process::Stdio;

/// A hub, and a page that may send.
fn scene(directory: &Directory) -> (Server, Web) {
    Web::with_hub(&[], &["--allow-send", "--viewer-token-file", &token_file(directory)])
}

#[test]
fn message_is_sent_with_a_session_and_its_form_token_and_not_without() {
    let directory = Directory::new("web-send");
    let (server, web) = scene(&directory);
    let mut reader = server.connect();
    assert_eq!(reader.ask("/join"), "OK 1");
    let (cookie, form_token) = web.log_in();
    let (_, other_form_token) = web.log_in();
    let without_id = format!("{}=", cookie.split_once('=').unwrap().0);
    let fields = "priority=9&text=smoke+%3Cb%3E+%2Furgent";
    for (cookie, form, status) in [
        ("", format!("form_token={form_token}&{fields}"), 401),
        (&without_id, format!("form_token={form_token}&{fields}"), 401),
        (&cookie, fields.to_string(), 403),
        (&cookie, format!("form_token=&{fields}"), 403),
        (&cookie, format!("form_token={other_form_token}&{fields}"), 403),
        (&cookie, format!("form_token={form_token}&priority=10&text=x"), 400),
        (&cookie, format!("form_token={form_token}&priority=9&text="), 400),
        (&cookie, format!("form_token={form_token}&priority=9&text=a%0Ab"), 400),
        (&cookie, format!("form_token={form_token}&priority=9&text={}", "x".repeat(600)), 422),
    ] {
        assert_eq!(web.post("/send", cookie, &form).status, status, "{form}");
    }
    let mut events = web.events(&cookie);
    let answer = web.post("/send", &cookie, &format!("form_token={form_token}&{fields}"));
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"outcome":"acknowledged","text":"1"}"#));
    assert_eq!(reader.line(), "MSG 1 p9 web smoke <b> /urgent");
    // The sender's own page shows it too, though the hub does not send it back.
    events.wait_for_event("messages", |batch| batch["messages"][0]["text"] == "smoke <b> /urgent");
    assert_eq!(web.post("/login", "", &format!("token={TOKEN}")).status, 200);
}

#[test]
fn two_pages_of_one_machine_have_cookies_of_their_own() {
    let directory = Directory::new("web-two-pages");
    let (server, first) = scene(&directory);
    let second = Web::start(server.address, &["--viewer-token-file", &token_file(&directory)]);
    // A browser sends the cookies of all ports of a host, and keeps one of each name.
    let name = |cookie: &str| cookie.split_once('=').unwrap().0.to_string();
    let [first, second] = [first.log_in().0, second.log_in().0];
    assert_ne!(name(&first), name(&second));
}

#[test]
fn sending_is_off_unless_it_is_allowed_and_takes_a_token() {
    let directory = Directory::new("web-send-off");
    let (_server, web) = Web::with_hub(&[], &["--viewer-token-file", &token_file(&directory)]);
    let (cookie, form_token) = web.log_in();
    let answer = web.post("/send", &cookie, &format!("form_token={form_token}&priority=9&text=x"));
    assert_eq!(answer.status, 403);
    assert!(answer.body.contains("--allow-send"));
    let output = command().args(["--allow-send", "127.0.0.1"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--viewer-token-file"));
}

#[test]
fn message_to_a_hub_that_is_away_is_told_not_sent() {
    let directory = Directory::new("web-send-away");
    let (server, web) = scene(&directory);
    let (cookie, form_token) = web.log_in();
    server.signal("KILL");
    drop(server);
    web.events(&cookie).wait_for_event("stats", |stats| stats["is_here"] == false);
    let answer = web.post("/send", &cookie, &format!("form_token={form_token}&priority=9&text=x"));
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (503, r#"{"outcome":"not sent","text":"the hub is away"}"#)
    );
}
