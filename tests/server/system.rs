//! A system that refuses what is asked of it: each call that can fail is made to, by strace.

use crate::common::directory::Directory;
use crate::common::traced::{Trace, hasty};
use crate::common::{Client, Server, command, eventually, run_to_end};
use std::fs::{self, File};
use std::process::Command;

/// The server, traced so, on a free port.
fn listening(trace: &Trace, calls: &str, rules: &[&str]) -> Command {
    let mut server = command();
    server.args(["--listen", "127.0.0.1:0"]);
    trace.of(&server, calls, rules)
}

// ---- Accepting ----------------------------------------------------------------------------------------------

/// Failures that may be about one connection each, and are passed over at first.
const PASSED_OVER: usize = firstline::limits::ACCEPT_FAILURES_MAX as usize;

/// Has accepting fail so while somebody waits, until it was tried three times more than fail without a pause. Returns how many had none.
fn hasty_accepts(errno: &str, hasty_max: usize) -> usize {
    let trace = Trace::new();
    let rule = format!("accept4:error={errno}");
    let server = Server::start_command(listening(&trace, "accept4", &[&rule]));
    let _waiting = server.connect();
    let told = server.wait_for_log("cannot accept a connection");
    assert!(told.contains(&server.address.to_string()), "{told}");
    eventually("it is tried again and again", || trace.times("accept4").len() >= hasty_max + 4);
    let told = server.log().iter().filter(|line| line.contains("cannot accept")).count();
    assert_eq!(told, 1, "{errno}: it is told once");
    hasty(&trace.times("accept4"))
}

#[test]
#[cfg_attr(not(feature = "strace"), ignore = "takes strace")]
fn whatever_accepting_fails_with_it_is_told_and_nothing_spins() {
    std::thread::scope(|scope| {
        for (errno, hasty_max) in [
            ("EPERM", 0),
            ("EINVAL", 0),
            ("EBADF", 0),
            ("EMFILE", 0),
            ("EPROTO", PASSED_OVER),
            ("ECONNABORTED", PASSED_OVER),
            ("ENETDOWN", PASSED_OVER),
        ] {
            scope.spawn(move || {
                let hasty = hasty_accepts(errno, hasty_max);
                assert!(hasty <= hasty_max, "{errno}: {hasty} without a pause");
            });
        }
    });
}

#[test]
#[cfg_attr(not(feature = "strace"), ignore = "takes strace")]
fn who_waits_is_served_when_accepting_works_again() {
    let trace = Trace::new();
    let server = Server::start_command(listening(&trace, "accept4", &["accept4:error=EPERM:when=1..3"]));
    assert_eq!(server.connect().ask("/ping"), "OK 1");
    server.wait_for_log("connections are accepted again");
}

// ---- Options of sockets -------------------------------------------------------------------------------------

#[test]
#[cfg_attr(not(feature = "strace"), ignore = "takes strace")]
fn a_system_that_lacks_options_of_sockets_has_clients_all_the_same() {
    for errno in ["ENOPROTOOPT", "EOPNOTSUPP", "ENOSYS"] {
        let trace = Trace::new();
        let rule = format!("setsockopt:error={errno}");
        let server = Server::start_command(listening(&trace, "setsockopt", &[&rule]));
        for number in 1..=3 {
            assert_eq!(server.connect().ask("hello"), format!("ACK 1 {number}"), "{errno}");
        }
        let told = server.log().iter().filter(|line| line.contains("does not let sockets have")).count();
        assert_eq!(told, 1, "{errno}: it is told once");
    }
}

// ---- Kernels that lack something ----------------------------------------------------------------------------

#[test]
#[cfg_attr(not(feature = "strace"), ignore = "takes strace")]
fn a_kernel_that_lacks_what_threads_wait_on_is_told_apart_from_a_lack_of_descriptors() {
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

// ---- Files that may not grow --------------------------------------------------------------------------------

/// Puts a limit on the length of files before a command of the server.
fn with_file_limit(server: &Command, bytes: u64) -> Command {
    let mut limited = Command::new("prlimit");
    limited.arg(format!("--fsize={bytes}")).arg(server.get_program()).args(server.get_args());
    limited.env("FIRSTLINE_PER_ADDRESS", "off");
    limited
}

/// Says something until that is answered so.
fn say_until(client: &mut Client, number: &mut usize, expected: &str) {
    eventually(expected, || {
        *number += 1;
        client.ask(&"x".repeat(400)).starts_with(&expected.replace('#', &number.to_string()))
    });
}

#[test]
fn standard_output_that_may_not_grow_is_a_print_that_failed() {
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
fn a_journal_whose_files_may_not_grow_fails_and_does_not_end_the_server() {
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
    // It goes on in the next of its files.
    say_until(&mut client, &mut number, "ACK #");
    assert_eq!(server.end(), Some(0));
}

// ---- The networks of interfaces -----------------------------------------------------------------------------

#[test]
fn the_networks_of_interfaces_can_be_read() {
    let server = Server::start(&[]);
    assert_eq!(server.connect().ask("/ping"), "OK 1");
    let log = server.log();
    assert!(!log.iter().any(|line| line.contains("cannot be read")), "{log:?}");
}
