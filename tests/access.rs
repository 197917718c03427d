//! Who may connect: the real server, and clients with addresses of their own.

mod common;

use common::{Client, Server, command, run_to_end};
use firstline::limits::MENTIONS_MAX;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrStorage};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

/// A client with that address; all of 127.0.0.0/8 are this machine.
fn connect_from(from: Ipv4Addr, to: SocketAddr) -> Client {
    let socket = socket::socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::from((from, 0)))).unwrap();
    socket::connect(socket.as_raw_fd(), &SockaddrStorage::from(to)).unwrap();
    Client::of(TcpStream::from(socket))
}

fn is_refused(mut client: Client) -> bool {
    match &client.rest()[..] {
        [line] if line == "ERR 0 not-allowed" => true,
        lines => panic!("{lines:?}"),
    }
}

/// The lines of the log about those who may not connect, up to that of the client that connected last.
fn told(server: &Server, last: &Client) -> Vec<String> {
    server.wait_for_log(&format!("{} connected", last.address()));
    let lines = server.log().into_iter().filter(|line| line.contains("not allowed"));
    lines.map(|line| line.split_once("WARN  ").expect("it is a warning").1.to_string()).collect()
}

// ---- Addresses -----------------------------------------------------------------------------------------

#[test]
fn who_is_not_allowed_is_told_counted_and_takes_no_seat() {
    let server = Server::start(&["--allow", "127.0.0.2", "--allow=192.0.2.0/24"]);
    for _ in 0..3 {
        assert!(is_refused(server.connect()));
    }
    let mut allowed = connect_from(Ipv4Addr::new(127, 0, 0, 2), server.address);
    let stats = allowed.stats();
    assert_eq!((stats["closed-not-allowed"], stats["clients-max"], stats["clients-turned-away"]), (3, 1, 3));
    assert_eq!(told(&server, &allowed), ["127.0.0.1 turned away: not allowed; see --allow"], "told once");
}

#[test]
fn what_one_who_is_not_allowed_sends_is_thrown_away_and_the_reason_arrives() {
    let server = Server::start(&["--allow", "127.0.0.2"]);
    let mut client = server.connect();
    // The server may have closed it already.
    let _ = std::io::Write::write_all(&mut client.stream, &b"/urgent let me in\n".repeat(100));
    assert!(is_refused(client));
    let mut allowed = connect_from(Ipv4Addr::new(127, 0, 0, 2), server.address);
    assert_eq!(allowed.ask("mine"), "ACK 1 1", "nothing of it became a message");
}

#[test]
fn the_environment_says_who_may_connect_unless_the_command_line_does() {
    let start = |args: &[&str]| {
        let mut command = command();
        command.args(["--listen", "127.0.0.1:0"]).args(args).env("FIRSTLINE_ALLOW", "127.0.0.2,127.0.0.3");
        Server::start_command(command)
    };
    let server = start(&[]);
    assert!(is_refused(server.connect()));
    assert_eq!(connect_from(Ipv4Addr::new(127, 0, 0, 3), server.address).ask("/ping"), "OK 1");
    let server = start(&["--allow", "any"]);
    assert_eq!(server.connect().ask("/ping"), "OK 1");
    let server = start(&["--allow", "127.0.0.4/32", "--allow", "local"]);
    assert_eq!(server.connect().ask("/ping"), "OK 1", "what is given twice adds up");
}

#[test]
fn an_ipv4_address_that_comes_in_over_ipv6_is_an_ipv4_address() {
    // Where there is no IPv6, nothing comes in over it.
    if TcpListener::bind("[::1]:0").is_err() {
        let mut command = command();
        command.args(["--listen", "[::]:0"]);
        assert_eq!(run_to_end(command).status.code(), Some(1));
        return;
    }
    let localhost = |server: &Server, ip: &str| SocketAddr::new(ip.parse().unwrap(), server.address.port());
    for (rule, v4, v6) in [
        ("127.0.0.0/8", true, false),
        ("::ffff:127.0.0.1", true, false),
        ("::1", false, true),
        ("::/0", false, true),
    ] {
        let mut command = command();
        command.args(["--listen", "[::]:0", "--allow", rule]);
        let server = Server::start_command(command);
        for (ip, expected) in [("127.0.0.1", v4), ("::1", v6)] {
            let mut client = Client::connect(localhost(&server, ip));
            let expected = if expected { "OK 1" } else { "ERR 0 not-allowed" };
            // One that is turned away hears that without asking.
            let _ = std::io::Write::write_all(&mut client.stream, b"/ping\n");
            assert_eq!(client.line(), expected, "{ip} with --allow {rule}");
        }
    }
}

#[test]
fn who_has_many_addresses_cannot_fill_the_log() {
    let server = Server::start(&["--allow", "127.0.0.1"]);
    let addresses = (0..2 * MENTIONS_MAX).map(|number| Ipv4Addr::new(127, 0, 1, number as u8));
    for address in addresses.clone().chain(addresses) {
        assert!(is_refused(connect_from(address, server.address)));
    }
    let mut allowed = server.connect();
    assert_eq!(allowed.stats()["closed-not-allowed"], 4 * MENTIONS_MAX as u64);
    let lines = told(&server, &allowed);
    let (last, addresses) = lines.split_last().unwrap();
    assert_eq!(addresses.len(), MENTIONS_MAX);
    let of_address = |line: &String| line.split(' ').next().unwrap().parse::<IpAddr>().is_ok();
    assert!(addresses.iter().all(of_address), "{addresses:?}");
    assert!(
        last.starts_with(&format!("more than {MENTIONS_MAX} addresses turned away in a minute")),
        "{last}"
    );
}
