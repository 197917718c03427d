//! The log: its file with dates, silence about connections without a line, and filters.

use crate::support::directory::Directory;
use crate::support::{Client, Server, command, eventually, run_to_end};
use firstline::clock::{Utc, utc_ns};
use firstline::limits::CLIENTS;
use std::fs;
use std::path::Path;
use std::process::Stdio;

/// The address in a log line that says `listening on`.
fn listening(line: &str) -> Option<&str> {
    line.split_once("listening on ").map(|(_, address)| address)
}

// ---- The file ------------------------------------------------------------------------------------------

/// The current time, in the format of the log.
fn now() -> String {
    Utc(utc_ns() / 1_000_000).to_string()
}

#[test]
fn log_file_has_the_date_before_each_line() {
    let directory = Directory::new("log-file");
    fs::create_dir(&directory.0).unwrap();
    let path = directory.0.join("log");
    let before = now();
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--log-file"]).arg(&path);
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let text = || fs::read_to_string(&path).unwrap_or_default();
    eventually("the server listens", || {
        text().ends_with('\n') && text().lines().any(|line| listening(line).is_some())
    });
    let text_then = text();
    let address = text_then.lines().find_map(listening).unwrap().parse().unwrap();
    assert_eq!(Client::connect(address).ask("hello"), "ACK 1 1");
    crate::support::signal(child.id(), "TERM");
    assert!(child.wait().unwrap().success());
    let (after, text) = (now(), text());
    assert!(text.contains("connected: 1 of") && text.contains("drained"), "{text}");
    let mut last = before;
    for line in text.lines() {
        let (date, rest) = line.split_once(' ').unwrap();
        // Dates in this format sort like their texts.
        assert!(date.len() == 24 && *last <= *date && *date <= *after, "{last} {line} {after}");
        assert!(["INFO  ", "WARN  "].iter().any(|level| rest.starts_with(level)), "{line}");
        last = date.to_string();
    }
}

#[test]
fn standard_error_has_the_time_since_the_start() {
    let server = Server::start(&[]);
    assert_eq!(server.connect().ask("hello"), "ACK 1 1");
    server.wait_for_log("disconnected");
    for line in server.log() {
        let seconds: f64 = line.split(' ').next().unwrap().parse().unwrap();
        assert!(seconds < 1e6, "{line}");
    }
}

// ---- Connections without a line -----------------------------------------------------------------------------

/// Health checks: connections that end without a line. They do not fill the server.
const CHECKS: usize = CLIENTS / 2;

/// The log without its times, after the health checks and a client that sends a line have come and gone.
fn log_of_checks(filter: &str) -> Vec<String> {
    let server = Server::start(&["--log-level", filter]);
    for number in 0..CHECKS {
        let client = server.connect();
        if number % 2 == 0 { client.reset() } else { drop(client) }
    }
    server.wait_for_stats("all checks are closed", |stats| stats["clients"] == 1);
    let mut speaker = server.connect();
    assert_eq!(speaker.ask("/nick alice"), "OK 1");
    drop(speaker);
    let ends = || {
        server.log().iter().filter(|line| line.contains("INFO  ") && line.contains(" disconnected: ")).count()
    };
    eventually("the ends of both clients with a line are logged", || ends() >= 2);
    server.log().iter().map(|line| line.split_once(' ').unwrap().1.to_string()).collect()
}

#[test]
fn connection_without_a_line_is_logged_at_debug_level_only() {
    let log = log_of_checks("info");
    let of_anyone = |part: &str| log.iter().filter(|line| line.contains(part)).count();
    // The connection that asks for the counters sends a line, too.
    assert_eq!((of_anyone(" connected: "), of_anyone(" disconnected: ")), (2, 2), "{log:#?}");
    let log = log_of_checks("info,hub=debug");
    let of_anyone =
        |part: &str| log.iter().filter(|line| line.starts_with("DEBUG") && line.contains(part)).count();
    assert!(of_anyone(" opened a connection") > CHECKS && of_anyone(" disconnected: ") >= CHECKS, "{log:#?}");
}

#[test]
fn connection_without_a_line_that_the_server_closes_is_logged() {
    let server = Server::start(&["--idle-timeout", "0.1"]);
    assert_eq!(server.connect().rest(), ["ERR 0 idle"]);
    server.wait_for_log(" disconnected: idle");
    assert!(!server.log().iter().any(|line| line.contains(" connected: ")), "it never sent a line");
}

#[test]
fn another_protocol_counts_as_a_line() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\n\r\n");
    client.rest();
    server.wait_for_log(" connected: 1 of ");
    server.wait_for_log(" disconnected: it is an HTTP client");
}

// ---- SIGHUP ---------------------------------------------------------------------------------------------

#[test]
fn sighup_without_a_log_file_reopens_none() {
    let server = Server::start(&[]);
    server.signal("HUP");
    server.wait_for_log("SIGHUP: nothing to do, without --log-file and --auth-file");
    assert_eq!(server.connect().ask("/ping"), "OK 1");
    assert!(!server.log().iter().any(|line| line.contains("reopened")), "{:?}", server.log());
}

#[test]
fn sighup_reopens_a_log_file() {
    let directory = Directory::new("log-reopened");
    fs::create_dir(&directory.0).unwrap();
    let path = directory.0.join("log");
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--log-file"]).arg(&path);
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let says = |part: &str| fs::read_to_string(&path).is_ok_and(|text| text.contains(part));
    eventually("the server listens", || says("listening on "));
    fs::rename(&path, directory.0.join("old")).unwrap();
    crate::support::signal(child.id(), "HUP");
    eventually("the file is reopened", || says("SIGHUP: the log file is reopened"));
    crate::support::signal(child.id(), "TERM");
    assert!(child.wait().unwrap().success());
}

// ---- Filters -------------------------------------------------------------------------------------------

#[test]
fn filter_for_an_unknown_module_is_refused_in_one_line() {
    for (filter, said) in [
        (
            "firstline::hubb=debug",
            "no module firstline::hubb logs; did you mean hub? there are: hub, hub::accept, hub::accept::acceptor, ",
        ),
        ("info,wire=trace", "no module wire logs; there are: hub, hub::accept, hub::accept::acceptor, "),
    ] {
        let mut command = command();
        command.args(["--listen", "127.0.0.1:0", "--log-level", filter]);
        let output = run_to_end(command);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.starts_with(&format!("firstline: --log-level {filter}: {said}")), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

/// The filters that a page gives as examples.
fn examples(page: &str) -> Vec<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || "_:=,".contains(c);
    let words = page.split(|c: char| !is_part(c)).map(|word| word.trim_matches(|c| ",:=".contains(c)));
    words
        .filter(|word| ["=debug", "=trace"].iter().any(|end| word.ends_with(end)))
        .map(str::to_string)
        .collect()
}

#[test]
fn each_filter_in_the_documents_shows_a_message() {
    let page = |path: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let mut help = command();
    help.arg("--help");
    let help = String::from_utf8(run_to_end(help).stdout).unwrap();
    let mut filters = Vec::new();
    for (name, page) in [
        ("operations.md", page("deploy/doc/operations.md")),
        ("--help", help),
        ("the manual", page("deploy/firstline.1")),
    ] {
        let found = examples(&page);
        assert!(!found.is_empty(), "{name} has an example");
        filters.extend(found);
    }
    filters.sort();
    filters.dedup();
    for filter in filters {
        // The test reads the address from the log, so that is enabled too.
        let server = Server::start(&["--log-level", &format!("{filter},hub::startup=info")]);
        assert_eq!(server.connect().ask("/urgent smoke"), "ACK 1 1");
        let line = server.wait_for_log("message 1 p9 ");
        assert!(line.contains(" smoke  (hub::dispatch::commit_group:"), "{filter}: {line}");
    }
}
