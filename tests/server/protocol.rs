//! The protocol, line by line, as a client sees it: the real binary over real sockets.

use crate::support::directory::Directory;
use crate::support::{
    Client, HeldConsumer, Server, allow_many_connections, command, eventually, id_of, is_emulated, too_long,
};
use firstline::limits::{
    CLIENTS, IN_FLIGHT, LINE_BYTES_MAX, NICK_BYTES_MAX, RECEIVE_BYTES, STAT_BUCKETS_US, TEXT_BYTES,
};
use firstline::protocol::command::HELP;
use firstline::protocol::escape::{BadEscape, unescape};
use nix::sys::socket::{setsockopt, sockopt};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

/// A subscriber to the messages with at least that priority.
fn subscribe(server: &Server, min: u8) -> Client {
    let mut client = server.connect();
    assert_eq!(client.ask(&format!("/join {min}")), "OK 1");
    client
}

/// The closing replies among the lines, by the number of the line that they close. Fails if a line has two.
fn closing_replies(lines: &[String]) -> BTreeMap<usize, String> {
    let mut replies = BTreeMap::new();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        if let ["ACK" | "NAK" | "OK" | "ERR", number, ..] = words[..] {
            let former = replies.insert(number.parse().unwrap(), line.clone());
            assert_eq!(former, None, "a second reply: {line}");
        }
    }
    replies
}

/// Waits until the server has admitted `count` messages.
fn wait_for_admitted(server: &Server, count: usize) {
    server.wait_for_stats("the messages are admitted", |stats| stats["admitted"] == count as u64);
}

// ---- Messages ------------------------------------------------------------------------------------------

#[test]
fn every_form_of_a_message_has_its_priority_and_its_text() {
    let server = Server::start(&[]);
    let mut watcher = subscribe(&server, 0);
    let mut sender = server.connect();
    let digits = (0..=9_u8).map(|digit| (format!("/{digit} text"), digit, "text"));
    let forms = [
        ("hello", 4, "hello"),
        ("/urgent smoke in the workshop", 9, "smoke in the workshop"),
        ("/high text", 7, "text"),
        ("/low text", 1, "text"),
        ("//", 4, "/"),
        ("//ping", 4, "/ping"),
        (" ", 4, " "),
        ("   ", 4, "   "),
        (" /ping", 4, " /ping"),
        ("  spaces  stay  ", 4, "  spaces  stay  "),
        ("/urgent  two spaces", 9, " two spaces"),
        ("/5 /urgent text", 5, "/urgent text"),
        ("grün 漢字 🔥", 4, "grün 漢字 🔥"),
    ];
    let forms = forms.into_iter().map(|(line, priority, text)| (line.to_string(), priority, text));
    for (n, (line, priority, text)) in forms.chain(digits).enumerate() {
        let n = n + 1;
        assert_eq!(sender.ask(&line), format!("ACK {n} {n}"), "IDs count up from 1");
        assert_eq!(watcher.line(), format!("MSG {n} p{priority} {} {text}", sender.address()), "{line:?}");
    }
}

#[test]
fn every_nonblank_line_gets_exactly_one_reply() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let too_long = "x".repeat(LINE_BYTES_MAX + 1);
    let table = [
        ("hello", "ACK {n} "),
        ("", ""),
        ("/urgent x", "ACK {n} "),
        ("\r", ""),
        ("/low", "NAK {n} empty"),
        ("/ping", "OK {n}"),
        (&too_long, "NAK {n} too-long"),
        (" ", "ACK {n} "),
        ("/nope", "ERR {n} unknown-command"),
        ("/join 10", "ERR {n} bad-argument"),
        ("/who", "OK {n}"),
        ("/help", "OK {n}"),
        ("/9 x", "ACK {n} "),
    ];
    let lines: Vec<_> = table.iter().cycle().take(4 * IN_FLIGHT.max(table.len())).collect();
    client.send(lines.iter().map(|(line, _)| format!("{line}\n")).collect::<String>());
    client.end_sending();
    let mut replies = closing_replies(&client.rest());
    for (n, (line, expected)) in lines.iter().enumerate() {
        let n = n + 1;
        match replies.remove(&n) {
            Some(reply) => {
                let expected = expected.replace("{n}", &n.to_string());
                assert!(!expected.is_empty() && reply.starts_with(&expected), "{line:?} got {reply:?}");
            }
            None => assert!(expected.is_empty(), "no reply to line {n}, {line:?}"),
        }
    }
    assert!(replies.is_empty(), "{replies:?} close no line that was sent");
}

#[test]
fn blank_lines_count_and_get_no_reply_and_one_cr_is_dropped() {
    let server = Server::start(&[]);
    let mut watcher = subscribe(&server, 0);
    let mut client = server.connect();
    client.send("\n\r\n\none\r\n\ntwo\r\r\nth\rree\n\r\n/ping\r\n");
    let replies = closing_replies(&client.lines(4));
    assert_eq!(replies.keys().copied().collect::<Vec<_>>(), [4, 6, 7, 9]);
    let texts: Vec<_> =
        watcher.lines(3).iter().map(|line| line.rsplit(' ').next().unwrap().to_string()).collect();
    assert_eq!(texts, ["one", r"two\x0d", r"th\x0dree"]);
}

#[test]
fn last_line_needs_no_lf() {
    let server = Server::start(&[]);
    for (sent, expected) in [
        ("hi", &["ACK 1 1"][..]),
        ("one\ntwo\r", &["ACK 1 2", "ACK 2 3"]),
        ("\n/ping", &["OK 2"]),
        ("/urgent", &["NAK 1 empty"]),
        ("\r", &[]),
        ("\n\n", &[]),
        ("", &[]),
    ] {
        let mut client = server.connect();
        client.send(sent);
        client.end_sending();
        assert_eq!(client.rest(), expected, "{sent:?}");
    }
}

#[test]
fn line_may_arrive_in_any_pieces() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let mut helper = server.connect();
    let received = |helper: &mut Client| helper.stats()["bytes-in"];
    for piece in ["/urg", "ent smo", "ke\r", "\n/pi", "ng"] {
        let before = received(&mut helper);
        client.send(piece);
        // The next piece is sent after the server has received this one, so each comes alone.
        let stats_bytes = "/stats\n".len() as u64;
        let mut stats_requests = 0;
        eventually("the piece is received", || {
            stats_requests += 1;
            received(&mut helper) == before + piece.len() as u64 + stats_requests * stats_bytes
        });
    }
    client.send("\n");
    // A ping may be answered before a message.
    assert_eq!(closing_replies(&client.lines(2)).into_values().collect::<Vec<_>>(), ["ACK 1 1", "OK 2"]);
}

#[test]
fn line_that_is_too_long_is_dropped_and_answered_when_it_ends() {
    let server = Server::start(&[]);
    let mut watcher = subscribe(&server, 0);
    let mut client = server.connect();
    let longest = "x".repeat(TEXT_BYTES);
    for word in ["", "/urgent ", "/high ", "/low ", "/0 "] {
        assert!(client.ask(&format!("{word}{longest}")).starts_with("ACK "), "{word:?}");
        assert!(watcher.line().ends_with(&format!(" {longest}")), "{word:?}: the whole text comes");
        assert!(client.ask(&format!("{word}{longest}x")).ends_with(" too-long"), "{word:?}");
    }
    let mut n = 10;
    // No part of it counts as a line, wherever it resembles one; neither does its tail.
    for length in
        [LINE_BYTES_MAX + 1, LINE_BYTES_MAX + 2, RECEIVE_BYTES, RECEIVE_BYTES + 1, 5 * RECEIVE_BYTES]
    {
        n += 1;
        let filler = "/ping hello ".repeat(length);
        assert_eq!(client.ask(&filler[..length]), too_long(n), "{length} bytes");
    }
    // Without an end it has no reply yet; then the replies come in the order of the lines.
    client.send("/ping ".repeat(RECEIVE_BYTES));
    let received = 6 * RECEIVE_BYTES as u64;
    server.wait_for_stats("the line is received", |stats| stats["bytes-in"] >= received);
    client.stream.set_nonblocking(true).unwrap();
    let early = client.read(&mut [0; 1]).expect_err("nothing has come").kind();
    assert_eq!(early, std::io::ErrorKind::WouldBlock);
    client.stream.set_nonblocking(false).unwrap();
    client.send("\n/ping\n");
    assert_eq!(client.lines(2), [too_long(n + 1), format!("OK {}", n + 2)]);
    // The end of the connection ends the line, too.
    client.send("x".repeat(LINE_BYTES_MAX + 1));
    client.end_sending();
    assert_eq!(client.rest(), [too_long(n + 3)]);
    assert_eq!(server.stats()["refused-too-long"], n as u64 + 2 - 5, "five of the ten lines fit");
    assert_eq!(watcher.ask("/ping"), "OK 2", "no part of them became a message");
}

// ---- Commands ------------------------------------------------------------------------------------------

#[test]
fn well_formed_command_succeeds() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let longest_nick = format!("/nick {}", "n".repeat(NICK_BYTES_MAX));
    let minima: Vec<_> = (0..=9).map(|min| format!("/join {min}")).collect();
    let others = ["/leave", "/leave", "/join", "/join  5 ", "/leave ", "/nick a", "/nick a", "/nick A-b_9"];
    let others = others.into_iter().chain([&longest_nick[..], "/ping", "/ping  "]);
    for (n, line) in minima.iter().map(String::as_str).chain(others).enumerate() {
        assert_eq!(client.ask(line), format!("OK {}", n + 1), "{line:?}");
    }
}

#[test]
fn malformed_command_is_refused() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let long_nick = format!("/nick {}", "n".repeat(NICK_BYTES_MAX + 1));
    let table = [
        ("/", "unknown-command"),
        ("/ ping", "unknown-command"),
        ("/nope", "unknown-command"),
        ("/PONG", "unknown-command"),
        ("/10 text", "unknown-command"),
        ("/-1 text", "unknown-command"),
        ("/urgentx text", "unknown-command"),
        ("/ping\t1", "bad-argument"),
        ("/join 10", "bad-argument"),
        ("/join -1", "bad-argument"),
        ("/join x", "bad-argument"),
        ("/join 1 2", "bad-argument"),
        ("/leave 1", "bad-argument"),
        ("/nick", "bad-argument"),
        ("/nick ", "bad-argument"),
        ("/nick a b", "bad-argument"),
        ("/nick a:1", "bad-argument"),
        ("/nick grün", "bad-argument"),
        ("/nick \x1b[2J", "bad-argument"),
        (&long_nick, "bad-argument"),
        ("/who me", "bad-argument"),
        ("/stats all", "bad-argument"),
        ("/last", "bad-argument"),
        ("/last 0", "bad-argument"),
        ("/last -1", "bad-argument"),
        ("/last x", "bad-argument"),
        ("/since", "bad-argument"),
        ("/since x", "bad-argument"),
        ("/since 18446744073709551616", "bad-argument"),
        ("/ping 1", "bad-argument"),
        ("/help me", "bad-argument"),
        ("/quit now", "bad-argument"),
        // Without a journal these are well formed, but there is nothing to read.
        ("/last 1", "no-journal"),
        ("/since 0", "no-journal"),
        ("/since 18446744073709551615", "no-journal"),
    ];
    for (n, (line, reason)) in table.into_iter().enumerate() {
        let reply = client.ask(line);
        let start = format!("ERR {} {reason} ", n + 1);
        assert!(reply.starts_with(&start), "{line:?} got {reply:?}");
        assert!(
            reply.bytes().all(|byte| matches!(byte, b' '..=b'~')),
            "{reply:?} echoes no byte of the line"
        );
    }
    assert_eq!(client.stats()["commands-refused"], table.len() as u64);
}

#[test]
fn full_stats_list_what_stats_lists_and_then_the_histograms() {
    let directory = Directory::new("full-stats");
    let server = Server::start(&["--journal", directory.path(), "--journal-size", "1M"]);
    let mut client = server.connect();
    for text in ["/9 a", "/9 b", "c"] {
        assert!(client.ask(text).starts_with("ACK "));
    }
    let names = |stats: &BTreeMap<String, u64>| stats.keys().cloned().collect::<BTreeSet<_>>();
    let (plain, full) = (client.stats(), client.full_stats());
    let more: Vec<_> = names(&full).difference(&names(&plain)).cloned().collect();
    assert!(names(&plain).is_subset(&names(&full)));
    let histograms = |name: &str| {
        name.starts_with("p9-ack-") || name.starts_with("p4-ack-") || name.starts_with("journal-sync-")
    };
    assert!(more.iter().all(|name| histograms(name) || name == "journal-capacity-bytes"), "{more:?}");
    assert_eq!(full["journal-capacity-bytes"], 1 << 20);
    for (name, count) in [("p9-ack", 2), ("p4-ack", 1), ("journal-sync", full["journal-sync-count"])] {
        let counts = STAT_BUCKETS_US.map(|bound_us| full[&format!("{name}-le-{bound_us}-us")]);
        assert!(
            counts.is_sorted()
                && counts[STAT_BUCKETS_US.len() - 1] == count
                && full[&format!("{name}-count")] == count,
            "{name}: {counts:?}"
        );
        let sum_us = full[&format!("{name}-sum-us")];
        assert!((0..=count * (full[&format!("{name}-max-us")] + 1)).contains(&sum_us), "{name}: {sum_us}");
    }
}

#[test]
fn full_stats_have_histograms_of_tasks_only_where_handlers_process_them() {
    let server = Server::start(&["--handle", "5"]);
    let mut handler = server.connect();
    assert_eq!(handler.ask("/handle"), "OK 1");
    let mut sender = server.connect();
    sender.send("/urgent a\n");
    assert!(handler.line().starts_with("TASK 1 "));
    handler.send("/done 1\n");
    assert!(sender.line().starts_with("ACK 1 "));
    let full = sender.full_stats();
    for name in ["task-wait", "task-work"] {
        let counts = STAT_BUCKETS_US.map(|bound_us| full[&format!("{name}-le-{bound_us}-us")]);
        assert!(counts.is_sorted() && counts.last() == Some(&1), "{name}: {counts:?}");
        assert_eq!(full[&format!("{name}-count")], 1);
        assert!(full[&format!("{name}-sum-us")] <= full[&format!("{name}-max-us")] + 1);
    }
    let without = Server::start(&[]).connect().full_stats();
    assert!(without.keys().all(|name| !name.starts_with("task-")), "{without:?}");
}

#[test]
fn help_names_every_command() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.send("/help\n");
    let lines = client.lines_until_ok(1);
    assert_eq!(lines, HELP.map(|line| format!("HELP {line}")));
    for word in [
        "TEXT", "/urgent", "/high", "/low", "/0", "//TEXT", "/join", "/leave", "/nick", "/who", "/stats",
        "/last", "/since", "/ping", "/help", "/quit",
    ] {
        assert!(lines.iter().any(|line| line.split(' ').nth(1) == Some(word)), "{word} is not in the help");
    }
}

#[test]
fn subscriber_is_sent_messages_from_its_minimum_priority_on() {
    let server = Server::start(&[]);
    let mut sender = server.connect();
    let mut watcher = server.connect();
    let (mut n, mut id) = (0, 0);
    let mut ask = |watcher: &mut Client, line: &str| {
        n += 1;
        watcher.send(format!("{line}\n"));
        watcher.lines_until_ok(n)
    };
    // Each /join replaces the one before, so each round changes the minimum.
    for min in [None, Some(9), Some(0), Some(4), Some(5), Some(8), Some(1)] {
        let join = min.map_or("/join".to_string(), |min: u64| format!("/join {min}"));
        assert!(ask(&mut watcher, &join).is_empty());
        let first = id + 1;
        for priority in 0..=9 {
            id += 1;
            assert_eq!(id_of(&sender.ask(&format!("/{priority} text"))), id);
        }
        // When the sender has the ACK, the message is in the outbox of every subscriber.
        let from = sender.address();
        let expected: Vec<_> =
            (min.unwrap_or(0)..=9).map(|p| format!("MSG {} p{p} {from} text", first + p)).collect();
        assert_eq!(ask(&mut watcher, "/ping"), expected);
    }
    assert!(ask(&mut watcher, "/leave").is_empty());
    sender.ask("/urgent unheard");
    assert!(ask(&mut watcher, "/ping").is_empty(), "nothing is sent after /leave");
}

/// Sends messages until `is_enough` is set.
fn flood(mut client: Client, is_enough: &AtomicBool) {
    let half = format!("{}\n", "x".repeat(TEXT_BYTES / 2)).repeat(IN_FLIGHT / 2);
    client.send(&half);
    while !is_enough.load(Relaxed) {
        client.send(&half);
        client.lines(IN_FLIGHT / 2);
    }
}

#[test]
fn client_that_joins_again_during_a_flood_is_told_of_every_loss() {
    // Sometimes the outbox is full in the middle of a batch, and the client joins again at that moment.
    let joins = if is_emulated() { 300 } else { 3_000 };
    let server = Server::start(&["--write-timeout", "off"]);
    let mut watcher = subscribe(&server, 0);
    let is_enough = Arc::new(AtomicBool::new(false));
    let floods: Vec<_> = (0..3)
        .map(|_| (server.connect(), is_enough.clone()))
        .map(|(client, is_enough)| thread::spawn(move || flood(client, &is_enough)))
        .collect();
    let (mut next_id, mut joined) = (1, 1);
    watcher.send("/join 1\n");
    while joined < joins {
        let line = watcher.line();
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["MSG", id, ..] => {
                assert_eq!(id.parse(), Ok(next_id), "after {joined} joins");
                next_id += 1;
            }
            ["LOST", count] => next_id += count.parse::<u64>().unwrap(),
            ["OK", _] => {
                joined += 1;
                watcher.send(format!("/join {}\n", joined % 2));
            }
            _ => panic!("{line:?}"),
        }
    }
    is_enough.store(true, Relaxed);
    floods.into_iter().for_each(|flood| flood.join().unwrap());
}

#[test]
fn no_client_is_sent_its_own_message() {
    let server = Server::start(&[]);
    let (mut one, mut other) = (subscribe(&server, 0), subscribe(&server, 0));
    assert_eq!(one.ask("hello"), "ACK 2 1");
    assert_eq!(one.ask("/ping"), "OK 3");
    assert_eq!(other.line(), format!("MSG 1 p4 {} hello", one.address()));
    assert_eq!(other.ask("/urgent back"), "ACK 2 2");
    assert_eq!(one.line(), format!("MSG 2 p9 {} back", other.address()));
    assert_eq!(other.ask("/ping"), "OK 3");
}

#[test]
fn nick_is_unique_among_connected_clients_and_names_their_messages() {
    let server = Server::start(&[]);
    let mut watcher = subscribe(&server, 0);
    let (mut alice, mut bob) = (server.connect(), server.connect());
    assert_eq!(alice.ask("/nick alice"), "OK 1");
    assert_eq!(alice.ask("hello"), "ACK 2 1");
    assert_eq!(watcher.line(), "MSG 1 p4 alice hello");
    assert!(bob.ask("/nick alice").starts_with("ERR 1 nick-taken"));
    assert_eq!(bob.ask("who am I"), "ACK 2 2");
    assert_eq!(watcher.line(), format!("MSG 2 p4 {} who am I", bob.address()), "a refusal changes nothing");
    assert_eq!(bob.ask("/nick Alice"), "OK 3", "case matters");
    // A new nick frees the old one.
    assert_eq!(alice.ask("/nick carol"), "OK 3");
    assert_eq!(bob.ask("/nick alice"), "OK 4");
    assert!(bob.ask("/nick bad name").starts_with("ERR 5 bad-argument"));
    assert_eq!(bob.ask("hello"), "ACK 6 3");
    assert_eq!(watcher.line(), "MSG 3 p4 alice hello", "a malformed nick changes nothing either");
    // The end of a connection frees its nick, too.
    drop(bob);
    server.wait_for_log("alice disconnected");
    assert_eq!(alice.ask("/nick alice"), "OK 4");
}

/// The answer to `/who`, which is line `n`: for each name the priority or `-`, and the idle seconds.
fn who(client: &mut Client, n: usize) -> BTreeMap<String, (String, u64)> {
    client.send("/who\n");
    let mut all = BTreeMap::new();
    for line in client.lines_until_ok(n) {
        let words: Vec<&str> = line.split(' ').collect();
        let ["WHO", from, joined, idle_s] = words[..] else { panic!("not a WHO line: {line:?}") };
        let former = all.insert(from.to_string(), (joined.to_string(), idle_s.parse().unwrap()));
        assert_eq!(former, None, "{from} is there twice");
    }
    all
}

#[test]
fn who_lists_names_priorities_and_idle_times() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let alone = who(&mut client, 1);
    assert_eq!(alone.keys().collect::<Vec<_>>(), [&client.address()]);
    assert_eq!(alone[&client.address()].0, "-");

    let started = Instant::now();
    let (mut alice, all) = (subscribe(&server, 7), subscribe(&server, 0));
    assert_eq!(alice.ask("/nick alice"), "OK 2");
    let now = who(&mut client, 2);
    let mut names = [client.address(), "alice".to_string(), all.address()];
    names.sort();
    assert_eq!(now.keys().cloned().collect::<Vec<_>>(), names);
    assert_eq!((&now["alice"].0[..], &now[&all.address()].0[..]), ("p7", "p0"));
    let longest = started.elapsed().as_secs();
    assert!(now["alice"].1 <= longest && now[&all.address()].1 <= longest);

    // The idle time of a silent client grows; a line resets it.
    let mut n = 2;
    eventually("alice is idle for a second", || {
        n += 1;
        who(&mut client, n)["alice"].1 >= 1
    });
    let spoke = Instant::now();
    assert_eq!(alice.ask("/leave"), "OK 3");
    let now = who(&mut client, n + 1);
    assert_eq!(now["alice"].0, "-");
    assert!(now["alice"].1 <= spoke.elapsed().as_secs());

    drop(alice);
    server.wait_for_log("alice disconnected");
    let mut names = [client.address(), all.address()];
    names.sort();
    assert_eq!(who(&mut client, n + 2).keys().cloned().collect::<Vec<_>>(), names);
}

#[test]
fn counters_agree_with_the_requests() {
    let server = Server::start(&[]);
    let mut watcher = subscribe(&server, 5);
    let mut client = server.connect();
    let mut sent = "/join 5\n".len();
    let mut ask = |client: &mut Client, line: &str| {
        sent += line.len() + "\n".len();
        client.ask(line)
    };
    for (priority, count) in [(9, 3), (4, 5), (0, 2)] {
        (0..count).for_each(|_| assert!(ask(&mut client, &format!("/{priority} text")).starts_with("ACK ")));
    }
    assert!(ask(&mut client, "/low").ends_with("empty"));
    assert!(ask(&mut client, &"x".repeat(LINE_BYTES_MAX + 1)).ends_with(" too-long"));
    assert!(ask(&mut client, "/nope").starts_with("ERR"));
    watcher.lines(3);
    let stats = client.stats();
    sent += "/stats\n".len();

    let expected = [
        ("clients", 2),
        ("clients-max", 2),
        ("clients-turned-away", 0),
        ("admitted", 10),
        ("processed", 10),
        ("waiting", 0),
        ("msgs-sent", 3),
        ("msgs-lost", 0),
        ("bytes-in", sent as u64),
        ("log-records-lost", 0),
        ("commands-refused", 1),
        ("refused-empty", 1),
        ("refused-too-long", 1),
        ("refused-shutting-down", 0),
        ("refused-print-failed", 0),
        ("p9-admitted", 3),
        ("p4-admitted", 5),
        ("p0-admitted", 2),
    ];
    for (name, value) in expected {
        assert_eq!(stats[name], value, "{name}");
    }
    assert!(stats["uptime-s"] < 3600 && stats["bytes-out"] > 0);
    for p in ["p9", "p4", "p0"] {
        let of = |name: &str| stats[&format!("{p}-{name}")];
        assert_eq!(of("processed"), of("admitted"));
        assert_eq!((of("waiting"), of("oldest-ms")), (0, 0));
        assert!((1..=of("admitted")).contains(&of("waiting-max")));
        assert!(of("ack-p50-us") <= of("ack-p99-us") && of("ack-p99-us") <= of("ack-max-us"));
    }
    assert!(!stats.contains_key("p5-admitted"), "an unused priority has no lines");
    for name in stats.keys() {
        assert!(name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')), "{name}");
    }
}

// ---- What others are shown -----------------------------------------------------------------------------

/// The text of a `MSG` line: everything after its first four words.
fn text_of(line: &str) -> &str {
    line.splitn(5, ' ').nth(4).unwrap()
}

fn unescaped(text: &str) -> Vec<u8> {
    unescape(text.as_bytes()).collect::<Result<_, BadEscape>>().unwrap()
}

#[test]
fn every_byte_reaches_others_escaped_and_can_be_unescaped() {
    let server = Server::start(&[]);
    let mut watcher = subscribe(&server, 0);
    let mut sender = server.connect();
    let all: Vec<u8> = (0..=u8::MAX).filter(|byte| *byte != b'\n').collect();
    let forgeries =
        ["a\rMSG 1 p9 root fire", "\x1b[2J\x07\x7f", "\u{9b}31m", "\u{202e}txet\u{2066}\u{200f}", r"\x0a\\"];
    let forgeries = forgeries.iter().map(|text| text.as_bytes().to_vec());
    let alone = all.iter().map(|byte| vec![b'<', *byte, b'>']);
    for text in all.chunks(TEXT_BYTES).map(<[u8]>::to_vec).chain(alone).chain(forgeries) {
        sender.send([&text[..], b"\n"].concat());
        assert!(sender.line().starts_with("ACK "));
        let line = watcher.line();
        let harmless =
            |character: char| !character.is_control() && !"\u{202e}\u{2066}\u{200f}".contains(character);
        assert!(line.chars().all(harmless), "{line:?}");
        assert_eq!(unescaped(text_of(&line)), text);
    }
    // The longest text, with every byte escaped, is still one line, and complete.
    let widest = vec![0xff; TEXT_BYTES];
    sender.send([&widest[..], b"\n"].concat());
    assert!(sender.line().starts_with("ACK "));
    assert_eq!(unescaped(text_of(&watcher.line())), widest);
}

#[test]
fn by_default_ipv6_and_ipv4_clients_connect_under_their_own_addresses() {
    let mut command = command();
    command.args(["--listen", ":0"]);
    let server = Server::start_command(command);
    let port = server.address.port();
    let mut v4 = Client::connect(SocketAddr::from(([127, 0, 0, 1], port)));
    assert_eq!(v4.ask("/join"), "OK 1");
    // Without IPv6, the server serves IPv4 alone.
    if TcpListener::bind("[::1]:0").is_err() {
        assert!(server.address.is_ipv4());
        return;
    }
    assert_eq!(server.address, format!("[::]:{port}").parse().unwrap());
    let mut v6 = Client::connect(format!("[::1]:{port}").parse().unwrap());
    assert_eq!(v6.ask("/join"), "OK 1");
    assert!(v4.address().starts_with("127.0.0.1:") && v6.address().starts_with("[::1]:"));
    assert_eq!(v4.ask("from v4"), "ACK 2 1");
    assert_eq!(v6.line(), format!("MSG 1 p4 {} from v4", v4.address()));
    assert_eq!(v6.ask("from v6"), "ACK 2 2");
    assert_eq!(v4.line(), format!("MSG 2 p4 {} from v6", v6.address()));
    let names: Vec<_> = who(&mut v4, 3).into_keys().collect();
    assert_eq!(names, [v4.address(), v6.address()]);
}

// ---- The end of a connection ---------------------------------------------------------------------------

#[test]
fn quit_answers_the_lines_before_it_and_ignores_those_after_it() {
    let (server, held) = HeldConsumer::start(&[]);
    let mut client = server.connect();
    let count = IN_FLIGHT / 2;
    client.send("outstanding\n".repeat(count) + "/quit\nafter\n/ping\n/nick late\n");
    wait_for_admitted(&server, count);
    held.release();
    let lines = client.rest();
    let quit = count + 1;
    assert_eq!(lines[count..], [format!("OK {quit}"), "BYE quit".to_string()]);
    assert_eq!(closing_replies(&lines).len(), quit);
    assert!(lines[..count].iter().all(|line| line.starts_with("ACK ")));
    let mut next = server.connect();
    assert_eq!(next.ask("next"), format!("ACK 1 {quit}"), "no line after /quit is processed");
}

#[test]
fn half_closed_client_gets_all_its_replies() {
    let (server, held) = HeldConsumer::start(&[]);
    // More lines than may be outstanding, so the server receives most of them after the FIN is sent.
    let count = 3 * IN_FLIGHT;
    let mut plain = server.connect();
    plain.send("outstanding\n".repeat(count));
    plain.end_sending();
    let mut subscriber = subscribe(&server, 0);
    subscriber.send("outstanding\n".repeat(IN_FLIGHT - 1) + "no lf");
    subscriber.end_sending();
    wait_for_admitted(&server, 2 * IN_FLIGHT);
    held.release();
    for (client, first, count) in [(&mut plain, 1, count), (&mut subscriber, 2, IN_FLIGHT)] {
        let lines = client.rest();
        let replies = closing_replies(&lines);
        assert_eq!(replies.keys().copied().collect::<Vec<_>>(), (first..first + count).collect::<Vec<_>>());
        assert!(replies.values().all(|reply| reply.starts_with("ACK ")));
        assert!(!lines.iter().any(|line| line.starts_with("BYE ")), "the client ended the connection itself");
    }
}

#[test]
fn client_without_outstanding_replies_or_subscription_is_idle() {
    let (server, held) = HeldConsumer::start(&["--idle-timeout", "1"]);
    let mut subscriber = subscribe(&server, 0);
    let mut waiting = server.connect();
    waiting.send("not yet answered\n");
    // A client that connects later and is closed as idle was silent no longer than the first two.
    let mut silent = server.connect();
    let mut mid_line = server.connect();
    mid_line.send("no line yet");
    assert_eq!(silent.rest(), ["ERR 0 idle"]);
    assert_eq!(mid_line.rest(), ["ERR 0 idle"]);
    let mut again = server.connect();
    assert_eq!(again.rest(), ["ERR 0 idle"]);
    assert_eq!(waiting.ask("/ping"), "OK 2", "its lines are still served");
    held.release();
    assert_eq!(subscriber.line(), format!("MSG 1 p4 {} not yet answered", waiting.address()));
    assert_eq!(waiting.rest(), ["ACK 1 1", "ERR 0 idle"], "after the ACK the client is idle");
    assert_eq!(subscriber.ask("/ping"), "OK 2");
    // After /leave, it is like the others.
    assert_eq!(subscriber.ask("/leave"), "OK 3");
    assert_eq!(subscriber.rest(), ["ERR 0 idle"]);
}

#[test]
fn every_client_is_told_of_the_shutdown() {
    let mut server = Server::start(&[]);
    let mut silent = server.connect();
    assert_eq!(silent.ask("/ping"), "OK 1");
    let subscriber = subscribe(&server, 0);
    server.signal("TERM");
    for mut client in [silent, subscriber] {
        assert_eq!(client.rest(), ["BYE shutting-down"]);
    }
    assert_eq!(server.wait().code(), Some(0));
}

// ---- Reuse of a connection's place --------------------------------------------------------------------------

/// A client that sends many commands and reads nothing, so that an answer to it is blocked in the server.
fn blocked_in_an_answer(server: &Server) -> Client {
    let client = server.connect();
    setsockopt(&client.stream, sockopt::RcvBuf, &RECEIVE_BYTES).unwrap();
    setsockopt(&client.stream, sockopt::SndBuf, &RECEIVE_BYTES).unwrap();
    client.stream.set_nonblocking(true).unwrap();
    let commands = "/help\n".repeat(RECEIVE_BYTES);
    let send = || (&client.stream).write(commands.as_bytes()).is_ok();
    eventually("the server no longer reads from it", || {
        let was_full = !send();
        while send() {}
        was_full
    });
    client.stream.set_nonblocking(false).unwrap();
    client
}

#[test]
fn reused_place_keeps_nothing_of_its_previous_client() {
    allow_many_connections();
    let (server, held) = HeldConsumer::start(&[]);
    let mut watcher = subscribe(&server, 0);
    let secret = "secret of the former";

    let mut mid_line = server.connect();
    mid_line.send("/ping\n".repeat(5) + secret);
    assert_eq!(mid_line.lines(5)[4], "OK 5");
    let mut mid_long_line = server.connect();
    mid_long_line.send("x".repeat(LINE_BYTES_MAX + 100));
    let mut subscriber = subscribe(&server, 0);
    assert_eq!(subscriber.ask("/nick member"), "OK 2");
    let stuck = blocked_in_an_answer(&server);
    let mut waiting = server.connect();
    assert_eq!(waiting.ask("/nick ghost"), "OK 1");
    // Fewer than may be outstanding: at that bound the server does not read, and would see the reset later.
    let count = IN_FLIGHT / 2;
    waiting.send(format!("{secret}\n").repeat(count));
    wait_for_admitted(&server, count);
    for (former, nick) in [
        (mid_line, None),
        (mid_long_line, None),
        (subscriber, Some("member")),
        (stuck, None),
        (waiting, Some("ghost")),
    ] {
        let name = nick.map_or(former.address(), str::to_string);
        former.reset();
        server.wait_for_log(&format!("{name} disconnected"));
    }

    // The client is gone, but its messages are not yet processed: its nick is free, and its place is not.
    let mut early = server.connect();
    assert_eq!(early.ask("/nick ghost"), "OK 1");
    eventually("the places of the others are free", || early.stats()["clients"] <= 3);
    assert_eq!(early.stats()["clients"], 3, "the two clients, and the place whose messages wait");
    held.release();
    for id in 1..=count {
        assert_eq!(watcher.line(), format!("MSG {id} p4 ghost {secret}"));
    }
    early.reset();
    let mut n = 1;
    eventually("all places but one are free", || {
        n += 1;
        watcher.stats()["clients"] == 1
    });

    // Each other place serves a new client, whose lines count from 1.
    let mut next_clients: Vec<Client> = (1..CLIENTS).map(|_| server.connect()).collect();
    for (rank, next) in next_clients.iter_mut().enumerate() {
        assert_eq!(next.ask("/ping"), "OK 1");
        let id = count + 1 + rank;
        assert_eq!(next.ask("hello"), format!("ACK 2 {id}"));
        assert_eq!(watcher.line(), format!("MSG {id} p4 {} hello", next.address()));
    }
    for next in &mut next_clients {
        assert_eq!(next.ask("/ping"), "OK 3", "a client without /join gets no message");
    }
    let all = who(&mut watcher, n + 1);
    assert_eq!(all.len(), CLIENTS);
    for next in &next_clients {
        assert_eq!(all[&next.address()].0, "-");
    }
    assert_eq!(server.connect().rest(), ["ERR 0 full all seats are taken; try again later"]);
}

#[test]
fn commands_are_case_insensitive_and_may_end_with_a_tab() {
    let server = Server::start(&[]);
    let mut watcher = subscribe(&server, 0);
    let mut client = server.connect();
    for (line, reply) in [
        ("/Urgent a", "ACK 1 1"),
        ("/URGENT b", "ACK 2 2"),
        ("/urgent\tc", "ACK 3 3"),
        ("/7\td", "ACK 4 4"),
        ("/urgent  \t ", "NAK 5 empty"),
        ("/Nick\tAlice", "OK 6"),
        ("/PING", "OK 7"),
        ("/urgnt e", "ERR 8 unknown-command did you mean /urgent?"),
        ("/Lo f", "ERR 9 unknown-command did you mean /low?"),
        ("/temperature 21", "ERR 10 unknown-command try /help; //TEXT sends /TEXT"),
    ] {
        assert_eq!(client.ask(line), reply, "{line:?}");
    }
    let messages = watcher.lines(4);
    for (line, end) in messages.iter().zip([" p9 ", " p9 ", " p9 ", " p7 "]) {
        assert!(line.contains(end), "{line}");
    }
    assert!(
        messages.iter().zip(["a", "b", "c", "d"]).all(|(line, text)| line.ends_with(text)),
        "{messages:?}"
    );
}
