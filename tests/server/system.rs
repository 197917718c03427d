//! A system that refuses requests: strace makes each call fail that can fail.

use crate::support::directory::Directory;
use crate::support::traced::{Trace, attempts_without_pause};
use crate::support::{Client, LIMIT, Server, command, eventually, processor, run_to_end};
use firstline::limits::IN_FLIGHT;
use std::fs::{self, File};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The server under strace, on a free port.
fn listening(trace: &Trace, calls: &str, rules: &[&str]) -> Command {
    let mut server = command();
    server.args(["--listen", "127.0.0.1:0"]);
    trace.of(&server, calls, rules)
}

// ---- Accepting ----------------------------------------------------------------------------------------------

/// Failures that may concern a single connection: at first the server retries without a pause.
const FAILURES_WITHOUT_PAUSE: usize = firstline::limits::ACCEPT_FAILURES_MAX as usize;

/// Makes `accept4` fail while a client waits, until it was tried three times more than it may fail without a
/// pause. Returns how many attempts had no pause.
fn accepts_without_pause(errno: &str, without_pause_max: usize) -> usize {
    let trace = Trace::new();
    let rule = format!("accept4:error={errno}");
    let server = Server::start_command(listening(&trace, "accept4", &[&rule]));
    let _waiting = server.connect();
    let logged = server.wait_for_log("cannot accept a connection");
    assert!(logged.contains(&server.address.to_string()), "{logged}");
    eventually("the server retries", || trace.times("accept4").len() >= without_pause_max + 4);
    let logged = server.log().iter().filter(|line| line.contains("cannot accept")).count();
    assert_eq!(logged, 1, "{errno}: it is logged once");
    attempts_without_pause(&trace.times("accept4"))
}

#[test]
#[cfg_attr(not(feature = "strace"), ignore = "takes strace")]
fn failing_accept_is_logged_and_does_not_spin() {
    std::thread::scope(|scope| {
        for (errno, without_pause_max) in [
            ("EPERM", 0),
            ("EINVAL", 0),
            ("EBADF", 0),
            ("EMFILE", 0),
            ("EPROTO", FAILURES_WITHOUT_PAUSE),
            ("ECONNABORTED", FAILURES_WITHOUT_PAUSE),
            ("ENETDOWN", FAILURES_WITHOUT_PAUSE),
        ] {
            scope.spawn(move || {
                let attempts_without_pause = accepts_without_pause(errno, without_pause_max);
                assert!(
                    attempts_without_pause <= without_pause_max,
                    "{errno}: {attempts_without_pause} without a pause"
                );
            });
        }
    });
}

#[test]
#[cfg_attr(not(feature = "strace"), ignore = "takes strace")]
fn waiting_client_is_served_when_accept_works_again() {
    let trace = Trace::new();
    let server = Server::start_command(listening(&trace, "accept4", &["accept4:error=EPERM:when=1..3"]));
    assert_eq!(server.connect().ask("/ping"), "OK 1");
    server.wait_for_log("connections are accepted again");
}

// ---- Options of sockets -------------------------------------------------------------------------------------

#[test]
#[cfg_attr(not(feature = "strace"), ignore = "takes strace")]
fn clients_are_served_without_socket_options() {
    for errno in ["ENOPROTOOPT", "EOPNOTSUPP", "ENOSYS"] {
        let trace = Trace::new();
        let rule = format!("setsockopt:error={errno}");
        let server = Server::start_command(listening(&trace, "setsockopt", &[&rule]));
        for number in 1..=3 {
            assert_eq!(server.connect().ask("hello"), format!("ACK 1 {number}"), "{errno}");
        }
        let count = server.log().iter().filter(|line| line.contains("does not let sockets have")).count();
        assert_eq!(count, 1, "{errno}: it is logged once");
    }
}

// ---- Kernels that lack something ----------------------------------------------------------------------------

#[test]
#[cfg_attr(not(feature = "strace"), ignore = "takes strace")]
fn missing_kernel_features_and_missing_descriptors_are_reported_differently() {
    for call in ["signalfd4", "eventfd2", "epoll_create1", "timerfd_create"] {
        for (errno, expected) in [("ENOSYS", "CONFIG_EPOLL"), ("EPERM", "forbids"), ("EMFILE", "ulimit -n")] {
            let trace = Trace::new();
            let output = run_to_end(listening(&trace, call, &[&format!("{call}:error={errno}")]));
            let said = String::from_utf8(output.stderr).unwrap();
            let last = said.lines().last().unwrap_or_default();
            assert_eq!(output.status.code(), Some(1), "{call}: {said}");
            assert!(last.starts_with("firstline: ") && last.contains(expected), "{call} {errno}: {said}");
        }
    }
}

// ---- The scheduler ------------------------------------------------------------------------------------------

#[test]
#[cfg_attr(not(feature = "strace"), ignore = "takes strace")]
fn busy_worker_yields_to_another_on_its_processor() {
    let trace = Trace::new();
    let mut server = command();
    server.args(["--listen", "127.0.0.1:0", "--workers", "2"]);
    let traced = trace.of(&server, "sched_yield", &[]);
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", &processor().to_string()]).arg(traced.get_program()).args(traced.get_args());
    pinned.env("FIRSTLINE_PER_ADDRESS", "off");
    let server = Server::start_command(pinned);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Two of them for each worker, so that each has work all the time.
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = server.connect();
                let lines = "line\n".repeat(IN_FLIGHT);
                while !is_over.load(Ordering::Relaxed) {
                    client.send(&lines);
                    assert_eq!(client.lines(IN_FLIGHT).len(), IN_FLIGHT);
                }
            });
        }
        let start = Instant::now();
        while trace.times("sched_yield").is_empty() && start.elapsed() < LIMIT {
            std::thread::sleep(Duration::from_millis(10));
        }
        // Also if no worker has yielded, so that the clients end.
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(!trace.times("sched_yield").is_empty(), "no worker has yielded");
    assert_eq!(server.end(), Some(0));
}

// ---- Files that may not grow --------------------------------------------------------------------------------

/// Puts a limit on the size of files before a command of the server.
fn with_file_limit(server: &Command, bytes: u64) -> Command {
    let mut limited = Command::new("prlimit");
    limited.arg(format!("--fsize={bytes}")).arg(server.get_program()).args(server.get_args());
    limited.env("FIRSTLINE_PER_ADDRESS", "off");
    limited
}

/// Sends messages until the reply has that beginning, in which `#` stands for the number of the line.
fn say_until(client: &mut Client, number: &mut usize, expected: &str) {
    eventually(expected, || {
        *number += 1;
        client.ask(&"x".repeat(400)).starts_with(&expected.replace('#', &number.to_string()))
    });
}

#[test]
fn size_limit_on_standard_output_refuses_messages() {
    let directory = Directory::new("print-limit");
    fs::create_dir(directory.path()).unwrap();
    let printed = directory.0.join("printed");
    let mut server = command();
    server.args(["--listen", "127.0.0.1:0", "--print"]);
    let mut limited = with_file_limit(&server, 4096);
    limited.stdout(File::create(&printed).unwrap());
    let server = Server::start_command(limited);
    let (mut client, mut number) = (server.connect(), 0);
    say_until(&mut client, &mut number, "NAK # print-failed");
    assert_eq!(fs::metadata(&printed).unwrap().len(), 4096);
    assert_eq!(server.end(), Some(0));
}

#[test]
fn size_limit_on_journal_files_does_not_end_the_server() {
    let directory = Directory::new("file-limit");
    let with_journal = || {
        let mut server = command();
        server.args(["--listen", "127.0.0.1:0", "--journal-size", "1M", "--journal", directory.path()]);
        server
    };
    assert_eq!(Server::start_command(with_journal()).end(), Some(0));
    let server = Server::start_command(with_file_limit(&with_journal(), 32 * 1024));
    let (mut client, mut number) = (server.connect(), 0);
    say_until(&mut client, &mut number, "NAK # journal-failed");
    // The journal continues in the next file.
    say_until(&mut client, &mut number, "ACK #");
    assert_eq!(server.end(), Some(0));
}

// ---- The networks of interfaces -----------------------------------------------------------------------------

#[test]
fn networks_of_interfaces_can_be_read() {
    let server = Server::start(&[]);
    assert_eq!(server.connect().ask("/ping"), "OK 1");
    let log = server.log();
    assert!(!log.iter().any(|line| line.contains("cannot be read")), "{log:?}");
}
