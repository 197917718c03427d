//! The journal of the real server: what an ACK means, restarts, failures of the disk, and kills.

use crate::support::directory::Directory;
use crate::support::traced::under_strace;
use crate::support::{Client, LIMIT, Server, command, eventually, id_of, run_to_end};
use firstline::journal::headers::{FIRST_OFFSET, read_headers};
use firstline::journal::names::NAMES;
use firstline::journal::read_only::ReadOnly;
use firstline::journal::record::Record;
use firstline::journal::scan::{Scan, Step};
use firstline::limits::{BATCH, IN_FLIGHT, JOURNAL_READ_BYTES, JOURNAL_SEGMENTS, PAGE_BYTES};
use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

impl Directory {
    fn start(&self, args: &[&str]) -> Server {
        Server::start(&[&["--journal", self.path(), "--journal-size", "1M"], args].concat())
    }

    /// All messages of the journal: their texts by their IDs. Fails unless the IDs are unique and rise.
    fn messages(&self) -> BTreeMap<u64, String> {
        let mut messages = BTreeMap::new();
        read(&self.0, |record| {
            let id = record.id;
            assert!(messages.last_key_value().is_none_or(|(last, _)| *last < id), "{id} after {messages:?}");
            messages.insert(id, String::from_utf8_lossy(record.text).into_owned());
        });
        messages
    }
}

/// Reads a journal as another process does: the segments in order, each up to the end that the next one's
/// header records.
fn read(directory: &Path, mut each: impl FnMut(&Record)) {
    let files = ReadOnly::open(directory).unwrap();
    let mut headers = Vec::from(read_headers(&files, files.segment_bytes()).unwrap().map(|header| header));
    let mut order: Vec<usize> = (0..JOURNAL_SEGMENTS).filter(|segment| headers[*segment].is_some()).collect();
    order.sort_by_key(|segment| headers[*segment].unwrap().sequence);
    let mut window = [0; JOURNAL_READ_BYTES];
    for (place, segment) in order.iter().enumerate() {
        let next = order.get(place + 1).and_then(|next| headers[*next]);
        let end = next.map_or(files.segment_bytes(), |next| next.previous_end);
        let key = headers[*segment].take().unwrap().key;
        let mut scan = Scan::new(*segment, key, FIRST_OFFSET..end, &mut window);
        loop {
            match scan.next(&files).unwrap() {
                Step::Record(record) => each(&record),
                Step::End => break,
                // The last segment may end in what a kill left behind.
                Step::Damage(_) => assert!(next.is_none(), "damage in an older segment"),
            }
        }
    }
}

/// The server, on a disk that takes `sync` for each sync.
fn start_on_slow_disk(directory: &Directory, sync: &str, args: &[&str]) -> Server {
    let slow = format!("inject=fdatasync:delay_enter={sync}");
    start_traced(directory, &["-e", "trace=fdatasync", "-e", &slow], args)
}

/// The server, under strace with these options.
fn start_traced(directory: &Directory, how: &[&str], args: &[&str]) -> Server {
    // The tracer is a grandchild (`-D`), so the process is the server itself.
    let mut traced = under_strace(&[&["-D", "-f", "-o", "/dev/null"], how].concat(), &command());
    traced
        .args(["--listen", "127.0.0.1:0", "--journal", directory.path(), "--journal-size", "1M"])
        .args(args);
    Server::start_command(traced)
}

#[test]
#[cfg_attr(not(feature = "strace"), ignore = "takes strace")]
fn interrupted_sync_is_retried() {
    let directory = Directory::new("interrupted");
    let often = "inject=fdatasync,fsync,pwrite64:error=EINTR:when=1+2";
    let server = start_traced(&directory, &["-e", "trace=fdatasync,fsync,pwrite64", "-e", often], &[]);
    let mut client = server.connect();
    (1..=20).for_each(|id| assert_eq!(id_of(&client.ask("goes on")), id));
    let stats = client.stats();
    assert_eq!(stats["journal-failures"], 0, "{stats:?}");
    assert_eq!(server.end(), Some(0));
    assert_eq!(directory.messages().len(), 20);
}

#[test]
#[cfg_attr(not(feature = "strace"), ignore = "takes strace")]
fn sync_that_is_always_interrupted_fails() {
    let directory = Directory::new("interrupted-ever");
    assert_eq!(directory.start(&[]).end(), Some(0));
    // The first 29 syncs, which the start takes, succeed.
    let ever = "inject=fdatasync:error=EINTR:when=30+";
    let server = start_traced(&directory, &["-e", "trace=fdatasync", "-e", ever], &[]);
    let mut client = server.connect();
    eventually("a NAK", || client.ask("again").ends_with("journal-failed"));
}

#[test]
#[cfg_attr(not(feature = "strace"), ignore = "takes strace")]
fn server_starts_without_fadvise() {
    let directory = Directory::new("no-advice");
    let refused = "inject=?fadvise64,?fadvise64_64,?arm_fadvise64_64:error=ENOSYS";
    let traced = "trace=?fadvise64,?fadvise64_64,?arm_fadvise64_64";
    let server = start_traced(&directory, &["-e", traced, "-e", refused], &[]);
    assert_eq!(id_of(&server.connect().ask("hello")), 1);
    assert_eq!(server.end(), Some(0));
}

#[test]
#[cfg_attr(not(feature = "strace"), ignore = "takes strace")]
fn unwritable_file_loses_no_message() {
    let directory = Directory::new("bad-file");
    let server = directory.start(&["--sync", "none"]);
    fill(&mut server.connect(), 18_000);
    assert_eq!(server.end(), Some(0));
    let file = directory.0.join("3.journal");
    let broken = ["-P", file.to_str().unwrap(), "-e", "trace=pwrite64", "-e", "inject=pwrite64:error=EIO"];
    let server = start_traced(&directory, &broken, &["--sync", "none"]);
    let mut client = server.connect();
    fill(&mut client, 40_000);
    server.wait_for_log("3.journal cannot be written: I/O error; the next file takes its place");
    assert_eq!(client.stats()["journal-failures"], 0);
    let mut reader = server.connect();
    reader.send("/last 3\n");
    let last = (39_998..=40_000).map(|number: u64| (18_000 + number, number.to_string())).collect();
    assert_eq!(answer(&mut reader), (last, vec!["OK 1".to_string()]));
    assert_eq!(server.end(), Some(0));
    let (report, code) = check(&directory);
    assert_eq!(code, Some(0), "{report}");
    let ids: Vec<u64> = directory.messages().into_keys().collect();
    assert!(ids.iter().copied().eq(ids[0]..=58_000), "{} to {:?}", ids[0], ids.last());
    // Six files are full, and a seventh is in use.
    assert!(ids.len() > 10_000, "{}", ids.len());
    let server = directory.start(&["--sync", "none"]);
    assert_eq!(id_of(&server.connect().ask("goes on")), 58_001);
    assert_eq!(server.end(), Some(0));
}

#[test]
#[cfg_attr(not(feature = "strace"), ignore = "takes strace")]
fn unwritable_newest_file_does_not_prevent_the_start() {
    let directory = Directory::new("bad-newest");
    for args in [&["--sync", "none"][..], &["--sync", "all"]] {
        let server = directory.start(&["--sync", "none"]);
        let last = id_of(&server.connect().ask("before"));
        server.signal("KILL");
        drop(server);
        let file = std::fs::canonicalize(newest(&directory)).unwrap();
        let broken =
            ["-P", file.to_str().unwrap(), "-e", "trace=pwrite64", "-e", "inject=pwrite64:error=EIO"];
        let server = start_traced(&directory, &broken, args);
        let next = id_of(&server.connect().ask("after"));
        assert!(next > last);
        assert_eq!(server.end(), Some(0));
        assert!(directory.messages().keys().copied().filter(|id| *id >= last).eq([last, next]));
    }
}

/// The file of the newest segment.
fn newest(directory: &Directory) -> std::path::PathBuf {
    let files = ReadOnly::open(&directory.0).unwrap();
    let headers = read_headers(&files, files.segment_bytes()).unwrap();
    let sequence_of = |segment: &usize| headers[*segment].map(|header| header.sequence);
    directory.0.join(NAMES[(0..JOURNAL_SEGMENTS).max_by_key(sequence_of).unwrap()])
}

/// Where each record of a segment begins, as another process sees it.
fn record_offsets(directory: &Path, segment: usize) -> Vec<u32> {
    let files = ReadOnly::open(directory).unwrap();
    let header = read_headers(&files, files.segment_bytes()).unwrap()[segment].unwrap();
    let mut window = [0; JOURNAL_READ_BYTES];
    let part = FIRST_OFFSET..header.records_end();
    let mut scan = Scan::new(segment, header.key, part, &mut window);
    let mut offsets = Vec::new();
    let mut at = FIRST_OFFSET;
    while let Step::Record(_) = scan.next(&files).unwrap() {
        offsets.push(at);
        at = scan.at();
    }
    offsets
}

#[test]
fn flipped_bit_in_the_newest_segment_loses_one_message() {
    const MESSAGES: u64 = 70_000;
    let directory = Directory::new("flip");
    let start = || {
        let args = ["--journal", directory.path(), "--journal-size", "64M", "--sync", "none"];
        Server::start(&args)
    };
    let server = start();
    fill(&mut server.connect(), MESSAGES as usize);
    let flipped = record_offsets(&directory.0, 0)[99];
    let file = std::fs::File::options().read(true).write(true).open(directory.0.join("0.journal")).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, u64::from(flipped) + 30).unwrap();
    file.write_all_at(&[byte[0] ^ 4], u64::from(flipped) + 30).unwrap();
    let list = |server: &Server| {
        let mut reader = server.connect();
        reader.send("/since 0\n");
        answer(&mut reader)
    };
    let kept = [numbered(1..=99), numbered(101..=MESSAGES)].concat();
    let other_lines = vec!["LOST 1".to_string(), "OK 1".to_string()];
    assert_eq!(list(&server), (kept.clone(), other_lines.clone()));
    assert_eq!(server.end(), Some(0));
    let server = start();
    assert_eq!(list(&server), (kept, other_lines));
    server.wait_for_log("damage among its last messages: what was in");
    assert_eq!(id_of(&server.connect().ask("goes on")), MESSAGES + 1);
    assert_eq!(server.end(), Some(0));
    let check = command().args(["journal", directory.path(), "--check"]).output().unwrap();
    let said = String::from_utf8(check.stdout).unwrap();
    assert_eq!(check.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("0.journal: damaged: 48 bytes at offset {flipped}")), "{said}");
    assert!(said.contains("missing: IDs 100 to 100"), "{said}");
}

#[test]
fn pipe_in_place_of_a_file_is_refused() {
    let directory = Directory::new("pipe");
    assert_eq!(directory.start(&[]).end(), Some(0));
    let path = directory.0.join("3.journal");
    std::fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let start = ["--listen", "127.0.0.1:0", "--journal", directory.path(), "--journal-size", "1M"];
    for args in [&["journal", directory.path(), "--check"][..], &["journal", directory.path()], &start] {
        let mut process = command().args(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut code = None;
        eventually("the process ends", || {
            code = process.try_wait().unwrap();
            code.is_some()
        });
        let mut said = String::new();
        process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(code.unwrap().code(), Some(1), "{args:?}: {said}");
        assert!(
            said.ends_with(": 3.journal in it is not a regular file; move it away\n"),
            "{args:?}: {said}"
        );
    }
}

#[test]
#[cfg_attr(not(feature = "strace"), ignore = "takes strace")]
fn worker_does_not_wait_for_a_slow_disk() {
    let directory = Directory::new("slow-disk");
    // Creating a journal takes many syncs, so that is done before.
    assert_eq!(directory.start(&[]).end(), Some(0));
    let server = start_on_slow_disk(&directory, "300ms", &["--workers", "1"]);
    let mut sender = server.connect();
    for number in 1..=3 {
        sender.send(format!("message {number}\n"));
        server.wait_for_stats("an answer while a message is being written", |stats| {
            stats["admitted"] == number && stats["processed"] == number - 1 && stats["waiting"] == 0
        });
        assert_eq!(id_of(&sender.line()), number);
    }
    assert_eq!(server.end(), Some(0));
}

/// Sends a batch of lesser messages from each of four clients, and then an urgent one. Returns whether the urgent message
/// and two batches at least were in the queue at the same time: a slow machine may have written them before.
fn urgent_joins_waiting_batches(server: &Server, urgent: &str) -> bool {
    let mut observer = server.connect();
    let before = observer.stats()["admitted"];
    let mut others: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    for other in &mut others {
        other.send("lesser\n".repeat(BATCH));
    }
    let mut waiting_when_admitted = |messages: usize| {
        let mut waiting = 0;
        eventually("the messages are admitted", || {
            let stats = observer.stats();
            waiting = stats["waiting"];
            stats["admitted"] == before + messages as u64
        });
        waiting
    };
    let waiting = waiting_when_admitted(4 * BATCH);
    let mut sender = server.connect();
    sender.send(format!("/urgent {urgent}\n"));
    let with_urgent = waiting_when_admitted(4 * BATCH + 1);
    assert!(sender.line().starts_with("ACK 1 "));
    others.iter_mut().for_each(|other| drop(other.lines(BATCH)));
    waiting >= 2 * BATCH as u64 && with_urgent == waiting + 1
}

#[test]
#[cfg_attr(not(feature = "strace"), ignore = "takes strace")]
fn urgent_message_is_committed_without_the_lesser_ones_that_wait() {
    let directory = Directory::new("urgent-first");
    assert_eq!(directory.start(&[]).end(), Some(0));
    let server = start_on_slow_disk(&directory, "400ms", &[]);
    let mut texts = (1..=50).map(|round| format!("now {round}"));
    let text =
        texts.find(|text| urgent_joins_waiting_batches(&server, text)).expect("messages wait for the disk");
    assert_eq!(server.end(), Some(0));
    // All messages of a commit group have the time when the group began.
    let mut groups: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    read(&directory.0, |record| {
        groups.entry(record.time_ms).or_default().push(String::from_utf8_lossy(record.text).into_owned());
    });
    let urgent = groups.into_values().find(|texts| texts.contains(&text)).unwrap();
    assert_eq!(urgent[0], text);
    assert!(urgent.len() <= BATCH, "{} messages are in its group", urgent.len());
}

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

#[test]
fn journal_keeps_its_size_while_it_rotates() {
    let directory = Directory::new("ring");
    let server = directory.start(&["--sync", "none"]);
    let mut client = server.connect();
    let text = "x".repeat(500);
    for round in 0..200 {
        client.send(format!("{round} {text}\n").repeat(32));
        (0..32).for_each(|_| assert!(id_of(&client.line()) > 0));
        let on_disk: u64 = std::fs::read_dir(&directory.0)
            .unwrap()
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum();
        assert_eq!(on_disk, 1 << 20);
    }
    let messages = directory.messages();
    assert_eq!(messages.last_key_value().map(|(id, _)| *id), Some(6_400));
    assert!(messages.len() > 1_000, "{}", messages.len());
    assert_eq!(messages.len() as u64, 6_400 - messages.first_key_value().unwrap().0 + 1, "in a row");
}

#[test]
fn truncated_file_is_reported_at_the_start() {
    let directory = Directory::new("cut");
    let server = directory.start(&[]);
    let mut client = server.connect();
    (1..=3).for_each(|id| assert_eq!(id_of(&client.ask("the same length")), id));
    drop(server);
    let path = directory.0.join("0.journal");
    let bytes = std::fs::read(&path).unwrap();
    let texts: Vec<_> = bytes.windows(15).enumerate().filter(|(_, at)| at == b"the same length").collect();
    let record_bytes = texts[2].0 - texts[1].0;
    let whole_records = FIRST_OFFSET as usize + 2 * record_bytes;
    std::fs::File::options().write(true).open(&path).unwrap().set_len(whole_records as u64).unwrap();
    let server = directory.start(&[]);
    server.wait_for_log(&format!("its files are short of {} bytes", bytes.len() - whole_records));
    assert_eq!(directory.messages().len(), 2);
    assert!(id_of(&server.connect().ask("goes on")) > 2);
}

#[test]
fn deleted_directory_means_naks_until_it_is_recreated() {
    let directory = Directory::new("vanish");
    let server = directory.start(&[]);
    let mut client = server.connect();
    let id = id_of(&client.ask("before"));
    std::fs::remove_dir_all(&directory.0).unwrap();
    assert!(client.ask("into the void").ends_with("journal-failed"));
    server.wait_for_log("messages get NAK journal-failed until it works");
    let mut reply = String::new();
    eventually("an ACK again", || {
        reply = client.ask("after");
        reply.starts_with("ACK ")
    });
    assert_eq!(id_of(&reply), id + 1, "a refused message uses no ID, so no reader is told that it is lost");
    server.wait_for_log("the disk works again");
    assert!(directory.messages().values().all(|text| text == "after"));
    assert_eq!(server.end(), Some(0));
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

/// The IDs and texts of the `MSG` lines, and the other lines up to the one that closes the command.
fn answer(client: &mut Client) -> (Vec<(u64, String)>, Vec<String>) {
    let (mut messages, mut others) = (Vec::new(), Vec::new());
    loop {
        let line = client.line();
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["MSG", id, _, _, ref text @ ..] => messages.push((id.parse().unwrap(), text.join(" "))),
            ["LOST", _] => others.push(line),
            _ => {
                others.push(line);
                return (messages, others);
            }
        }
    }
}

/// Sends messages with the texts `1` to `count`, and waits until all are acknowledged.
fn fill(client: &mut Client, count: usize) {
    for first in (1..=count).step_by(32) {
        let texts: Vec<String> = (first..=count.min(first + 31)).map(|number| number.to_string()).collect();
        client.send(texts.join("\n") + "\n");
        texts.iter().for_each(|_| assert!(id_of(&client.line()) > 0));
    }
}

/// The messages with these IDs, as [`fill`] sends them to a new journal.
fn numbered(ids: std::ops::RangeInclusive<u64>) -> Vec<(u64, String)> {
    ids.map(|id| (id, id.to_string())).collect()
}

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
    for _ in 0..20 {
        let mut gone = server.connect();
        gone.send("/join since 0\n");
        assert!(gone.line().starts_with("MSG 1 "));
        gone.reset();
    }
    id_of(&client.ask("still here"));
    // The stuck reader gets everything once it reads.
    let (messages, others) = answer(&mut stuck);
    assert_eq!((messages, others), (numbered(1..=60_000), vec!["OK 1".to_string()]));
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
fn slow_subscriber_loses_nothing_that_the_journal_still_has() {
    let directory = Directory::new("slow");
    let server = directory.start(&["--sync", "none"]);
    let mut reader = server.connect();
    assert_eq!(reader.ask("/join since 0"), "OK 1");
    // Several times as much as the sockets and the outbox hold, and then more than the ring holds.
    let mut client = server.connect();
    fill(&mut client, 100_000);
    let lost = read_up_to(&mut reader, 100_000);
    let kept = directory.messages().len() as u64;
    assert!(lost > 0 && lost <= 100_000 - kept, "{lost} lost, {kept} kept");
    // The reader is up to date again.
    id_of(&client.ask("/urgent smoke"));
    assert!(reader.line().ends_with("smoke"));
    assert_eq!(reader.ask("/ping"), "OK 2");
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
    let server = directory.start(&["--sync", "none"]);
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
fn acknowledged_ids_are_not_reused_after_their_messages_are_lost() {
    for args in [&["--sync", "7", "--sync-interval", "3600"][..], &["--sync", "none"]] {
        let directory = Directory::new(&format!("given-{}", args[1]));
        let server = directory.start(args);
        let mut client = server.connect();
        let last = (0..3).map(|_| id_of(&client.ask("/low dust"))).last().unwrap();
        server.signal("KILL");
        drop(server);
        // As after a power cut: unsynced records are gone.
        let path = directory.0.join("0.journal");
        let mut bytes = std::fs::read(&path).unwrap();
        let records = bytes.windows(4).position(|text| text == b"dust").unwrap();
        bytes[FIRST_OFFSET as usize..records + 4_096].fill(0);
        std::fs::write(&path, bytes).unwrap();
        let server = directory.start(args);
        server.wait_for_log("are skipped: they may have been given to messages that are not on the disk");
        let mut client = server.connect();
        let (identity, next) = (client.stats()["journal-id"], id_of(&client.ask("/low more")));
        assert!(next > last, "{next} was given before");
        assert!(next < 10_000, "{next}: more than fit into a segment");
        assert_eq!(server.end(), Some(0));
        // After an orderly end no ID is skipped.
        let server = directory.start(args);
        let mut client = server.connect();
        assert_eq!(id_of(&client.ask("/low again")), next + 1);
        assert_eq!(client.stats()["journal-id"], identity);
        assert_eq!(server.end(), Some(0));
    }
}

#[test]
fn starts_without_a_message_skip_no_further_ids() {
    for args in [&["--sync", "7", "--sync-interval", "3600"][..], &["--sync", "none"]] {
        let directory = Directory::new(&format!("idle-{}", args[1]));
        for _ in 0..3 {
            let server = directory.start(args);
            server.signal("KILL");
        }
        let server = directory.start(args);
        assert_eq!(id_of(&server.connect().ask("/low first")), 1);
        server.signal("KILL");
        drop(server);
        for _ in 0..3 {
            let server = directory.start(args);
            server.signal("KILL");
        }
        let server = directory.start(args);
        let next = id_of(&server.connect().ask("/low second"));
        assert!((2..=2 + 4_736).contains(&next), "{next}");
        assert_eq!(server.end(), Some(0));
    }
}

#[test]
fn newest_segment_without_a_header_is_reported_and_ids_continue() {
    let directory = Directory::new("headless");
    let server = directory.start(&[]);
    let mut client = server.connect();
    fill(&mut client, 40);
    assert_eq!(server.end(), Some(0));
    let file = std::fs::File::options().write(true).open(directory.0.join("0.journal")).unwrap();
    file.write_all_at(&[0; FIRST_OFFSET as usize], 0).unwrap();
    let check = command().args(["journal", directory.path(), "--check"]).output().unwrap();
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(said.contains("0.journal: damaged: no whole header"), "{said}");
    assert_eq!(check.status.code(), Some(1));
    let server = directory.start(&[]);
    server.wait_for_log("the newest messages may be lost with their files");
    assert!(id_of(&server.connect().ask("goes on")) > 40);
}

#[test]
fn file_of_another_journal_is_reported_and_not_read() {
    let [directory, other] = ["ours", "theirs"].map(Directory::new);
    for (directory, text) in [(&directory, "ours"), (&other, "theirs")] {
        let server = directory.start(&["--sync", "none"]);
        let mut client = server.connect();
        for _ in 0..20 {
            client.send(format!("{text} {}\n", "x".repeat(400)).repeat(32));
            (0..32).for_each(|_| assert!(id_of(&client.line()) > 0));
        }
        assert_eq!(server.end(), Some(0));
    }
    std::fs::copy(other.0.join("1.journal"), directory.0.join("1.journal")).unwrap();
    let check = command().args(["journal", directory.path(), "--check"]).output().unwrap();
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(said.contains("1.journal: damaged: it is a file of another journal, "), "{said}");
    assert!(directory.messages().values().all(|text| text.starts_with("ours")));
    let server = directory.start(&[]);
    server.wait_for_log("damaged, another journal's, or a copy");
    assert_eq!(server.end(), Some(0));
}

#[test]
fn replaced_disk_with_another_journal_is_reported() {
    let [directory, other] = ["here", "there"].map(Directory::new);
    assert_eq!(other.start(&[]).end(), Some(0));
    let server = directory.start(&[]);
    let mut client = server.connect();
    id_of(&client.ask("before"));
    std::fs::remove_dir_all(&directory.0).unwrap();
    std::fs::rename(&other.0, &directory.0).unwrap();
    let is_told = || server.log().iter().any(|line| line.contains("this disk holds another journal"));
    eventually("the log says so", || {
        assert!(client.ask("not there").ends_with("journal-failed"));
        is_told()
    });
    assert_eq!(directory.messages().len(), 0);
    std::fs::remove_dir_all(&directory.0).unwrap();
    eventually("an ACK again", || client.ask("after").starts_with("ACK "));
}

#[test]
fn young_journal_keeps_a_foreign_file_until_all_others_are_used() {
    let [directory, other] = ["young", "old"].map(Directory::new);
    let old = other.start(&["--sync", "none"]);
    fill(&mut old.connect(), 20_000);
    assert_eq!(old.end(), Some(0));
    let young = directory.start(&["--sync", "none"]);
    fill(&mut young.connect(), 10);
    assert_eq!(young.end(), Some(0));
    std::fs::copy(other.0.join("1.journal"), directory.0.join("1.journal")).unwrap();
    let theirs = std::fs::read(directory.0.join("1.journal")).unwrap();
    let server = directory.start(&["--sync", "none"]);
    server.wait_for_log("1.journal holds messages of another journal");
    let mut client = server.connect();
    // Before the copy, that file may have held the newest messages of this journal.
    let next = id_of(&client.ask("goes on"));
    assert!((11..=10 + 2 * 4_736).contains(&next), "{next}");
    // The six other files are empty.
    let files_begun = || {
        let files = ReadOnly::open(&directory.0).unwrap();
        read_headers(&files, files.segment_bytes()).unwrap().into_iter().flatten().count()
    };
    while files_begun() < JOURNAL_SEGMENTS - 1 {
        fill(&mut client, 32);
    }
    assert!(std::fs::read(directory.0.join("1.journal")).unwrap() == theirs, "the file is unchanged");
    fill(&mut client, 2_000);
    server.wait_for_log("1.journal held messages of another journal, and is written over now");
    assert_eq!(server.end(), Some(0));
    let ids: Vec<u64> = directory.messages().into_keys().collect();
    assert!(ids.iter().copied().eq((1..=10).chain(next..next + ids.len() as u64 - 10)), "{} IDs", ids.len());
}

#[test]
fn young_journal_without_its_only_used_file_reuses_no_id() {
    for harm in [std::fs::remove_file::<PathBuf>, |path| std::fs::write(path, [])] {
        let directory = Directory::new("young-lost");
        let server = directory.start(&[]);
        server.wait_for_log(": it is new; its identity is ");
        fill(&mut server.connect(), 10);
        assert_eq!(server.end(), Some(0));
        harm(directory.0.join("0.journal")).unwrap();
        let server = directory.start(&[]);
        server.wait_for_log(": the newest messages may be lost with their files");
        server.wait_for_log(": IDs 1 to ");
        assert!(id_of(&server.connect().ask("next")) > 10);
        assert_eq!(server.end(), Some(0));
    }
}

#[test]
fn journal_is_resized() {
    let directory = Directory::new("resize");
    let server = directory.start(&[]);
    let identity = server.stats()["journal-id"];
    let mut client = server.connect();
    fill(&mut client, 1_000);
    assert_eq!(server.end(), Some(0));
    let resize = |size: &str| {
        let output = command().args(["journal", directory.path(), "--resize", size]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    };
    let refused = |size: &str| {
        let mut server = command();
        server.args(["--listen", "127.0.0.1:0", "--journal", directory.path(), "--journal-size", size]);
        let output = server.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let paste = format!("firstline journal {} --resize {size}\n", directory.path());
        assert!(said.ends_with(&paste), "{said}");
        assert_eq!(output.status.code(), Some(1));
    };
    refused("2M");
    let before = directory.messages();
    assert_eq!(before.len(), 1_000);
    resize("2M");
    assert_eq!(directory.messages(), before);
    refused("1M");
    // A resize that was interrupted when the new journal was complete: the next start finishes it.
    let whole = directory.0.join("resize.whole");
    std::fs::create_dir(&whole).unwrap();
    std::fs::rename(directory.0.join("7.journal"), whole.join("7.journal")).unwrap();
    // And a resize that was interrupted before that.
    let unfinished = directory.0.join("resize.unfinished");
    std::fs::create_dir(&unfinished).unwrap();
    std::fs::write(unfinished.join("0.journal"), b"half").unwrap();
    let server = directory.start(&["--journal-size", "2M"]);
    assert!(!whole.exists() && !unfinished.exists());
    let mut client = server.connect();
    assert_eq!(client.stats()["journal-id"], identity);
    assert_eq!(id_of(&client.ask("goes on")), 1_001);
    let text = "x".repeat(500);
    for _ in 0..100 {
        client.send(format!("{text}\n").repeat(32));
        (0..32).for_each(|_| assert!(id_of(&client.line()) > 0));
    }
    assert_eq!(server.end(), Some(0));
    let before = directory.messages();
    resize("1M");
    // The newest messages are kept, as many as fit.
    let after = directory.messages();
    assert!(after.len() < before.len() && after.len() > 1_000, "{} of {}", after.len(), before.len());
    assert!(after.iter().all(|(id, text)| before.get(id) == Some(text)));
    assert_eq!(after.last_key_value(), before.last_key_value());
    let server = directory.start(&[]);
    assert_eq!(id_of(&server.connect().ask("again")), before.last_key_value().unwrap().0 + 1);
}

#[test]
fn journal_of_a_later_version_is_refused_in_one_line() {
    let directory = Directory::new("later");
    assert_eq!(directory.start(&[]).end(), Some(0));
    let path = directory.0.join("0.journal");
    let mut bytes = std::fs::read(&path).unwrap();
    // The guard header names the version.
    bytes[40] = 3;
    let checksum = crc32fast::hash(&bytes[..48]);
    bytes[48..52].copy_from_slice(&checksum.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    let mut server = command();
    server.args(["--listen", "127.0.0.1:0", "--journal", directory.path(), "--journal-size", "1M"]);
    let mut reader = command();
    reader.args(["journal", directory.path()]);
    for mut program in [server, reader] {
        let output = program.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let expected =
            "a later firstline made it: its format is 3, and this one knows up to 2; use the later one\n";
        assert!(said.ends_with(expected), "{said}");
        assert_eq!(output.status.code(), Some(1));
    }
}

/// A journal of 1M that version 1 wrote, with the texts `message 1 xxx…` and so on: the first two files without
/// the zeros at their ends. The other files are zero.
pub const VERSION_1: [&[u8]; 2] =
    [include_bytes!("journal_version_1/0.prefix"), include_bytes!("journal_version_1/1.prefix")];

#[test]
fn journal_of_version_1_is_continued_and_then_refused_by_version_1() {
    const LAST: u64 = 170;
    let directory = Directory::new("version-1");
    std::fs::create_dir(&directory.0).unwrap();
    for segment in 0..JOURNAL_SEGMENTS {
        let mut bytes = VERSION_1.get(segment).map_or(Vec::new(), |prefix| prefix.to_vec());
        bytes.resize(128 * 1024, 0);
        std::fs::write(directory.0.join(format!("{segment}.journal")), bytes).unwrap();
    }
    let before = directory.messages();
    let numbers: Vec<u64> = before.keys().copied().collect();
    assert_eq!(numbers, (1..=LAST).collect::<Vec<_>>());
    assert!(before.iter().all(|(id, text)| text.starts_with(&format!("message {id} xxx"))));
    let check = || command().args(["journal", directory.path(), "--check"]).output().unwrap().status.code();
    assert_eq!(check(), Some(0));
    let server = directory.start(&[]);
    let mut client = server.connect();
    let identity = client.stats()["journal-id"];
    assert_eq!(id_of(&client.ask("carried on")), LAST + 1);
    client.send("/since 0\n");
    let (messages, closing) = answer(&mut client);
    assert_eq!((messages.len(), closing), (LAST as usize + 1, vec!["OK 3".to_string()]));
    assert_eq!(server.end(), Some(0));
    assert_eq!(directory.messages().len() as u64, LAST + 1, "the upgrade loses nothing");
    assert_eq!(check(), Some(0));
    // Version 1 reads only this header, and refuses the segment length in it, which no segment has.
    let bytes = std::fs::read(directory.0.join("1.journal")).unwrap();
    assert_eq!(bytes[..16], *b"firstlnJ\x01\0\0\0\x01\x10\0\0");
    let server = directory.start(&[]);
    assert_eq!(server.stats()["journal-id"], identity);
}

/// A subscriber with the history that lags by more than the sockets hold. Also returns the ID of the last message.
fn fall_behind(server: &Server) -> (Client, u64) {
    const COUNT: u64 = 4_000;
    let mut reader = server.connect_reading_little();
    assert_eq!(reader.ask("/join since 0"), "OK 1");
    let text = "x".repeat(200);
    let mut client = server.connect();
    for _ in 0..COUNT / 32 {
        client.send(format!("{text}\n").repeat(32));
        (0..32).for_each(|_| assert!(id_of(&client.line()) > 0));
    }
    (reader, COUNT)
}

/// Reads `MSG` and `LOST` lines up to that ID. The IDs must rise without a gap, except for announced losses.
/// Returns how many messages are lost.
fn read_up_to(reader: &mut Client, last: u64) -> u64 {
    let (mut next, mut lost) = (1, 0);
    while next <= last {
        let line = reader.line();
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["MSG", id, ..] => {
                assert_eq!(id.parse::<u64>().unwrap(), next, "{line}");
                next += 1;
            }
            ["LOST", count] => {
                lost += count.parse::<u64>().unwrap();
                next += count.parse::<u64>().unwrap();
            }
            _ => panic!("{line}"),
        }
    }
    lost
}

#[test]
fn client_that_does_not_read_the_history_can_send_leave_and_quit() {
    let directory = Directory::new("speaks");
    let server = directory.start(&["--sync", "none", "--journal-size", "8M"]);
    let mut watcher = server.connect();
    assert_eq!(watcher.ask("/join 9"), "OK 1");
    let (behind, last) = fall_behind(&server);
    let mut joining = server.connect_reading_little();
    joining.send("/join since 0\n");
    for mut reader in [behind, joining] {
        reader.send("/urgent smoke\n");
        assert!(watcher.line().ends_with(" smoke"), "the message is delivered before its sender reads");
        reader.send("/leave\n/ping\n/quit\n");
        let rest = reader.rest();
        let is_from_others = |line: &&String| line.starts_with("MSG ");
        let said: Vec<&String> = rest.iter().filter(|line| !is_from_others(line)).collect();
        assert!(said.iter().any(|line| line.starts_with("ACK 2 ")), "{said:?}");
        assert!(
            ["OK 3", "OK 4", "OK 5"].iter().all(|reply| said.iter().any(|line| line == reply)),
            "{said:?}"
        );
        assert_eq!(*said[said.len() - 1], "BYE quit");
        let sent = rest.iter().filter(is_from_others).count() as u64;
        assert!(sent < last, "{sent} of {last}: nothing is sent after /leave");
    }
}

#[test]
fn command_is_answered_before_the_messages_that_a_subscriber_missed() {
    let directory = Directory::new("aside");
    let server = directory.start(&["--sync", "none", "--journal-size", "8M"]);
    let (mut reader, last) = fall_behind(&server);
    reader.send("/last 2\n");
    let (mut next, mut asked) = (1, Vec::new());
    while next <= last || asked.len() < 3 {
        let line = reader.line();
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["MSG", id, ..] if id.parse() == Ok(next) => next += 1,
            _ => asked.push(line),
        }
    }
    let starts = [format!("MSG {} ", last - 1), format!("MSG {last} "), "OK 2".to_string()];
    assert!(asked.iter().zip(&starts).all(|(line, start)| line.starts_with(start)), "{asked:?}");
    id_of(&server.connect().ask("up to date"));
    assert!(reader.line().ends_with("up to date"));
}

#[test]
fn plain_join_of_a_lagging_subscriber_reports_what_it_misses() {
    for (lines, replies) in [("/join\n", &["OK 2"][..]), ("/last 2\n/join\n", &["OK 2", "OK 3"])] {
        let directory = Directory::new("anew");
        let server = directory.start(&["--sync", "none", "--journal-size", "8M"]);
        let (mut reader, last) = fall_behind(&server);
        reader.send(lines);
        let (mut next, mut lost, mut replied) = (1, 0, 0);
        // The server may answer /join while it still sends what /last requested.
        while lost == 0 || replied < replies.len() {
            let line = reader.line();
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["MSG", id, ..] if id.parse() == Ok(next) => next += 1,
                ["LOST", count] => lost += count.parse::<u64>().unwrap(),
                _ => replied += usize::from(replies.contains(&line.as_str())),
            }
        }
        assert_eq!(next - 1 + lost, last, "{lines:?}: every message is sent or reported as lost");
        assert_eq!(id_of(&server.connect().ask("live")), last + 1);
        let line = reader.line();
        assert!(line.ends_with(" live"), "{lines:?}: nothing is sent twice: {line}");
    }
}

#[test]
fn files_that_are_removed_while_the_server_runs_come_back() {
    let directory = Directory::new("removed");
    let server = directory.start(&[]);
    let mut client = server.connect();
    assert_eq!(id_of(&client.ask("before")), 1);
    let removed = ["0.journal", "1.journal"].map(|name| directory.0.join(name));
    removed.iter().for_each(|path| std::fs::remove_file(path).unwrap());
    let batch = format!("{}\n", "x".repeat(500)).repeat(IN_FLIGHT);
    // The server notices it when it begins a file. The journal is full after some 2,000 of these messages.
    eventually("the files are there again", || {
        client.send(&batch);
        client.lines(IN_FLIGHT);
        removed.iter().all(|path| path.exists())
    });
    assert!(id_of(&client.ask("after")) > 1);
    assert_eq!(server.end(), Some(0));
}

#[test]
fn wiped_files_are_reported_as_lost_and_the_subscriber_continues() {
    let directory = Directory::new("wiped");
    let server = directory.start(&["--sync", "none"]);
    let (mut reader, last) = fall_behind(&server);
    for segment in 0..JOURNAL_SEGMENTS {
        let path = directory.0.join(format!("{segment}.journal"));
        std::fs::File::options().write(true).open(path).unwrap().set_len(0).unwrap();
    }
    assert!(read_up_to(&mut reader, last) > 0);
    assert_eq!(reader.ask("/ping"), "OK 2");
    id_of(&server.connect().ask("/urgent smoke"));
    assert!(reader.line().ends_with("smoke"));
}

#[test]
fn unreadable_history_is_reported_as_lost_and_the_subscriber_continues() {
    let directory = Directory::new("unread");
    let server = directory.start(&[]);
    let (mut reader, last) = fall_behind(&server);
    let mut client = server.connect();
    // The directory is created anew, so the server must reopen the reader's history; it is removed again before that.
    std::fs::remove_dir_all(&directory.0).unwrap();
    assert!(client.ask("into the void").ends_with("journal-failed"));
    eventually("an ACK again", || client.ask("after").starts_with("ACK "));
    std::fs::remove_dir_all(&directory.0).unwrap();
    assert!(read_up_to(&mut reader, last) > 0);
    server.wait_for_log("the journal cannot be read");
    eventually("an ACK again", || client.ask("/urgent smoke").starts_with("ACK "));
    assert!(reader.line().ends_with("smoke"));
    assert_eq!(reader.ask("/ping"), "OK 2");
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

/// Flips a bit of a file.
fn flip(file: &Path, offset: u64) {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
}

/// The output of `firstline journal DIR --check`, and its exit code.
fn check(directory: &Directory) -> (String, Option<i32>) {
    let mut check = command();
    check.args(["journal", directory.path(), "--check"]);
    let output = run_to_end(check);
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
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

#[test]
fn journal_recreated_on_another_disk_is_sound() {
    let directory = Directory::new("other-disk");
    let server = directory.start(&["--sync", "none"]);
    let mut client = server.connect();
    // The ring rotates, so that its sequence numbers exceed the number of files.
    fill(&mut client, 40_000);
    std::fs::remove_dir_all(&directory.0).unwrap();
    eventually("the journal goes on in new files", || {
        client.send("again\n");
        client.line().starts_with("ACK ") && directory.0.join("7.journal").exists()
    });
    assert_eq!(check(&directory), (check(&directory).0, Some(0)));
    assert_eq!(server.end(), Some(0));
    assert_eq!(check(&directory), (check(&directory).0, Some(0)));
}
