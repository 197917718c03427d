//! Unusual ways to close a connection and to send: every line that a client sent is processed nevertheless.

use crate::support::{Client, Server, eventually};
use firstline::limits::CLIENTS;
use nix::sys::socket::{MsgFlags, send};
use std::collections::BTreeSet;
use std::os::fd::AsRawFd;

/// Stops the server, connects many clients, and has each call `send` and `leave`. So the server finds everything at
/// once: the lines, and the end or reset of the connection. (When a client goes, its kernel does not send what
/// it has not sent by then.)
fn with_stopped_server(server: &Server, clients: usize, send: impl Fn(&mut Client), leave: impl Fn(Client)) {
    let mut left = clients;
    while left > 0 {
        let at_once = left.min(CLIENTS / 2);
        left -= at_once;
        server.signal("STOP");
        // Stopping takes time on a busy machine, and until then the server would reply.
        eventually("the server is stopped", || has_stopped(server.pid()));
        let mut clients: Vec<Client> = (0..at_once).map(|_| server.connect()).collect();
        clients.iter_mut().for_each(&send);
        let ports = clients.iter().map(|client| client.stream.local_addr().unwrap().port()).collect();
        eventually("the server's kernel has all lines", || are_delivered(&ports));
        clients.into_iter().for_each(&leave);
        eventually("the server's kernel has all ends", || are_delivered(&ports));
        server.signal("CONT");
        // The acceptor accepts this connection after the others.
        let mut watcher = server.connect();
        eventually("all clients are closed", || watcher.stats()["clients"] == 1);
    }
}

/// Whether all threads of that process are stopped.
fn has_stopped(pid: u32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap()).all(|stat| {
        // The state follows the name, which may contain anything.
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    })
}

/// Whether the server's kernel has acknowledged everything that was sent from these ports, including the FIN.
fn are_delivered(ports: &BTreeSet<u16>) -> bool {
    const FIN_WAIT_1: &str = "04";
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    sockets.lines().skip(1).all(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let port = words[1].rsplit(':').next().unwrap();
        let is_own = ports.contains(&u16::from_str_radix(port, 16).unwrap());
        !is_own || words[3] != FIN_WAIT_1 && words[4].starts_with("00000000:")
    })
}

#[test]
fn lines_of_clients_that_close_without_reading_are_processed() {
    for workers in [&["--workers", "1"][..], &[]] {
        let server = Server::start(workers);
        let send = |client: &mut Client| (0..200).for_each(|line| client.send(format!("{line}\n")));
        with_stopped_server(&server, 100, send, drop);
        let stats = server.stats();
        assert_eq!((stats["admitted"], stats["processed"]), (20_000, 20_000), "{workers:?}");
        assert!(stats["replies-unsent"] > 0, "every reply was sent: {stats:?}");
    }
}

#[test]
fn lines_sent_in_one_piece_before_a_close_are_processed() {
    let server = Server::start(&["--workers", "1"]);
    let lines: String = (1..=2_000).map(|line| format!("{line}\n")).collect();
    with_stopped_server(&server, 20, |client| client.send(&lines), drop);
    assert_eq!(server.stats()["processed"], 40_000);
}

#[test]
fn last_line_without_lf_counts_before_a_fin_but_not_before_a_reset() {
    for workers in [&["--workers", "1"][..], &[]] {
        let server = Server::start(workers);
        // The client's kernel answers the first reply with a reset.
        with_stopped_server(&server, 200, |client| client.send("one\ntwo\nthree"), drop);
        let stats = server.stats();
        assert_eq!((stats["processed"], stats["lines-cut-off"]), (600, 0), "{workers:?}");
        with_stopped_server(&server, 200, |client| client.send("one\ntwo\nthr"), Client::reset);
        let stats = server.stats();
        assert_eq!((stats["processed"], stats["lines-cut-off"]), (1_000, 200), "{workers:?}");
    }
}

#[test]
fn commands_of_a_closed_client_block_nothing() {
    let server = Server::start(&[]);
    let lines = "hello\n/who\n/stats\n/join\n/help\n/nick gone\n".repeat(20) + "last\n";
    with_stopped_server(&server, 50, |client| client.send(&lines), drop);
    assert_eq!(server.stats()["processed"], 50 * 21);
}

/// Sends bytes, the last of them as TCP urgent data.
fn send_urgent(client: &Client, bytes: &str) {
    assert_eq!(send(client.stream.as_raw_fd(), bytes.as_bytes(), MsgFlags::MSG_OOB), Ok(bytes.len()));
}

#[test]
fn tcp_urgent_data_strands_no_line() {
    let server = Server::start(&["--idle-timeout", "30"]);
    // The parts marked `true` are sent as urgent data.
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
            // In even rounds all parts are there when the server looks; in the others they come one after the other.
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
