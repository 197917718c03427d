//! The start of the server, or one line that says why it does not start.

#[path = "../support/mod.rs"]
mod support;

use firstline::limits::{BOARD, CLIENTS};
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::process::{Output, Stdio};
use support::{Client, Server, command, eventually, run_to_end};

fn run(args: &[&str]) -> Output {
    let mut command = command();
    command.args(args);
    run_to_end(command)
}

/// The one line on standard error of a server that did not start, after `firstline: `.
fn reason(output: &Output, code: i32) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(output.stdout.is_empty(), "a failure says nothing on standard output");
    let line = stderr.strip_suffix('\n').unwrap_or_else(|| panic!("not a line: {stderr:?}"));
    assert!(!line.contains('\n'), "more than one line: {stderr}");
    line.strip_prefix("firstline: ")
        .unwrap_or_else(|| panic!("the line does not begin with the program: {line}"))
        .to_string()
}

/// The addresses that the server listens on, as soon as it logs `count` of them.
fn listening(server: &Server, count: usize) -> Vec<SocketAddr> {
    let listening = || {
        let log = server.log();
        log.iter().filter_map(|line| line.split_once("listening on ")?.1.parse().ok()).collect::<Vec<_>>()
    };
    eventually("the server listens on all addresses", || listening().len() == count);
    listening()
}

#[test]
fn taken_port_exits_with_1() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let reason = reason(&run(&["--listen", &address.to_string()]), 1);
    let port = address.port();
    assert_eq!(
        reason,
        format!(
            "cannot listen on {address}: another program has port {port}; stop it (ss -ltnp tells which) or choose \
             another with --listen"
        )
    );
}

#[test]
fn port_of_another_firstline_is_taken() {
    let server = Server::start(&[]);
    let reason = reason(&run(&["--listen", &server.address.to_string()]), 1);
    assert!(reason.contains("another program has port"), "{reason}");
    assert_eq!(server.connect().ask("/ping"), "OK 1", "the first server still works");
}

#[test]
fn missing_address_is_logged_and_the_others_are_served() {
    // Addresses for documentation: RFC 5737 and RFC 3849. tests/faults shows that clients reach such addresses later.
    let mut arguments = vec!["--listen", "127.0.0.1:0", "--listen", "192.0.2.1:0"];
    if TcpListener::bind("[::1]:0").is_ok() {
        arguments.extend(["--listen", "[2001:db8::1]:0"]);
    }
    let mut all = command();
    all.args(&arguments);
    let server = Server::start_command(all);
    assert_eq!(listening(&server, arguments.len() / 2).len(), arguments.len() / 2);
    assert_eq!(server.connect().ask("/ping"), "OK 1");
    let log = server.log();
    let waits = |address: &str| {
        let expected = format!("WARN  this machine does not have the address {address} yet");
        log.iter().any(|line| line.contains(&expected))
    };
    assert!(waits("192.0.2.1") && !waits("127.0.0.1"), "{log:?}");
}

#[test]
fn missing_interface_exits_with_1() {
    let reason = reason(&run(&["--listen", "[fe80::1%no-such-one]:9090"]), 1);
    assert_eq!(
        reason,
        "cannot listen on [fe80::1]:9090: this machine does not have the interface no-such-one; ip link lists those \
         it has"
    );
}

#[test]
fn missing_interface_in_an_allow_rule_is_logged() {
    let rules = ["--allow", "127.0.0.1 fe80::%no-such-one/64 fe80::%lo/64"];
    let server = Server::start(&rules);
    assert_eq!(server.connect().ask("/ping"), "OK 1");
    let log = server.log();
    let warnings: Vec<_> = log.iter().filter(|line| line.contains("does not have the interface")).collect();
    assert_eq!(warnings.len(), 1, "{log:?}");
    assert!(warnings[0].contains("WARN ") && warnings[0].contains("no-such-one"), "{warnings:?}");
    assert!(warnings[0].contains("fe80::/64"), "{warnings:?}");
}

#[test]
fn journal_that_cannot_be_created_is_reported_with_a_remedy() {
    let reason = reason(&run(&["--listen", "127.0.0.1:0", "--journal", "/dev/null"]), 1);
    assert!(reason.starts_with("--journal /dev/null: "), "{reason}");
    assert!(reason.ends_with("; give the path of a directory"), "{reason}");
}

#[test]
fn broadcast_address_exits_with_1() {
    // The broadcast address of the loopback network, which every machine has.
    let reason = reason(&run(&["--listen", "127.255.255.255:0"]), 1);
    assert!(reason.starts_with("cannot listen on 127.255.255.255:0: "), "{reason}");
    assert!(reason.contains("broadcast address") && reason.contains("--listen"), "{reason}");
}

#[test]
fn wrong_option_or_variable_exits_with_2_and_names_the_valid_values() {
    let too_many = (CLIENTS + 1).to_string();
    for (args, parts) in [
        (
            &["--listen", "nonsense"][..],
            ["--listen nonsense: takes addresses", "host names are not looked up"],
        ),
        (&["--listen", "127.0.0.1:65536"], ["--listen 127.0.0.1:65536: ", "takes addresses"]),
        (&["--listen"], ["--listen without a value: ", "takes addresses"]),
        (&["--lisen", "9090"], ["--lisen: no such option", "did you mean --listen?"]),
        (
            &["--listen", "[fe80::1]:9090"],
            ["--listen [fe80::1]:9090: ", "takes a link-local address with its interface: fe80::1%eth0"],
        ),
        (&["--frobnicate"], ["--frobnicate: no such option", "see --help"]),
        (&["-x"], ["-x: no such option", "see --help"]),
        (&["--port", "8080"], ["--port: no such option", "did you mean --listen?"]),
        (&["--prot=8080"], ["--prot: no such option", "did you mean --listen?"]),
        (&["-p", "8080"], ["-p: no such option", "did you mean --listen?"]),
        (&["--listen", "239.1.2.3"], ["--listen 239.1.2.3: takes addresses of this machine", "multicast"]),
        (&["--listen", "255.255.255.255:80"], ["--listen 255.255.255.255:80: ", "broadcast"]),
        (&["9090"], ["9090: not an option", "--listen"]),
        (&["--workers", "0"], ["--workers 0: ", "zero does not mean unlimited"]),
        (&["--workers", &too_many], ["--workers ", "from 1 to "]),
        (&["--idle-timeout", "soon"], ["--idle-timeout soon: ", "seconds from "]),
        (&["--drain-timeout", "off"], ["--drain-timeout off: ", "is never off"]),
        (&["--print=maybe"], ["--print maybe: ", "on or off"]),
    ] {
        let reason = reason(&run(args), 2);
        assert!(reason.starts_with(parts[0]) && reason.contains(parts[1]), "{args:?}: {reason}");
    }
    for (name, value, parts) in [
        ("FIRSTLINE_LISTEN", "nonsense", ["FIRSTLINE_LISTEN=nonsense: takes addresses", "127.0.0.1"]),
        ("FIRSTLINE_LISTN", "9090", ["FIRSTLINE_LISTN: no such setting", "FIRSTLINE_LISTEN"]),
    ] {
        let mut command = command();
        command.env(name, value);
        let reason = reason(&run_to_end(command), 2);
        assert!(reason.starts_with(parts[0]) && reason.contains(parts[1]), "{name}: {reason}");
    }
}

#[test]
fn unwritable_standard_error_does_not_change_the_exit_code() {
    for (args, code) in
        [(&["--frobnicate"][..], 2), (&["send", "--frobnicate"], 2), (&["journal", "/nowhere"], 1)]
    {
        let mut command = command();
        command.args(args);
        command.stdout(Stdio::null()).stderr(File::options().write(true).open("/dev/full").unwrap());
        assert_eq!(command.status().unwrap().code(), Some(code), "{args:?}");
    }
}

#[test]
fn every_listen_address_is_served() {
    let server = Server::start(&["--listen", "127.0.0.1:0"]);
    let addresses = listening(&server, 2);
    assert_ne!(addresses[0], addresses[1]);
    let mut clients: Vec<_> = addresses.iter().map(|address| Client::connect(*address)).collect();
    assert_eq!(clients[0].ask("/join"), "OK 1");
    assert_eq!(clients[1].ask("hello"), "ACK 1 1");
    assert_eq!(
        clients[0].line(),
        format!("MSG 1 p4 {} hello", clients[1].address()),
        "both addresses belong to one server"
    );
}

#[test]
fn command_line_overrides_the_listen_addresses_of_the_environment() {
    let mut from_environment = command();
    from_environment.env("FIRSTLINE_LISTEN", "127.0.0.1:0,127.0.0.1:0");
    let server = Server::start_command(from_environment);
    for address in listening(&server, 2) {
        assert!(address.ip().is_loopback());
        assert_eq!(Client::connect(address).ask("/ping"), "OK 1");
    }
    let mut both = command();
    both.env("FIRSTLINE_LISTEN", "nonsense").args(["--listen", "127.0.0.1:0"]);
    assert_eq!(Server::start_command(both).connect().ask("/ping"), "OK 1");
}

#[test]
fn port_is_reusable_at_once_after_the_server_ended() {
    let server = Server::start(&[]);
    let address = server.address;
    let mut client = server.connect();
    assert_eq!(client.ask("/ping"), "OK 1");
    // The server closes the connection first, so the kernel keeps its port in TIME-WAIT.
    assert_eq!(server.end(), Some(0));
    let mut again = command();
    again.args(["--listen", &address.to_string()]);
    assert_eq!(Server::start_command(again).connect().ask("/ping"), "OK 1");
}

#[test]
fn help_version_and_sizes_are_printed_and_exit_with_0() {
    let version = format!("firstline {} (board {BOARD})\n", env!("CARGO_PKG_VERSION"));
    for (args, part) in [
        (&["--version"][..], version.as_str()),
        (&["-V"], &version),
        (&["--help"], "Usage: firstline "),
        (&["-h"], "--listen ADDR"),
        (&["--sizes"], BOARD),
        // The first request counts, whatever follows.
        (&["--version", "--frobnicate"], &version),
    ] {
        let output = run(args);
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(stdout.contains(part) && stdout.ends_with('\n'), "{args:?}: {stdout}");
        assert!(output.stderr.is_empty(), "{args:?}");
    }
}
