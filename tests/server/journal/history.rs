//! What clients get of the history: `/last`, `/since` and `/join since`.

use super::{answer, fill, flip, numbered};
use crate::support::directory::Directory;
use crate::support::{Client, Server, id_of};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, panicking, spawn};

#[test]
fn history_is_sent_oldest_first() {
    let directory = Directory::new("back");
    let server = directory.start(&["--sync", "none"]);
    let mut client = server.connect();
    client.send("/last 3\n/since 0\n");
    assert_eq!(answer(&mut client), (vec![], vec!["OK 1".to_string()]));
    assert_eq!(answer(&mut client), (vec![], vec!["OK 2".to_string()]));
    fill(&mut client, 1_000);
    let mut reader = server.connect();
    reader.send("/last 3\n/since 990\n/since 0\n/last 5000\n/since 1000\n/since 1001\n");
    assert_eq!(answer(&mut reader), (numbered(998..=1_000), vec!["OK 1".to_string()]));
    assert_eq!(answer(&mut reader), (numbered(991..=1_000), vec!["OK 2".to_string()]));
    assert_eq!(answer(&mut reader), (numbered(1..=1_000), vec!["OK 3".to_string()]));
    assert_eq!(answer(&mut reader), (numbered(1..=1_000), vec!["OK 4".to_string()]));
    assert_eq!(answer(&mut reader), (vec![], vec!["OK 5".to_string()]));
    assert_eq!(answer(&mut reader), (vec![], vec!["OK 6".to_string()]));
    for ahead in ["1002", "18446744073709551615"] {
        let refused = reader.ask(&format!("/since {ahead}"));
        assert!(refused.ends_with(" ahead-of-history 1000"), "{refused}");
    }
}

#[test]
fn overwritten_messages_are_reported_for_since_but_not_for_last() {
    let directory = Directory::new("lost");
    let server = directory.start(&["--sync", "none"]);
    let mut client = server.connect();
    fill(&mut client, 40_000);
    let mut reader = server.connect();
    reader.send("/since 0\n");
    let (messages, others) = answer(&mut reader);
    let first = messages[0].0;
    assert_eq!(messages, numbered(first..=40_000));
    assert_eq!(others, [format!("LOST {}", first - 1), "OK 1".to_string()]);
    reader.send("/last 40000\n");
    assert_eq!(answer(&mut reader), (numbered(first..=40_000), vec!["OK 2".to_string()]));
}

#[test]
fn join_since_sends_the_history_and_then_live_messages_without_gap_or_repetition() {
    let directory = Directory::new("join");
    let server = directory.start(&["--sync", "none"]);
    let mut client = server.connect();
    fill(&mut client, 2_000);
    let address = server.address;
    let sending = std::thread::spawn(move || {
        let mut client = Client::connect(address);
        fill(&mut client, 8_000);
    });
    let mut readers: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    for reader in &mut readers {
        reader.send("/join 0 since 1000\n");
    }
    for mut reader in readers {
        let (mut next, mut closed) = (1_001, false);
        while next <= 10_000 {
            let line = reader.line();
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["MSG", id, ..] => {
                    assert_eq!(id.parse::<u64>().unwrap(), next, "{line}");
                    next += 1;
                }
                ["OK", "1"] => closed = true,
                _ => panic!("{line}"),
            }
        }
        assert!(closed || reader.line() == "OK 1");
        assert_eq!(reader.ask("/ping"), "OK 2");
    }
    sending.join().unwrap();
}

/// Sends messages all the time, until it is dropped.
struct Flood {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    fn start(address: SocketAddr) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_over);
        let flood = move || {
            let mut client = Client::connect(address);
            while !ends.load(Ordering::Relaxed) {
                fill(&mut client, 1_000);
            }
        };
        Self { is_over, thread: Some(spawn(flood)) }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || panicking());
    }
}

#[test]
fn history_is_complete_during_a_flood_and_does_not_delay_the_shutdown() {
    const MESSAGES: usize = 40_000;
    let directory = Directory::new("flood");
    let server = directory.start(&["--sync", "none", "--journal-size", "64M"]);
    fill(&mut server.connect(), MESSAGES);
    let flood = Flood::start(server.address);
    let mut readers = [server.connect(), server.connect()];
    readers.iter_mut().for_each(|reader| reader.send("/since 0\n"));
    let mut other = server.connect();
    other.send("/last 3\n");
    let (messages, others) = answer(&mut other);
    assert_eq!((messages.len(), others), (3, vec!["OK 1".to_string()]));
    for reader in &mut readers {
        let (messages, others) = answer(reader);
        assert_eq!(others, ["OK 1"]);
        let ids: Vec<u64> = messages.iter().map(|(id, _)| *id).collect();
        assert!(ids.len() >= MESSAGES && ids.iter().copied().eq(1..=ids.len() as u64), "{}", ids.len());
    }
    let mut last = server.connect();
    last.send("/since 0\n");
    assert!(last.line().starts_with("MSG 1 "));
    drop(flood);
    assert_eq!(server.end(), Some(0));
}

#[test]
fn join_since_filters_the_history_by_priority() {
    let directory = Directory::new("urgent");
    let server = directory.start(&[]);
    let mut client = server.connect();
    for line in ["/low dust", "/urgent smoke", "plain", "/high water"] {
        id_of(&client.ask(line));
    }
    let mut reader = server.connect();
    reader.send("/join 7 since 0\n");
    let expected = vec![(2, "smoke".to_string()), (4, "water".to_string())];
    assert_eq!(answer(&mut reader), (expected, vec!["OK 1".to_string()]));
    id_of(&client.ask("/low dust"));
    id_of(&client.ask("/urgent fire"));
    assert!(reader.line().ends_with("fire"));
    reader.send("/leave\n");
    assert_eq!(reader.line(), "OK 2");
}

#[test]
fn blocked_or_reset_readers_disturb_no_other_client() {
    let directory = Directory::new("readers");
    let server = directory.start(&["--sync", "none", "--journal-size", "8M"]);
    let mut client = server.connect();
    fill(&mut client, 60_000);
    let mut stuck = server.connect();
    stuck.send("/since 0\n");
    // Now the server has begun the answer, which ends with the newest message of this moment.
    assert!(stuck.line().starts_with("MSG 1 "));
    for _ in 0..20 {
        let mut gone = server.connect();
        gone.send("/join since 0\n");
        assert!(gone.line().starts_with("MSG 1 "));
        gone.reset();
    }
    id_of(&client.ask("still here"));
    // The stuck reader gets everything once it reads.
    let (messages, others) = answer(&mut stuck);
    assert_eq!((messages, others), (numbered(2..=60_000), vec!["OK 1".to_string()]));
    // A client that half-closes its connection gets the whole answer.
    let mut half = server.connect();
    half.send("/last 30000\nhello\n");
    half.end_sending();
    let rest = half.rest();
    assert_eq!(rest.len(), 30_002, "{:?}", rest.last());
    // The reply to its message does not wait for the history.
    let said: Vec<_> = rest.iter().filter(|line| !line.starts_with("MSG ")).collect();
    assert!(said.iter().any(|line| line.starts_with("ACK 2 ")) && said.iter().any(|line| *line == "OK 1"));
    server.wait_for_stats("the places of closed connections", |stats| stats["clients"] == 3);
    let mut late = server.connect();
    late.send("/since 0\n");
    assert!(late.line().starts_with("MSG 1 "));
    assert_eq!(server.end(), Some(0));
}

#[test]
fn without_a_journal_the_history_commands_are_refused() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    for (number, line) in ["/last 1", "/since 0", "/join since 0"].into_iter().enumerate() {
        assert_eq!(
            client.ask(line),
            format!("ERR {} no-journal start the server with --journal", number + 1)
        );
    }
}

#[test]
fn damaged_message_loses_only_itself_and_is_reported() {
    let directory = Directory::new("damaged");
    let server = directory.start(&["--sync", "none"]);
    let mut client = server.connect();
    // The records reach beyond the first segment: damage in the newest segment could end it.
    let text = "x".repeat(400);
    for number in 1..=600 {
        id_of(&client.ask(&format!("{number} {text}")));
    }
    let path = directory.0.join("0.journal");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(7).position(|window| window == b"100 xxx").unwrap();
    bytes[at + 10] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    client.send("/since 98\n");
    let (messages, others) = answer(&mut client);
    let ids: Vec<u64> = messages.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [99].into_iter().chain(101..=600).collect::<Vec<_>>());
    assert_eq!(others, ["LOST 1", "OK 601"]);
    server.wait_for_log("bytes of 0.journal are damaged, from ");
    assert!(client.stats()["journal-damaged-bytes-read"] > 400);
}

#[test]
fn answer_reports_no_more_lost_messages_than_requested() {
    let directory = Directory::new("end");
    // The readers do not read while the ring is filled, however long that takes.
    let server = directory.start(&["--sync", "none", "--write-timeout", "off"]);
    let mut client = server.connect();
    let text = "x".repeat(200);
    let mut fill = |count: usize| {
        for _ in 0..count / 32 {
            client.send(format!("{text}\n").repeat(32));
            (0..32).for_each(|_| assert!(id_of(&client.line()) > 0));
        }
    };
    // More than the sockets hold, and then enough to rotate through the whole ring while the answer waits for
    // its reader.
    fill(1_600);
    let mut readers = [server.connect_reading_little(), server.connect_reading_little()];
    readers[0].send("/since 0\n");
    readers[1].send("/last 1600\n");
    readers.iter_mut().for_each(|reader| assert!(reader.line().starts_with("MSG 1 ")));
    fill(32_000);
    for reader in &mut readers {
        let (messages, others) = answer(reader);
        let lost: u64 =
            others.iter().filter_map(|line| line.strip_prefix("LOST ")?.parse::<u64>().ok()).sum();
        assert!(lost > 0, "{others:?}");
        assert_eq!(1 + messages.len() as u64 + lost, 1_600, "{others:?}");
    }
}

#[test]
fn position_ahead_of_the_history_is_refused_and_no_new_message_is_missed() {
    let directory = Directory::new("future");
    let server = directory.start(&["--sync", "none"]);
    let mut client = server.connect();
    fill(&mut client, 4);
    let mut reader = server.connect();
    assert_eq!(reader.ask("/join 3"), "OK 1");
    assert_eq!(reader.ask("/join 0 since 6"), "ERR 2 ahead-of-history 4");
    assert_eq!(reader.ask("/since 5000"), "ERR 3 ahead-of-history 4");
    // It is still subscribed as before. The very next ID is no error, and the message itself is sent.
    let mut next = server.connect();
    assert_eq!(next.ask("/join 0 since 5"), "OK 1");
    id_of(&client.ask("/urgent smoke"));
    for listener in [&mut reader, &mut next] {
        let line = listener.line();
        assert!(line.starts_with("MSG 5 p9 ") && line.ends_with(" smoke"), "{line}");
    }
}

#[test]
fn damaged_last_messages_are_reported_as_lost() {
    let directory = Directory::new("tail");
    let server = directory.start(&["--sync", "none"]);
    let mut client = server.connect();
    fill(&mut client, 10);
    id_of(&client.ask("the last one"));
    let path = directory.0.join("0.journal");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(12).position(|window| window == b"the last one").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    for command in ["/since 9", "/join since 9"] {
        let mut reader = server.connect();
        reader.send(format!("{command}\n"));
        let expected = (numbered(10..=10), vec!["LOST 1".to_string(), "OK 1".to_string()]);
        assert_eq!(answer(&mut reader), expected, "{command}");
    }
}

#[test]
fn last_messages_are_counted_without_the_ids_of_a_torn_end() {
    let directory = Directory::new("torn-last");
    let server = directory.start(&[]);
    let mut client = server.connect();
    fill(&mut client, 20);
    let long = "x".repeat(500);
    (21..=32).for_each(|id| assert_eq!(id_of(&client.ask(&long)), id));
    assert_eq!(server.end(), Some(0));
    let file = directory.0.join("0.journal");
    let bytes = std::fs::read(&file).unwrap();
    memchr::memmem::find_iter(&bytes, &long).for_each(|offset| flip(&file, offset as u64));
    let server = directory.start(&[]);
    let mut reader = server.connect();
    reader.send("/last 10\n/last 1\n/last 1000\n");
    for (line, first) in [(1, 11), (2, 20), (3, 1)] {
        let (messages, others) = answer(&mut reader);
        assert_eq!(messages, numbered(first..=20));
        assert!(others[0].starts_with("LOST ") && others[1] == format!("OK {line}"), "{others:?}");
    }
    assert!(id_of(&server.connect().ask("more")) > 100, "the torn end may have held that many messages");
    reader.send("/last 2\n");
    let (messages, others) = answer(&mut reader);
    assert_eq!(messages.iter().map(|(_, text)| &text[..]).collect::<Vec<_>>(), ["20", "more"]);
    assert!(others[0].starts_with("LOST ") && others[1] == "OK 4", "{others:?}");
    assert_eq!(server.end(), Some(0));
}
