//! `firstline watch` against the real server: restarts, journals that change, outputs that do not take what comes.

use super::send::{Call, Ran, endless_peer, host, run_with};
use crate::support::directory::{Directory, take_away};
use crate::support::own_address::own_address;
use crate::support::{Client, Server, command, eventually, run_to_end, signal};
use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A long text: the journal of a test holds about two thousand of them.
const LONG_BYTES: usize = 480;

/// What a test keeps: journals and the state.
struct Place(Directory);

impl Place {
    fn new(name: &str) -> Self {
        let directory = Directory::new(name);
        fs::create_dir(&directory.0).unwrap();
        Self(directory)
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.0.path())
    }

    /// A server with that journal.
    fn serve(&self, journal: &str, args: &[&str]) -> Server {
        let journal = self.path(journal);
        Server::start(&[&["--journal", &journal, "--journal-size", "1M"], args].concat())
    }

    /// The server comes back, with that journal.
    fn serve_again(&self, journal: &str, address: &str) -> Server {
        self.serve(journal, &["--listen", address])
    }

    /// A call that keeps its state here.
    fn watch(&self, host: &str, args: &[&str]) -> Call {
        watch(&[&[host, "--state", &self.path("state")], args].concat())
    }

    /// Prints that many messages and ends.
    fn watch_some(&self, host: &str, count: usize) -> Vec<String> {
        let ran = self.watch(host, &["--since", "all", "--count", &count.to_string()]).end();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.receipts
    }

    fn state(&self) -> String {
        fs::read_to_string(self.path("state")).unwrap_or_default()
    }
}

fn watching(args: &[&str]) -> Command {
    let mut command = command();
    command.arg("watch").args(args).stdin(Stdio::null());
    command
}

fn watch(args: &[&str]) -> Call {
    Call::of(watching(args))
}

fn ran(args: &[&str]) -> Ran {
    watch(args).end()
}

/// Sends these texts, one after the other.
fn say(server: &Server, texts: &[&str]) {
    let mut client = server.connect();
    for text in texts {
        assert!(client.ask(text).starts_with("ACK "), "{text}");
    }
}

/// Sends that many texts that begin with `of` and a number from 1.
fn say_many(server: &Server, of: &str, count: usize, bytes: usize) {
    let lines: String =
        (1..=count).map(|number| format!("{:-<bytes$}\n", format!("{of} {number} "))).collect();
    assert_eq!(run_with(&[&host(server), "-"], lines).code, Some(0));
}

/// Waits until a client has joined.
fn joined(server: &Server, clients: usize) {
    let mut client = server.connect();
    eventually("it has joined", || {
        client.send("/who\n");
        let who = std::iter::from_fn(|| Some(client.line()).filter(|line| !line.starts_with("OK ")));
        who.filter(|line| line.contains(" p")).count() == clients
    });
}

/// The IDs of the lines that are messages, and what `LOST` says of the gaps between them.
fn ids(lines: &[String]) -> Vec<u64> {
    let id = |line: &String| line.strip_prefix("MSG ")?.split(' ').next()?.parse().ok();
    lines.iter().filter_map(id).collect()
}

/// The IDs up to that one, each once and in order.
fn all(last: u64) -> Vec<u64> {
    (1..=last).collect()
}

// ---- What comes ----------------------------------------------------------------------------------------

#[test]
fn messages_are_printed_as_they_come_and_only_those_that_are_asked_for() {
    let place = Place::new("watch-plain");
    let server = place.serve("journal", &[]);
    say(&server, &["before"]);
    let host = host(&server);
    let calls = [
        watch(&[&host, "--count", "3"]),
        watch(&[&host, "--min=7", "--count=1"]),
        watch(&[&host, "--since=0", "--json", "--count=3"]),
        watch(&[&host, "--since=1", "--count=2"]),
    ];
    joined(&server, 4);
    let mut client = server.connect();
    client.ask("/nick alice");
    for text in ["a \\ \x1b[2J", "/urgent smoke in the workshop", "c"] {
        client.ask(text);
    }
    let [plain, urgent, json, since] = calls.map(Call::end);
    let lines = [r"MSG 2 p4 alice a \\ \x1b[2J", "MSG 3 p9 alice smoke in the workshop", "MSG 4 p4 alice c"];
    assert_eq!((plain.code, &plain.receipts[..]), (Some(0), &lines.map(str::to_string)[..]));
    assert_eq!(urgent.receipts, lines[1..2]);
    assert_eq!(since.receipts, lines[..2]);
    let json: Vec<serde_json::Value> =
        json.receipts.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((json.len(), &json[0]["text"], &json[1]["id"]), (3, &"before".into(), &2.into()));
    assert_eq!(json[1]["text"], "a \\ \x1b[2J");
    for complaints in [plain.complaints, urgent.complaints, since.complaints] {
        assert_eq!(complaints, Vec::<String>::new());
    }
}

#[test]
fn it_waits_for_a_server_and_ends_when_no_message_comes() {
    let address = own_address().to_string();
    let timed_out = ran(&[&address, "--timeout", "0.3"]);
    assert_eq!((timed_out.code, timed_out.receipts.len()), (Some(3), 0));
    let call = watch(&[&address, "--count=1"]);
    assert!(call.complaint().contains("trying again"));
    let server = Server::start(&["--listen", &address]);
    assert_eq!(call.complaint(), "firstline: connected again");
    say(&server, &["hello"]);
    assert!(call.receipt().ends_with(" hello"));
    assert_eq!(call.end().code, Some(0));
    assert_eq!(ran(&[&address, "--timeout", "0.3"]).code, Some(3));
}

#[test]
fn what_is_wrong_with_the_call_is_one_line() {
    for args in [&[][..], &["pi:0"], &["pi", "x"], &["fe80::1"], &["pi", "--since=x"], &["pi", "--count=0"]] {
        let ran = ran(args);
        assert_eq!((ran.code, ran.receipts.len(), ran.complaints.len()), (Some(2), 0, 1), "{ran:?}");
    }
    let help = ran(&["--help"]);
    assert!(help.code == Some(0) && help.receipts[0].starts_with("Usage: firstline watch "));
}

#[test]
fn without_a_right_it_ends_and_a_token_gives_one() {
    let place = Place::new("watch-tokens");
    let file = |name: &str, text: &str| {
        fs::write(place.path(name), text).unwrap();
        fs::set_permissions(place.path(name), Permissions::from_mode(0o600)).unwrap();
        place.path(name)
    };
    let auth = file("auth", "alice good-good-good-good 9 join\nbob mute-mute-mute-mute 9 no-join\n");
    let [good, mute, wrong] =
        ["good-good-good-good", "mute-mute-mute-mute", "none-none-none-none"].map(|token| file(token, token));
    let server = place.serve("journal", &["--auth-file", &auth]);
    let host = host(&server);
    let denied = |args: &[&str], reason: &str| {
        let ran = ran(&[&[host.as_str()], args].concat());
        assert_eq!((ran.code, ran.receipts.len(), ran.complaints.len()), (Some(1), 0, 1), "{ran:?}");
        assert!(ran.complaints[0].contains(reason), "{ran:?}");
    };
    denied(&[], "give a token by --token-file");
    denied(&["--token-file", &mute], "not for reading");
    denied(&["--token-file", &wrong], "wrong-token");
    let call = watch(&[&host, "--token-file", &good, "--count=1", "--since=all"]);
    assert_eq!(run_with(&[&host, "--token-file", &mute], "hello\n").code, Some(0));
    assert_eq!(call.receipt(), "MSG 1 p4 bob hello");
    assert_eq!(call.end().code, Some(0));
}

// ---- Ends of the server --------------------------------------------------------------------------------

#[test]
fn each_message_comes_once_and_in_order_when_the_server_is_killed() {
    let place = Place::new("watch-killed-server");
    let mut server = place.serve("journal", &[]);
    let host = host(&server);
    let call = place.watch(&host, &["--count", "30"]);
    joined(&server, 1);
    let mut lines = Vec::new();
    for round in 1..=3 {
        say_many(&server, &format!("round {round}"), 10, 20);
        // At the second kill something is still on its way, or not.
        if round != 2 {
            (0..10).for_each(|_| lines.push(call.receipt()));
        }
        server.signal("KILL");
        server.wait();
        server = place.serve_again("journal", &host);
    }
    let ran = call.end();
    lines.extend(ran.receipts);
    assert_eq!((ran.code, ids(&lines)), (Some(0), all(30)));
    assert_eq!(lines.len(), 30, "nothing is lost: {lines:?}");
    assert!(ran.complaints.iter().any(|line| line.contains("not connected: ")), "{:?}", ran.complaints);
}

#[test]
fn without_a_journal_what_came_meanwhile_is_told_as_lost() {
    let mut server = Server::start(&[]);
    let host = host(&server);
    let call = watch(&[&host, "--count", "2"]);
    joined(&server, 1);
    say(&server, &["one"]);
    assert!(call.receipt().starts_with("MSG 1 "));
    server.signal("KILL");
    server.wait();
    let server = Server::start(&["--listen", &host]);
    assert_eq!(call.receipt(), "LOST ?");
    joined(&server, 1);
    say(&server, &["another"]);
    assert!(call.receipt().starts_with("MSG 1 "));
    let ran = call.end();
    assert!(
        ran.code == Some(0) && ran.complaints.iter().any(|line| line.contains("keeps no journal")),
        "{ran:?}"
    );
    let json = watch(&[&host, "--since=all", "--json"]);
    assert_eq!(json.receipt(), r#"{"lost":null}"#);
}

#[test]
fn a_new_journal_in_place_of_the_old_one_is_told_and_printed_from_its_beginning() {
    let place = Place::new("watch-new-journal");
    let mut server = place.serve("old", &[]);
    let host = host(&server);
    say(&server, &["one", "two", "three"]);
    let call = place.watch(&host, &["--since=all"]);
    let mut lines: Vec<String> = (0..3).map(|_| call.receipt()).collect();
    server.signal("KILL");
    server.wait();
    // As many messages as before: by their IDs alone nobody could tell.
    let mut server = place.serve_again("new", &host);
    say(&server, &["uno", "due", "tre"]);
    (0..4).for_each(|_| lines.push(call.receipt()));
    server.signal("TERM");
    server.wait();
    // The old one again: it goes on where it ended.
    let server = place.serve_again("old", &host);
    say(&server, &["four"]);
    lines.push(call.receipt());
    let texts: Vec<&str> = lines.iter().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(texts, ["one", "two", "three", "?", "uno", "due", "tre", "four"]);
    call.signal("TERM");
    let ran = call.end();
    assert_eq!(ran.code, Some(143));
    assert!(ran.complaints.iter().any(|line| line.contains("another journal")), "{:?}", ran.complaints);
    assert!(place.state().contains(" is read to 4\n") && place.state().contains(" is read to 3\n"));
}

#[test]
fn what_the_ring_overwrote_is_counted() {
    let place = Place::new("watch-ring");
    let server = place.serve("journal", &[]);
    let host = host(&server);
    say(&server, &["one"]);
    assert_eq!(ids(&place.watch_some(&host, 1)), [1]);
    say_many(&server, "flood", 4_000, LONG_BYTES);
    let call = place.watch(&host, &[]);
    let lost: u64 = call.receipt().strip_prefix("LOST ").expect("the ring turned over").parse().unwrap();
    let mut lines = vec![call.receipt()];
    while !lines.last().unwrap().contains("flood 4000 ") {
        lines.push(call.receipt());
    }
    let ids = ids(&lines);
    assert_eq!((ids[0], *ids.last().unwrap()), (lost + 2, 4_001));
    assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1));
}

#[test]
fn of_several_servers_each_goes_on_where_it_was_left() {
    let place = Place::new("watch-servers");
    let (mut first, second) = (place.serve("first", &[]), place.serve("second", &[]));
    let address = host(&first);
    let both = format!("{address},{}", host(&second));
    say(&first, &["first one"]);
    let call = place.watch(&both, &["--since=all"]);
    assert!(call.receipt().ends_with("first one"));
    say(&second, &["second one"]);
    first.signal("KILL");
    first.wait();
    assert_eq!(
        call.receipt(),
        "LOST ?",
        "it cannot know that the other server's journal is no new one of this"
    );
    assert!(call.receipt().ends_with("second one"));
    let first = place.serve_again("first", &address);
    say(&first, &["first two"]);
    // Its connection ends, so the first in the list is tried first.
    second.signal("TERM");
    assert!(call.receipt().ends_with("first two"));
}

// ---- Ends of the call ----------------------------------------------------------------------------------

#[test]
fn a_killed_call_prints_nothing_less_and_only_what_was_not_saved_twice() {
    let place = Place::new("watch-killed");
    let server = place.serve("journal", &[]);
    let host = host(&server);
    say_many(&server, "message", 100, 20);
    let call = place.watch(&host, &["--since=all"]);
    let first: Vec<String> = (0..100).map(|_| call.receipt()).collect();
    eventually("the state is written", || place.state().contains(" is read to 100\n"));
    say_many(&server, "more", 50, 20);
    (0..20).for_each(|_| drop(call.receipt()));
    call.signal("KILL");
    drop(call);
    let saved: u64 =
        place.state().split(" is read to ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
    assert!((100..=150).contains(&saved));
    let call = place.watch(&host, &[]);
    say(&server, &["last"]);
    let mut second = vec![call.receipt()];
    while !second.last().unwrap().ends_with(" last") {
        second.push(call.receipt());
    }
    assert_eq!((ids(&first), ids(&second)), (all(100), (saved + 1..=151).collect()));
}

#[test]
fn a_signal_ends_it_and_nothing_is_printed_twice() {
    let place = Place::new("watch-signals");
    let server = place.serve("journal", &[]);
    let host = host(&server);
    let mut lines = Vec::new();
    for (round, (signal, code)) in [("INT", 130), ("TERM", 143), ("HUP", 129)].into_iter().enumerate() {
        let call = place.watch(&host, &["--since=all"]);
        say_many(&server, "message", 100, 20);
        (0..50).for_each(|_| lines.push(call.receipt()));
        call.signal(signal);
        let ran = call.end();
        lines.extend(ran.receipts);
        assert_eq!((ran.code, ran.complaints.len()), (Some(code), 0), "round {round}: {:?}", ran.complaints);
    }
    let rest = 300 - ids(&lines).len();
    if rest > 0 {
        lines.extend(place.watch_some(&host, rest));
    }
    assert_eq!(ids(&lines), all(300));
}

#[test]
fn a_reader_that_goes_ends_it_at_once() {
    let place = Place::new("watch-reader");
    let server = place.serve("journal", &[]);
    let host = host(&server);
    say(&server, &["one", "two"]);
    let mut child = watching(&[&host, "--since=all", "--state", &place.path("state")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(reader.next().unwrap().unwrap().ends_with(" one"));
    assert!(reader.next().unwrap().unwrap().ends_with(" two"));
    drop(reader);
    // No message comes that could not be written.
    let mut code = None;
    eventually("it ends", || {
        code = child.try_wait().unwrap();
        code.is_some()
    });
    assert_eq!(code.and_then(|code| code.code()), Some(0));
    assert!(place.state().contains(" is read to 2\n"), "{}", place.state());
}

#[test]
fn what_cannot_be_written_does_not_count_as_printed() {
    let place = Place::new("watch-full");
    let server = place.serve("journal", &[]);
    let host = host(&server);
    say(&server, &["one", "two"]);
    for count in [&[][..], &["--count", "2"]] {
        let state = place.path("state");
        let mut command = watching(&[&[&host, "--since=all", "--state", &state], count].concat());
        command.stdout(File::options().write(true).open("/dev/full").unwrap()).stderr(Stdio::piped());
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(4), "{count:?}");
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(told, "firstline: standard output: No space left on device\n");
    }
    assert_eq!(ids(&place.watch_some(&host, 2)), [1, 2]);
}

#[test]
fn a_file_that_ends_in_a_part_of_a_line_gets_whole_lines_after_it() {
    let place = Place::new("watch-append");
    let server = place.serve("journal", &[]);
    say(&server, &["one", "two"]);
    let path = place.path("messages");
    // As a full disk or a kill leaves it.
    std::fs::write(&path, "MSG 1 p4 127.0.0.1:5 on").unwrap();
    let mut command = watching(&[&host(&server), "--since=all", "--count", "2"]);
    command.stdout(File::options().append(true).open(&path).unwrap());
    assert_eq!(command.status().unwrap().code(), Some(0));
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[1].starts_with("MSG 1 ") && lines[1].ends_with(" one"), "{text}");
}

#[test]
fn a_peer_that_never_pauses_delays_neither_the_time_out_nor_a_signal() {
    let peer = endless_peer();
    let mut timed = watching(&[&peer, "--timeout", "0.5"]);
    assert_eq!(timed.stderr(Stdio::null()).status().unwrap().code(), Some(3));
    let mut watcher = watching(&[&peer]).stderr(Stdio::piped()).spawn().unwrap();
    // It has connected when it complains.
    let mut complaint = String::new();
    BufReader::new(watcher.stderr.as_mut().unwrap()).read_line(&mut complaint).unwrap();
    signal(watcher.id(), "TERM");
    assert_eq!(watcher.wait().unwrap().code(), Some(143), "{complaint}");
}

#[test]
fn a_server_that_answers_nothing_more_gives_way_to_the_next() {
    let place = Place::new("watch-silent");
    let server = place.serve("journal", &[]);
    say(&server, &["one"]);
    let servers = format!("{},{}", silent_peer(), host(&server));
    let output = watching(&[&servers, "--since=all", "--count", "1"]).stderr(Stdio::null()).output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().ends_with(" one\n"));
}

#[test]
fn a_reader_that_pauses_is_no_lack_of_messages() {
    // More than the pipe and the watcher hold.
    const COUNT: usize = 1_500;
    let journal = Directory::new("watch-pause");
    let server = Server::start(&["--journal", journal.path(), "--sync", "none"]);
    say_many(&server, "flood", COUNT, LONG_BYTES);
    let mut command = watching(&[&host(&server), "--since=all", "--count", "1500", "--timeout", "3"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().is_some());
    // Longer than the time-out.
    std::thread::sleep(std::time::Duration::from_secs(5));
    assert_eq!(lines.count() + 1, COUNT);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// The address of a peer that answers the first line of each that connects, and nothing after that.
fn silent_peer() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut streams = Vec::new();
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = BufReader::new(stream.try_clone().unwrap()).read_line(&mut String::new());
            let _ = stream.write_all(b"OK 1\n");
            streams.push(stream);
        }
    });
    address
}

#[test]
fn a_slow_reader_gets_everything_though_the_server_ends_its_connections() {
    // More than the sockets of both ends hold.
    const COUNT: usize = 40_000;
    let journal = Directory::new("watch-slow");
    let server = Server::start(&["--journal", journal.path(), "--sync", "none", "--write-timeout", "0.1"]);
    let count = COUNT.to_string();
    let mut child =
        watching(&[&host(&server), "--since=all", "--count", &count]).stdout(Stdio::piped()).spawn().unwrap();
    joined(&server, 1);
    say_many(&server, "flood", COUNT, LONG_BYTES);
    server.wait_for_stats("it is ended as too slow", |stats| {
        stats.get("closed-too-slow").is_some_and(|count| *count > 0)
    });
    let lines: Vec<String> =
        BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok).collect();
    assert_eq!((child.wait().unwrap().code(), lines.len()), (Some(0), COUNT));
    assert!(ids(&lines) == all(COUNT as u64));
}

#[test]
fn history_that_is_cut_short_is_not_told_as_sent() {
    let journal = Directory::new("cut-history");
    let args = ["--journal", journal.path(), "--sync", "none", "--write-timeout", "0.1"];
    let server = Server::start(&args);
    // More than the sockets of both ends hold.
    const COUNT: usize = 40_000;
    const SLOW: usize = 6;
    say_many(&server, "flood", COUNT, LONG_BYTES);
    let slow: Vec<Client> = (0..SLOW)
        .map(|_| {
            let mut client = server.connect();
            client.send("/join 0 since 0\n");
            client
        })
        .collect();
    server.wait_for_stats("all are ended as too slow", |stats| {
        stats.get("closed-too-slow").is_some_and(|count| *count >= SLOW as u64)
    });
    for mut client in slow {
        let said = client.rest();
        assert!(said.len() < COUNT, "it is cut short");
        assert!(!said.iter().any(|line| line.starts_with("OK ")), "{:?}", said.last());
    }
}

#[test]
fn begun_line_does_not_end_the_history_before_its_end() {
    let journal = Directory::new("begun-line");
    let server = Server::start(&["--journal", journal.path(), "--sync", "none", "--line-timeout", "0.3"]);
    // More than the sockets of both ends hold.
    const COUNT: usize = 40_000;
    say_many(&server, "flood", COUNT, LONG_BYTES);
    let mut client = server.connect();
    client.send("/join 0 since 0\nthe rest of this line never comes");
    assert!(client.line().starts_with("MSG 1 "));
    // Longer than the time-out of a begun line, which does not run while the server owes a reply.
    std::thread::sleep(std::time::Duration::from_secs(1));
    let said = client.rest();
    let (ends, messages): (Vec<String>, Vec<String>) =
        said.into_iter().partition(|line| !line.starts_with("MSG "));
    assert_eq!((ends[0].as_str(), messages.len()), ("OK 1", COUNT - 1));
    assert!(ends[1].starts_with("ERR 0 line-timeout"), "{ends:?}");
}

#[test]
fn an_output_that_nobody_reads_is_given_up_by_a_signal_and_printed_again() {
    let place = Place::new("watch-stuck");
    let server = place.serve("journal", &[]);
    let host = host(&server);
    say_many(&server, "message", 1_000, LONG_BYTES);
    let mut child = watching(&[&host, "--since=all", "--state", &place.path("state")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("something is printed", || place.state().contains(" is read to "));
    crate::support::signal(child.id(), "TERM");
    let mut stdout = child.stdout.take().unwrap();
    let mut code = None;
    eventually("it ends, though nobody reads", || {
        code = child.try_wait().unwrap();
        code.is_some()
    });
    assert_eq!(code.and_then(|code| code.code()), Some(143));
    let mut text = String::new();
    stdout.read_to_string(&mut text).unwrap();
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    let mut lines: Vec<String> = text[..whole].lines().map(str::to_string).collect();
    lines.extend(place.watch_some(&host, 1_000 - lines.len()));
    assert_eq!(ids(&lines), all(1_000));
}

// ---- The state -----------------------------------------------------------------------------------------

#[test]
fn a_state_that_cannot_be_used_is_told_and_left_as_it_is() {
    let place = Place::new("watch-bad-state");
    let server = place.serve("journal", &[]);
    let host = host(&server);
    say(&server, &["one"]);
    place.watch_some(&host, 1);
    let good = place.state();
    let with = |held: &str, what: &str| {
        fs::write(place.path("state"), held).unwrap();
        let ran = place.watch(&host, &["--since=all", "--count=1"]).end();
        assert_eq!((ran.code, ran.receipts.len(), ran.complaints.len()), (Some(2), 0, 1), "{what}: {ran:?}");
        assert!(ran.complaints[0].contains("remove it"), "{ran:?}");
        assert_eq!(place.state(), held, "{what}");
    };
    with(&good.replace("is read to 1", "is read to 9"), "changed");
    with(&good[..good.len() - 3], "cut");
    with("", "empty");
    with("root:x:0:0:root:/root:/bin/bash\n", "another's");
    fs::write(place.path("state"), &good).unwrap();
    let call = place.watch(&host, &[]);
    joined(&server, 1);
    let second = place.watch(&host, &[]).end();
    assert!(second.code == Some(2) && second.complaints[0].contains("another firstline watch"), "{second:?}");
    drop(call);
    let nowhere = ran(&[&host, "--state", &place.path("nowhere/state")]);
    assert!(
        nowhere.code == Some(2) && nowhere.complaints[0].ends_with("No such file or directory"),
        "{nowhere:?}"
    );
    let device = ran(&[&host, "--state", "/dev/null"]);
    assert!(device.code == Some(2) && device.complaints[0].contains("not a regular file"), "{device:?}");
}

#[test]
fn a_state_that_cannot_be_written_any_more_is_told_once_and_stops_no_message() {
    let place = Place::new("watch-lost-state");
    let server = place.serve("journal", &[]);
    let host = host(&server);
    let directory = place.path("states");
    fs::create_dir(&directory).unwrap();
    let call = watch(&[&host, "--state", &format!("{directory}/state"), "--since=all", "--count=3"]);
    joined(&server, 1);
    // Nothing can be made in it any more; unlike its permissions, that holds for root too.
    take_away(Path::new(&directory));
    say(&server, &["one", "two"]);
    assert!(call.receipt().ends_with(" one") && call.receipt().ends_with(" two"));
    let told = call.complaint();
    assert!(
        told.contains("--state ") && told.contains("No such file") && told.contains("printed again"),
        "{told}"
    );
    say(&server, &["three"]);
    let ran = call.end();
    assert_eq!((ran.code, ids(&ran.receipts), ran.complaints.len()), (Some(4), vec![3], 1), "{ran:?}");
}

#[test]
fn a_state_of_another_journal_and_one_that_is_ahead_are_told() {
    let place = Place::new("watch-other-state");
    let server = place.serve("first", &[]);
    say(&server, &["one", "two", "three"]);
    place.watch_some(&host(&server), 3);
    let copy = |from: &str, to: &str| {
        let mut command = Command::new("cp");
        command.args(["-r", &place.path(from), &place.path(to)]);
        assert!(run_to_end(command).status.success());
    };
    assert_eq!(server.end(), Some(0));
    copy("first", "copy");
    let server = place.serve("first", &[]);
    say(&server, &["four", "five"]);
    assert_eq!(ids(&place.watch_some(&host(&server), 2)), [4, 5]);
    drop(server);
    let server = place.serve("copy", &[]);
    let call = place.watch(&host(&server), &["--count=1"]);
    assert_eq!(call.receipt(), "LOST ?");
    say(&server, &["other four"]);
    let ran = call.end();
    assert!(ran.receipts[0].ends_with("other four"), "{ran:?}");
    assert!(ran.complaints[0].contains("ends at message 3, and message 5"), "{ran:?}");
    drop(server);
    let server = place.serve("second", &[]);
    say(&server, &["uno"]);
    let ran = place.watch(&host(&server), &["--count=1"]).end();
    assert_eq!((ran.code, &ran.receipts[0][..], ids(&ran.receipts)), (Some(0), "LOST ?", vec![1]));
    assert!(ran.complaints[0].contains("another journal"), "{ran:?}");
}

#[test]
fn the_state_is_written_at_most_once_a_second() {
    let place = Place::new("watch-state-rate");
    let server = place.serve("journal", &[]);
    let call = place.watch(&host(&server), &["--since=all"]);
    joined(&server, 1);
    let mut client = server.connect();
    let (mut states, mut count) = (BTreeSet::new(), 0);
    let begin = Instant::now();
    while count <= 10 || begin.elapsed() < Duration::from_millis(2_500) {
        client.ask("tick");
        call.receipt();
        states.insert(place.state());
        count += 1;
    }
    let seconds = begin.elapsed().as_secs() as usize;
    assert!(states.len() <= seconds + 4, "{} states of {count} messages in {seconds} s", states.len());
}
