//! What viewers get, and how it follows the hub.

use crate::support::directory::Directory;
use crate::support::{Server, command as hub_command, eventually};
use crate::web::{TOKEN, Web, private_file, token_file};
use std::time::{Duration, Instant};

/// A server on an address of its own, so that another can take its place.
fn server_at(address: &str) -> Server {
    let mut command = hub_command();
    command.args(["--listen", address]);
    Server::start_command(command)
}

#[test]
fn page_and_its_head_are_whole() {
    let (_server, web) = Web::with_hub(&[], &[]);
    let page = web.get("/");
    assert_eq!((page.status, page.head["content-type"].as_str()), (200, "text/html; charset=utf-8"));
    assert!(page.body.starts_with("<!doctype html>") && page.body.len() < 60_000);
    for (path, policy) in
        [("/", "script-src 'sha256-"), ("/history", "default-src 'none'"), ("/nothing", "default-src 'none'")]
    {
        let head = web.get(path).head;
        let policy_sent = &head["content-security-policy"];
        assert!(
            policy_sent.contains(policy) && policy_sent.contains("frame-ancestors 'none'"),
            "{policy_sent}"
        );
        assert!(!policy_sent.contains("unsafe"));
        assert_eq!(
            (head["x-content-type-options"].as_str(), head["x-frame-options"].as_str()),
            ("nosniff", "DENY")
        );
        assert!(!head.contains_key("access-control-allow-origin"));
    }
    assert_eq!(web.get("/nothing").status, 404);
    let answer = web.post("/", "", "");
    assert_eq!((answer.status, answer.head["allow"].as_str()), (405, "GET"));
    assert_eq!(web.get("/send").status, 405);
}

#[test]
fn message_and_counters_are_live_within_a_second() {
    let (server, web) = Web::with_hub(&[], &[]);
    let mut events = web.events("");
    events.wait_for_event("stats", |_| true);
    let mut client = server.connect();
    client.ask("/nick alice");
    assert_eq!(client.ask("/urgent smoke in the workshop"), "ACK 2 1");
    let start = Instant::now();
    let batch = events.wait_for_event("messages", |_| true);
    let message = &batch["messages"][0];
    assert_eq!((message["priority"].as_u64(), message["from"].as_str()), (Some(9), Some("alice")));
    assert_eq!(message["text"], "smoke in the workshop");
    events.wait_for_event("stats", |stats| stats["counters"]["p9-processed"] == 1);
    // Generous: a loaded machine may be late, an interval that is too long shows all the same.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let clients = events.wait_for_event("clients", |_| true)["clients"].to_string();
    assert!(clients.contains("alice") && clients.contains("\"web\""), "{clients}");
    // A later viewer gets what was said before.
    let (_, hello) = web.events("").event();
    assert_eq!(hello["messages"][0]["text"], "smoke in the workshop");
}

#[test]
fn history_has_a_point_every_five_seconds() {
    let (server, web) = Web::with_hub(&[], &[]);
    let mut events = web.events("");
    server.connect().ask("/urgent smoke");
    let point =
        events.wait_for_event("point", |point| point["priorities"]["9"]["rate_milli"][0].as_u64() > Some(0));
    assert!(point["priorities"]["9"]["p99_us"][0].as_u64() > Some(0), "{point}");
    let history: serde_json::Value = serde_json::from_str(&web.get("/history").body).unwrap();
    let (at_s, rates) = (&history["at_s"], &history["priorities"]["9"]["rate_milli"]);
    assert_eq!(at_s.as_array().unwrap().len(), rates.as_array().unwrap().len());
    assert!(history["priorities"].get("4").is_none(), "nobody said anything with it: {history}");
}

#[test]
fn hub_that_is_killed_is_told_away_and_found_again_over_one_connection() {
    let server = server_at("127.0.0.1:0");
    let address = server.address;
    let web = Web::start(address, &[]);
    web.wait_until_here();
    let mut viewers: Vec<_> = (0..10).map(|_| web.events("")).collect();
    server.wait_for_stats("there are two clients: web and this one", |stats| stats["clients"] == 2);
    server.signal("KILL");
    drop(server);
    for events in &mut viewers {
        let stats = events.wait_for_event("stats", |stats| stats["is_here"] == false);
        assert!(
            stats["why"].as_str().is_some_and(|why| !why.is_empty())
                && stats["counters"].as_object().unwrap().is_empty()
        );
    }
    assert!(web.get("/metrics").body.contains("\nfirstline_up 0\n"));
    let server = server_at(&address.to_string());
    for events in &mut viewers {
        events.wait_for_event("stats", |stats| stats["is_here"] == true);
    }
    assert_eq!(server.connect().ask("/urgent again"), "ACK 1 1");
    viewers[0].wait_for_event("messages", |batch| batch["messages"][0]["text"] == "again");
    server.wait_for_stats("one connection is there", |stats| stats["clients"] == 2);
}

#[test]
fn without_a_right_there_are_numbers_but_no_names_or_texts() {
    let directory = Directory::new("web-rights");
    let auth = "web 0123456789abcdef 4 join\nalice 0123456789abcdeg 9 join\n";
    let auth = private_file(&directory, "auth", auth);
    let token = private_file(&directory, "hub", "0123456789abcdef");
    let (auth, token) = (auth.to_str().unwrap(), token.to_str().unwrap());
    let (server, web) = Web::with_hub(&["--auth-file", auth], &["--token-file", token]);
    let guarded =
        Web::start(server.address, &["--token-file", token, "--viewer-token-file", &token_file(&directory)]);
    guarded.wait_until_here();
    let (cookie, _) = guarded.log_in();
    let (name, _) = cookie.split_once('=').unwrap();
    let mut viewers = [web.events(""), guarded.events(&format!("{name}=nonsense"))];
    let mut reader = guarded.events(&cookie);
    let mut alice = server.connect();
    assert_eq!(alice.ask("/auth 0123456789abcdeg"), "OK 1 alice");
    assert_eq!(alice.ask("/urgent a secret"), "ACK 2 1");
    reader.wait_for_event("messages", |batch| batch.to_string().contains("a secret"));
    reader.wait_for_event("clients", |clients| clients.to_string().contains("alice"));
    for events in &mut viewers {
        let mut said = String::new();
        let mut count = 0;
        while count < 3 {
            let (name, data) = events.event();
            count += usize::from(name == "stats" && data["counters"]["p9-processed"] == 1);
            said += &format!("{name} {data}\n");
        }
        assert!(!said.contains("secret") && !said.contains("alice") && !said.contains("clients {"), "{said}");
    }
    let answers = ["/", "/history", "/metrics"].map(|path| web.get(path).body).concat();
    assert!(!answers.contains("secret") && !answers.contains("alice"));
    // The form token of the session ends it.
    let (cookie, form_token) = guarded.log_in();
    assert_eq!(guarded.post("/logout", &cookie, &format!("form_token={form_token}")).status, 200);
    let (_, hello) = guarded.events(&cookie).event();
    assert!(hello["rights"]["reads"] == false && hello["messages"].as_array().unwrap().is_empty());
}

#[test]
fn hub_that_wants_a_token_is_told_plainly() {
    let directory = Directory::new("web-no-token");
    let auth = private_file(&directory, "auth", "web 0123456789abcdef 4 no-join\n");
    let server = Server::start(&["--auth-file", auth.to_str().unwrap()]);
    let web = Web::start(server.address, &[]);
    web.wait_for_log("give firstline-web one with --token-file");
    web.events("").wait_for_event("stats", |stats| stats["why"].to_string().contains("--token-file"));
    // With a token that may not read, there are numbers, and the page says why there is no more.
    let token = private_file(&directory, "hub", "0123456789abcdef");
    let web = Web::start(server.address, &["--token-file", token.to_str().unwrap()]);
    web.events("").wait_for_event("stats", |stats| {
        stats["is_here"] == true && stats["unread"].to_string().contains("not for reading")
    });
}

#[test]
fn wrong_token_takes_its_time_and_gives_nothing() {
    let directory = Directory::new("web-wrong");
    let (_server, web) = Web::with_hub(&[], &["--viewer-token-file", &token_file(&directory)]);
    let start = Instant::now();
    for given in ["", "nonsense", &TOKEN[1..], &format!("{TOKEN}x")] {
        let answer = web.post("/login", "", &format!("token={given}"));
        assert_eq!((answer.status, answer.head.get("set-cookie")), (403, None), "{given}");
    }
    assert!(start.elapsed() >= Duration::from_secs(4));
    eventually("the right one is taken", || web.post("/login", "", &format!("token={TOKEN}")).status == 200);
}

#[test]
fn log_without_a_reader_stops_nothing() {
    let server = server_at("127.7.0.9:0");
    let hub = server.address;
    let web = Web::start_without_log_reader(hub);
    let is_up = |value: &str| {
        let metrics = web.get("/metrics").body;
        metrics.lines().any(|line| line == format!("firstline_up {value}"))
    };
    eventually("the hub is here", || is_up("1"));
    server.end();
    eventually("the hub is away", || is_up("0"));
    let _server = server_at(&hub.to_string());
    eventually("the hub is back", || is_up("1"));
}
