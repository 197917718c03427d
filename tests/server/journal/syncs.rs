//! What an ACK means, and that what was acknowledged outlives the server.

use crate::support::directory::Directory;
use crate::support::{Client, LIMIT, command, id_of};
use firstline::limits::{JOURNAL_SEGMENTS, PAGE_BYTES};
use std::collections::BTreeMap;

#[test]
fn acknowledged_messages_are_in_the_journal_and_ids_continue_after_a_restart() {
    let directory = Directory::new("restart");
    let server = directory.start(&[]);
    let mut client = server.connect();
    let first = id_of(&client.ask("hello"));
    assert_eq!(first, 1);
    assert_eq!(directory.messages(), BTreeMap::from([(1, "hello".to_string())]));
    assert_eq!(server.end(), Some(0));
    let server = directory.start(&[]);
    assert_eq!(id_of(&server.connect().ask("/urgent again")), 2);
    assert_eq!(server.end(), Some(0));
    assert_eq!(directory.messages().len(), 2);
}

#[test]
fn second_server_is_told_which_process_owns_the_journal() {
    let directory = Directory::new("second");
    let server = directory.start(&[]);
    let mut second = command();
    second.args(["--listen", "127.0.0.1:0", "--journal", directory.path(), "--journal-size", "1M"]);
    let output = second.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let expected = format!(
        "firstline: --journal {}: process {} writes to it; stop it first, or give another directory\n",
        directory.path(),
        server.pid()
    );
    assert!(said.ends_with(&expected), "{said}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn each_ack_follows_the_sync_that_its_priority_requires() {
    // The first unsynced message sets a flag in the file's header, and that is synced.
    for (sync, syncs) in [("all", [1, 1, 1]), ("7", [1, 1, 0]), ("none", [1, 0, 0])] {
        let directory = Directory::new(&format!("sync-{sync}"));
        // A long interval: the unsynced messages are not synced during the test.
        let interval: &[&str] = if sync == "7" { &["--sync-interval", "3600"] } else { &[] };
        let server = directory.start(&[&["--sync", sync], interval].concat());
        let mut client = server.connect();
        for (line, expected) in ["/urgent smoke", "/low dust", "/low more dust"].into_iter().zip(syncs) {
            let before = client.stats()["journal-syncs"];
            id_of(&client.ask(line));
            let syncs = client.stats()["journal-syncs"] - before;
            assert_eq!(syncs, expected, "--sync {sync}: {line}");
        }
        let stats = client.stats();
        let times = ["p50", "p99", "max"].map(|of| stats[&format!("journal-sync-{of}-us")]);
        assert_eq!(times.iter().all(|us| *us > 0), sync != "none", "--sync {sync}: {times:?}");
        assert!(times.is_sorted(), "{times:?}");
        assert_eq!(server.end(), Some(0));
        assert_eq!(directory.messages().len(), 3, "{stats:?}");
    }
}

#[test]
fn messages_unsynced_at_their_ack_are_synced_within_the_interval() {
    let directory = Directory::new("interval");
    let server = directory.start(&["--sync", "9", "--sync-interval", "0.05"]);
    let mut client = server.connect();
    let before = client.stats()["journal-syncs"];
    id_of(&client.ask("/low dust"));
    server.wait_for_stats("the sync", |stats| stats["journal-syncs"] == before + 1);
}

#[test]
fn messages_that_wait_during_a_sync_share_the_next_one() {
    let directory = Directory::new("group");
    let server = directory.start(&[]);
    let mut clients: Vec<Client> = (0..16).map(|_| server.connect()).collect();
    let before = server.stats()["journal-syncs"];
    // In two rounds: the last messages of the first one wait for a sync.
    for client in &mut clients {
        client.send("one\ntwo\nthree\nfour\n".repeat(10));
    }
    for client in &mut clients {
        (0..40).for_each(|_| assert!(id_of(&client.line()) > 0));
    }
    let syncs = server.stats()["journal-syncs"] - before;
    assert!((1..=160).contains(&syncs), "{syncs} syncs for 640 messages");
    assert_eq!(directory.messages().len(), 640);
}

/// What a client knows of acknowledged messages: their texts by their IDs.
type Acknowledged = BTreeMap<u64, String>;

/// How many clients [`flood`] a server at the same time.
const FLOODS: usize = 3;

/// How many messages each of them sends. All their messages, with names and record headers, fit into seven segments of
/// a journal of 1M, however fast the disk is. So the ring overwrites none of the messages that the test looks for.
const FLOOD_MESSAGES: usize = 7 * ((1 << 20) / JOURNAL_SEGMENTS - PAGE_BYTES) / (FLOODS * 96);

/// Sends messages as fast as they are acknowledged, until the server is gone; returns the acknowledged ones.
fn flood(address: std::net::SocketAddr, name: &str) -> Acknowledged {
    use std::io::{BufRead, BufReader, Write};
    let mut acknowledged = Acknowledged::new();
    let Ok(mut stream) = std::net::TcpStream::connect(address) else { return acknowledged };
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut replies = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let mut line = 0;
    while line + 16 <= FLOOD_MESSAGES {
        let texts: Vec<String> = (1..=16).map(|more| format!("{name} {}", line + more)).collect();
        if stream.write_all((texts.join("\n") + "\n").as_bytes()).is_err() {
            return acknowledged;
        }
        for _ in &texts {
            let Some(reply) = replies.next() else { return acknowledged };
            let words: Vec<&str> = reply.split(' ').collect();
            assert_eq!(words[0], "ACK", "{reply}");
            acknowledged.insert(words[2].parse().unwrap(), format!("{name} {}", words[1]));
        }
        line += texts.len();
    }
    assert_eq!(replies.next(), None, "no line is without its reply");
    acknowledged
}

#[test]
fn messages_acknowledged_before_a_kill_are_in_the_journal_once() {
    const KILLS: usize = 200;
    let directory = Directory::new("kill");
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut last_id = 0;
    for kill in 0..KILLS {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let server = directory.start(&["--sync", ["all", "7", "none"][kill % 3]]);
        let address = server.address;
        let floods: Vec<_> = (0..FLOODS)
            .map(|client| std::thread::spawn(move || flood(address, &format!("{kill}-{client}"))))
            .collect();
        // The moment is random, and the result does not depend on it.
        std::thread::sleep(std::time::Duration::from_micros(random % 30_000));
        server.signal("KILL");
        drop(server);
        let messages = directory.messages();
        for (id, text) in floods.into_iter().flat_map(|flood| flood.join().unwrap()) {
            assert!(id > last_id, "kill {kill}: {id} was given before");
            assert_eq!(messages.get(&id), Some(&text), "kill {kill}: {id}");
        }
        last_id = messages.last_key_value().map_or(last_id, |(id, _)| *id);
    }
    assert!(last_id > KILLS as u64, "the clients sent messages");
}
