//! The promise of the shutdown: the server accepts no connection and reads no more, acknowledges every admitted
//! message, and says goodbye to every client, within the drain time-out. A second signal ends it at once.

use crate::support::stuck::StuckServer;
use crate::support::{Client, Server, command, eventually, signal};
use firstline::limits::{FAREWELL_MS_MAX, IN_FLIGHT};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{ErrorKind, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const BYE: &str = "BYE shutting-down";

/// Longer than any test.
const NO_DRAIN_TIMEOUT: [&str; 2] = ["--drain-timeout", "3600"];

#[test]
fn idle_server_ends_at_once_with_success() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start(&NO_DRAIN_TIMEOUT);
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0), "{signal}");
    }
}

#[test]
fn every_client_gets_goodbye_as_its_last_line() {
    let mut server = Server::start(&NO_DRAIN_TIMEOUT);
    let mut clients: Vec<Client> = (0..5).map(|_| server.connect()).collect();
    assert_eq!(clients[1].ask("/join"), "OK 1");
    assert_eq!(clients[2].ask("/nick alice"), "OK 1");
    assert_eq!(clients[3].ask("half a line follows"), "ACK 1 1");
    clients[3].send("half a li");
    assert!(clients[1].line().starts_with("MSG 1 p4 "));
    assert_eq!(clients[4].ask("/ping"), "OK 1");
    server.signal("TERM");
    for client in &mut clients {
        assert_eq!(client.rest(), [BYE]);
    }
    // The clients keep their sides open; the server does not wait for that.
    assert_eq!(server.wait().code(), Some(0));
}

/// Sends lines without a pause, every tenth of them a command, until the connection ends. Returns the replies.
fn flood(mut client: Client) -> JoinHandle<Vec<String>> {
    let mut writer = client.stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        let lines: String = (1..=100)
            .map(|n| if n % 10 == 0 { "/ping\n".into() } else { format!("/{} x\n", n % 10) })
            .collect();
        while writer.write_all(lines.as_bytes()).is_ok() {}
    });
    std::thread::spawn(move || {
        let replies = client.rest();
        // The writer may still be sending, which is over if the server has closed the connection.
        let _ = client.stream.shutdown(Shutdown::Both);
        writing.join().unwrap();
        replies
    })
}

/// Checks the replies to one flood: each line that the server received has one closing reply. Admitted messages
/// have an ACK, and the lines after them a refusal. Returns the IDs.
fn check_flood(replies: &[String]) -> Vec<u64> {
    let (bye, replies) = replies.split_last().unwrap();
    assert_eq!(bye, BYE);
    let (mut closed, mut ids) = (BTreeMap::new(), Vec::new());
    for reply in replies {
        let words: Vec<&str> = reply.split(' ').collect();
        let line: u64 = words[1].parse().unwrap();
        let accepted = match (line % 10, &words[..]) {
            (0, ["OK", _]) => true,
            (0, ["ERR", _, "shutting-down", ..]) => false,
            (1.., ["ACK", _, id]) => {
                ids.push(id.parse().unwrap());
                true
            }
            (1.., ["NAK", _, "shutting-down"]) => false,
            _ => panic!("not a reply to line {line}: {reply:?}"),
        };
        assert_eq!(closed.insert(line, accepted), None, "a second reply: {reply:?}");
    }
    assert!(closed.keys().copied().eq(1..=closed.len() as u64), "a line without a reply: {replies:?}");
    assert!(closed.values().is_sorted_by(|before, after| before >= after), "admitted after a refusal");
    ids
}

#[test]
fn every_received_line_of_a_flood_is_acknowledged_or_refused_once() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start(&NO_DRAIN_TIMEOUT);
        let floods: Vec<_> = (0..6).map(|_| flood(server.connect())).collect();
        server.wait_for_stats("the flood runs", |stats| stats["processed"] >= 5_000);
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0));
        let replies: Vec<_> = floods.into_iter().map(|flood| flood.join().unwrap()).collect();
        let ids: Vec<u64> = replies.iter().flat_map(|replies| check_flood(replies)).collect();
        // Only processed messages have IDs: the ACK of each of them has arrived.
        assert_eq!(ids.iter().copied().collect::<BTreeSet<_>>(), (1..=ids.len() as u64).collect());
    }
}

/// A server with a blocked consumer, and a client with one message queued behind the plug.
fn stuck_with_one() -> (StuckServer, Client) {
    let stuck = StuckServer::start(&NO_DRAIN_TIMEOUT);
    let mut client = stuck.server.connect();
    client.send("waiting\n");
    stuck.wait_for_waiting(1);
    (stuck, client)
}

/// Waits until the server is draining: an idle client gets its goodbye.
fn begin_to_drain(stuck: &StuckServer, signal: &str) {
    let mut idle = stuck.server.connect();
    assert_eq!(idle.ask("/ping"), "OK 1");
    stuck.server.signal(signal);
    assert_eq!(idle.rest(), [BYE]);
}

#[test]
fn message_that_a_handler_has_done_is_told_so_even_if_the_drain_timeout_leaves_it_unprinted() {
    let mut stuck = StuckServer::start(&["--drain-timeout", "8", "--handle", "9"]);
    let (mut client, mut handler) = (stuck.server.connect(), stuck.server.connect());
    assert_eq!(handler.ask("/handle"), "OK 1");
    client.send("/urgent shut\nplain\n");
    assert!(handler.line().starts_with("TASK 1 p9 "));
    assert_eq!(handler.ask("/done 1"), "OK 2");
    stuck.server.wait_for_stats("both are admitted", |stats| stats["admitted"] == 3);
    begin_to_drain(&stuck, "TERM");
    let mut refusals = client.rest();
    refusals.sort();
    assert_eq!(refusals, [BYE, "NAK 1 handler-unrecorded", "NAK 2 shutting-down"]);
    assert_ne!(stuck.server.wait().code(), Some(0), "messages were not processed");
}

#[test]
fn admitted_lines_are_acknowledged_and_received_ones_are_refused() {
    let mut stuck = StuckServer::start(&NO_DRAIN_TIMEOUT);
    let mut client = stuck.server.connect();
    let lines: String = (1..=IN_FLIGHT).map(|n| format!("/{} x\n", n % 10)).collect();
    // The lines are sent in one piece, and received in one.
    client.send(lines + "late\n/ping\n\n/nosuch\nlater\n");
    stuck.wait_for_waiting(IN_FLIGHT);
    begin_to_drain(&stuck, "TERM");
    client.send("too late\n");
    stuck.unplug();
    let mut order: Vec<usize> = (1..=IN_FLIGHT).collect();
    order.sort_by_key(|line| (9 - line % 10, *line));
    let acks = order.iter().enumerate().map(|(rank, line)| format!("ACK {line} {}", rank + 2));
    let n = IN_FLIGHT;
    let refusals = [
        format!("NAK {} shutting-down", n + 1),
        format!("ERR {} shutting-down try again later", n + 2),
        format!("ERR {} unknown-command try /help; //TEXT sends /TEXT", n + 4),
        format!("NAK {} shutting-down", n + 5),
        BYE.to_string(),
    ];
    // A refusal needs one free slot, and does not wait for the other ACKs.
    let (refused, acknowledged): (Vec<_>, Vec<_>) =
        client.rest().into_iter().partition(|line| !line.starts_with("ACK "));
    assert_eq!(acknowledged, acks.collect::<Vec<_>>());
    assert_eq!(refused, refusals);
    assert_eq!(stuck.first.rest(), ["ACK 1 1", BYE]);
    drop((client, stuck.first));
    assert_eq!(stuck.server.wait().code(), Some(0));
}

#[test]
fn new_connections_are_refused() {
    let (mut stuck, mut client) = stuck_with_one();
    begin_to_drain(&stuck, "TERM");
    assert_eq!(TcpStream::connect(stuck.server.address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    stuck.unplug();
    assert_eq!(client.rest(), ["ACK 1 2", BYE]);
    drop((client, stuck.first));
    assert_eq!(stuck.server.wait().code(), Some(0));
}

#[test]
fn half_closed_client_still_gets_its_acks() {
    // With one worker, a reply shows that the worker has seen everything before.
    let mut stuck = StuckServer::start(&[&NO_DRAIN_TIMEOUT[..], &["--workers", "1"]].concat());
    let mut client = stuck.server.connect();
    client.send("/low one\n/urgent two\nthree");
    client.end_sending();
    stuck.wait_for_waiting(3);
    begin_to_drain(&stuck, "TERM");
    stuck.unplug();
    assert_eq!(client.rest(), ["ACK 2 2", "ACK 3 3", "ACK 1 4"]);
    drop((client, stuck.first));
    assert_eq!(stuck.server.wait().code(), Some(0));
}

#[test]
fn second_signal_ends_it_at_once() {
    for (first, second, code) in
        [("TERM", "TERM", 128 + 15), ("TERM", "INT", 128 + 2), ("INT", "TERM", 128 + 15)]
    {
        let (mut stuck, mut client) = stuck_with_one();
        begin_to_drain(&stuck, first);
        stuck.server.signal(second);
        assert_eq!(stuck.server.wait().code(), Some(code), "{first}, {second}");
        assert_eq!(client.rest(), [] as [&str; 0], "neither processed nor refused");
    }
}

/// Sends SIGHUP, and waits until the server has read it.
fn hang_up(server: &Server) {
    server.signal("HUP");
    eventually("the signal is no longer pending", || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
        let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).unwrap();
        u64::from_str_radix(pending.trim(), 16).unwrap() & 1 == 0
    });
}

#[test]
fn sighup_ends_neither_the_server_nor_the_drain() {
    let (mut stuck, mut client) = stuck_with_one();
    hang_up(&stuck.server);
    assert_eq!(client.ask("/ping"), "OK 2");
    begin_to_drain(&stuck, "TERM");
    hang_up(&stuck.server);
    stuck.unplug();
    assert_eq!(client.rest(), ["ACK 1 2", BYE]);
    drop((client, stuck.first));
    assert_eq!(stuck.server.wait().code(), Some(0));
}

#[test]
fn after_the_drain_timeout_queued_messages_are_refused_and_the_exit_code_is_3() {
    let mut stuck = StuckServer::start(&["--drain-timeout", "8"]);
    let (mut client, mut ended) = (stuck.server.connect(), stuck.server.connect());
    let count = IN_FLIGHT + 10;
    // The last ten are received, but not admitted.
    client.send("x\n".repeat(count));
    stuck.wait_for_waiting(IN_FLIGHT);
    ended.send("/urgent one\n/low two\n");
    stuck.wait_for_waiting(IN_FLIGHT + 2);
    ended.end_sending();
    stuck.server.signal("TERM");
    let mut replies = client.rest();
    assert_eq!(replies.pop().unwrap(), BYE);
    assert_eq!(replies.len(), count);
    let refusals = (1..=count).map(|line| format!("NAK {line} shutting-down"));
    assert_eq!(BTreeSet::from_iter(replies), refusals.collect());
    assert_eq!(ended.lines(2), ["NAK 1 shutting-down", "NAK 2 shutting-down"]);
    assert_eq!(stuck.server.wait().code(), Some(3));
}

#[test]
fn batch_that_is_blocked_at_the_drain_timeout_means_exit_code_3() {
    let mut stuck = StuckServer::start(&["--drain-timeout", "1"]);
    stuck.server.signal("TERM");
    assert_eq!(stuck.server.wait().code(), Some(3));
    // The server cannot know what became of the message.
    assert_eq!(stuck.first.rest(), [] as [&str; 0]);
}

/// Sends a line repeatedly without reading a reply, until the server takes no more.
fn fill_connection(server: &Server, client: &mut Client, line: &str) {
    let (mut watcher, lines) = (server.connect(), line.repeat(10_000));
    client.stream.set_nonblocking(true).unwrap();
    let mut received = 0;
    eventually("the server takes no more", || {
        let mut full = true;
        let error = loop {
            match client.stream.write(lines.as_bytes()) {
                Ok(bytes) => full &= bytes == 0,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
        let before = std::mem::replace(&mut received, watcher.stats()["bytes-in"]);
        full && received == before + "/stats\n".len() as u64
    });
}

#[test]
fn client_that_does_not_read_delays_the_end_until_the_drain_timeout_at_most() {
    // The client leaves its replies unread, or the lines of an answer.
    for line in ["x\n", "/help\n"] {
        let mut server = Server::start(&["--drain-timeout", "1", "--write-timeout", "off"]);
        let (mut unread, mut reader) = (server.connect(), server.connect());
        fill_connection(&server, &mut unread, line);
        server.signal("TERM");
        assert_eq!(reader.rest(), [BYE]);
        assert_eq!(server.wait().code(), Some(0), "every admitted message is processed; {line:?}");
    }
}

#[test]
fn end_does_not_wait_for_clients_that_stay_after_goodbye() {
    let ends_before_the_farewell_limit = || {
        let mut server = Server::start(&NO_DRAIN_TIMEOUT);
        let mut clients: Vec<Client> = (0..5).map(|_| server.connect()).collect();
        for client in &mut clients {
            assert_eq!(client.ask("hello").split(' ').next(), Some("ACK"));
        }
        let start = Instant::now();
        server.signal("TERM");
        assert_eq!(server.wait().code(), Some(0));
        let took = start.elapsed();
        for client in &mut clients {
            assert_eq!(client.rest(), [BYE]);
        }
        took < Duration::from_millis(FAREWELL_MS_MAX) / 2
    };
    // On a loaded machine one attempt may take longer; a server that waits takes longer each time.
    assert!((0..10).any(|_| ends_before_the_farewell_limit()));
}

#[test]
fn end_does_not_wait_for_a_subscriber_that_is_only_owed_messages() {
    let mut server = Server::start(&[&NO_DRAIN_TIMEOUT[..], &["--write-timeout", "off"]].concat());
    let mut joined = server.connect_reading_little();
    assert_eq!(joined.ask("mine"), "ACK 1 1");
    assert_eq!(joined.ask("/join"), "OK 2");
    let (mut speaker, lines) = (server.connect(), format!("{}\n", "x".repeat(500)).repeat(20));
    let mut watcher = server.connect();
    eventually("a message is lost for the subscriber", || {
        speaker.send(&lines);
        assert!(speaker.lines(20).iter().all(|line| line.starts_with("ACK ")));
        watcher.stats()["msgs-lost"] > 0
    });
    server.signal("TERM");
    assert_eq!(speaker.rest(), [BYE]);
    assert_eq!(server.wait().code(), Some(0));
}

/// A server in a terminal of its own, which `script` makes: the server, and the ID of its process, which is a
/// descendant.
fn start_in_terminal(how: impl Fn(&str) -> String) -> (Server, u32) {
    let mut shell = Command::new("sh");
    let server = command();
    let words = std::iter::once(server.get_program()).chain(server.get_args());
    // Quoted for the shell, in case there is a space in a word.
    let words: Vec<String> =
        words.map(|word| format!("'{}'", word.to_str().expect("a plain name"))).collect();
    let serve = how(&format!("{} --listen 127.0.0.1:0 2>&3", words.join(" ")));
    // If the tests run under nohup, SIGHUP is ignored, so it is reset.
    shell.args(["-c", "exec 3>&2; exec env --default-signal=HUP script -qec \"$SERVE\" /dev/null"]);
    shell.env("SERVE", serve);
    let server = Server::start_command(shell);
    let mut pid = server.pid();
    while let Some(child) = child_of(pid) {
        pid = child;
    }
    (server, pid)
}

/// The first child of a process.
fn child_of(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()).is_some_and(|state| state != "Z")
}

#[test]
fn closed_terminal_ends_the_server_in_order() {
    let (server, pid) = start_in_terminal(|serve| format!("exec {serve}"));
    let mut client = server.connect();
    assert_eq!(client.ask("hello"), "ACK 1 1");
    // While the terminal is there, the signal has its usual meaning.
    signal(pid, "HUP");
    server.wait_for_log("SIGHUP: ");
    assert_eq!(client.ask("/ping"), "OK 2");
    server.signal("KILL");
    assert_eq!(client.rest(), [BYE]);
    eventually("the server has ended", || !is_running(pid));
}

#[test]
fn ignored_sighup_survives_the_terminal() {
    let (server, pid) = start_in_terminal(|serve| format!("trap '' HUP; exec {serve}"));
    let mut client = server.connect();
    server.signal("KILL");
    eventually("the terminal is gone", || !is_running(server.pid()));
    // As under nohup, when the terminal hangs up.
    signal(pid, "HUP");
    assert_eq!(client.ask("hello"), "ACK 1 1");
    signal(pid, "TERM");
    assert_eq!(client.rest(), [BYE]);
    eventually("the server has ended", || !is_running(pid));
}

#[test]
fn disowned_server_reloads_on_sighup_without_its_terminal() {
    // A background job, which the kernel does not signal, and whose shell is gone before it could do so.
    let (server, pid) = start_in_terminal(|serve| format!("set -m; {serve} & wait"));
    let mut client = server.connect();
    let shell = server.pid();
    server.signal("KILL");
    eventually("the terminal is gone", || !is_running(shell));
    signal(pid, "HUP");
    assert_eq!(client.ask("hello"), "ACK 1 1");
    assert!(is_running(pid));
    signal(pid, "TERM");
    assert_eq!(client.rest(), [BYE]);
    eventually("the server has ended", || !is_running(pid));
}
