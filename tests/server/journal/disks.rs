//! Disks that fail, hang and are slow, and directories that vanish.

use super::{answer, check, fill, newest, read, start_on_slow_disk, start_traced};
use crate::support::directory::{Directory, take_away};
use crate::support::{Client, Server, command, eventually, id_of};
use firstline::limits::{BATCH, IN_FLIGHT};
use std::collections::BTreeMap;
use std::io::Read;
use std::process::Stdio;

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

/// Sends a batch of lesser messages from each of four clients, and then an urgent one. Returns whether the urgent
/// message and two batches at least were in the queue at the same time: a slow machine may have written them before.
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
fn deleted_directory_means_naks_until_it_is_recreated() {
    let directory = Directory::new("vanish");
    let server = directory.start(&[]);
    let mut client = server.connect();
    let id = id_of(&client.ask("before"));
    take_away(&directory.0);
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
fn journal_recreated_on_another_disk_is_sound() {
    let directory = Directory::new("other-disk");
    let server = directory.start(&["--sync", "none"]);
    let mut client = server.connect();
    // The ring rotates, so that its sequence numbers exceed the number of files.
    fill(&mut client, 40_000);
    take_away(&directory.0);
    eventually("the journal goes on in new files", || {
        client.send("again\n");
        client.line().starts_with("ACK ") && directory.0.join("7.journal").exists()
    });
    assert_eq!(check(&directory), (check(&directory).0, Some(0)));
    assert_eq!(server.end(), Some(0));
    assert_eq!(check(&directory), (check(&directory).0, Some(0)));
}
