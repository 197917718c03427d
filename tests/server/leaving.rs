//! Clients that go, or send, in ways that a socket has besides the usual ones: what they have sent is processed all the same.

use crate::common::{Client, Server, eventually};
use firstline::limits::CLIENTS;
use nix::sys::socket::{MsgFlags, send};
use std::os::fd::AsRawFd;

/// Has many clients connect while the server stands still, say their lines, and go. It finds all of it at once: what they have said, and
/// that they have gone, or its replies tell it. (What their own systems have not sent when they go is not sent any more.)
fn with_many(server: &Server, clients: usize, say: impl Fn(&mut Client), go: impl Fn(Client)) {
    let mut left = clients;
    while left > 0 {
        let at_once = left.min(CLIENTS / 2);
        left -= at_once;
        server.signal("STOP");
        // On a busy machine that takes its time, and until then it would reply.
        eventually("it has stopped", || has_stopped(server.pid()));
        let mut clients: Vec<Client> = (0..at_once).map(|_| server.connect()).collect();
        clients.iter_mut().for_each(&say);
        let ports: Vec<u16> =
            clients.iter().map(|client| client.stream.local_addr().unwrap().port()).collect();
        let are_delivered = || ports.iter().all(|port| is_delivered(*port));
        eventually("the server's system has what they said", are_delivered);
        clients.into_iter().for_each(&go);
        eventually("it has heard that they go", are_delivered);
        server.signal("CONT");
        // It is accepted after all of them.
        let mut watcher = server.connect();
        eventually("all have left", || watcher.stats()["clients"] == 1);
    }
}

/// Whether all threads of that process are stopped.
fn has_stopped(pid: u32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap()).all(|stat| {
        // Behind the name, which may have anything in it.
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    })
}

/// Whether all that was sent from that port, its end too, is acknowledged by the server's system.
fn is_delivered(port: u16) -> bool {
    const FIN_WAIT_1: &str = "04";
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let sockets = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut own = sockets.filter(|words| words[1].ends_with(&format!(":{port:04X}")));
    own.all(|words| words[3] != FIN_WAIT_1 && words[4].starts_with("00000000:"))
}

#[test]
fn lines_of_clients_that_close_without_reading_their_replies_are_all_processed() {
    for workers in [&["--workers", "1"][..], &[]] {
        let server = Server::start(workers);
        let say = |client: &mut Client| (0..200).for_each(|line| client.send(format!("{line}\n")));
        with_many(&server, 100, say, drop);
        let stats = server.stats();
        assert_eq!((stats["admitted"], stats["processed"]), (20_000, 20_000), "{workers:?}");
        assert!(stats["replies-unsent"] > 0, "no reply was left behind: {stats:?}");
    }
}

#[test]
fn what_is_sent_in_one_piece_and_closed_is_all_processed() {
    let server = Server::start(&["--workers", "1"]);
    let lines: String = (1..=2_000).map(|line| format!("{line}\n")).collect();
    with_many(&server, 20, |client| client.send(&lines), drop);
    assert_eq!(server.stats()["processed"], 40_000);
}

#[test]
fn a_last_line_without_lf_counts_before_an_end_and_not_before_a_reset() {
    for workers in [&["--workers", "1"][..], &[]] {
        let server = Server::start(workers);
        // Its system answers the first reply with a reset.
        with_many(&server, 200, |client| client.send("one\ntwo\nthree"), drop);
        let stats = server.stats();
        assert_eq!((stats["processed"], stats["lines-cut-off"]), (600, 0), "{workers:?}");
        with_many(&server, 200, |client| client.send("one\ntwo\nthr"), Client::reset);
        let stats = server.stats();
        assert_eq!((stats["processed"], stats["lines-cut-off"]), (1_000, 200), "{workers:?}");
    }
}

#[test]
fn commands_of_a_client_that_has_gone_hold_nothing_up() {
    let server = Server::start(&[]);
    let lines = "hello\n/who\n/stats\n/join\n/help\n/nick gone\n".repeat(20) + "last\n";
    with_many(&server, 50, |client| client.send(&lines), drop);
    assert_eq!(server.stats()["processed"], 50 * 21);
}

/// Sends bytes of which the last is urgent.
fn send_urgent(client: &Client, bytes: &str) {
    assert_eq!(send(client.stream.as_raw_fd(), bytes.as_bytes(), MsgFlags::MSG_OOB), Ok(bytes.len()));
}

#[test]
fn urgent_data_strand_no_line() {
    let server = Server::start(&["--idle-timeout", "2"]);
    // Each part that ends with a mark of its own is sent as urgent.
    let cases: [&[(&str, bool)]; 6] = [
        (&[("/ping\n", true), ("/ping\n/ping\n", false)]),
        (&[("/ping\n", false), ("/ping\n", true), ("/ping\n", false)]),
        (&[("/ping\n/ping\n/pi", false), ("n", true), ("g\n", false)]),
        (&[("/ping\n", true), ("/ping\n", true), ("/ping\n", true)]),
        (&[("/ping\n/ping\n", false), ("/ping\n", true)]),
        (&[("\n", true), ("/ping\n/ping\n/urgent smoke\n", false)]),
    ];
    for round in 0..34 {
        for parts in cases {
            let mut client = server.connect();
            // All is there when the server looks, or it comes bit by bit.
            let is_stopped = round % 2 == 0;
            if is_stopped {
                server.signal("STOP");
            }
            for (part, is_urgent) in parts {
                if *is_urgent { send_urgent(&client, part) } else { client.send(part) }
            }
            if is_stopped {
                server.signal("CONT");
            }
            let replies = client.lines(3);
            assert!(replies.iter().all(|reply| reply.starts_with("OK ") || reply.starts_with("ACK ")));
        }
    }
    assert_eq!(server.stats()["closed-idle"], 0);
}
