//! Addresses that come and go: of the server's machine, and of its interfaces.

use crate::common::{Client, Server, command, eventually};
use crate::hosts::{Host, be_alone, ip};
use nix::net::if_::if_nametoindex;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

/// Starts a server in this machine, that is in the namespace of this thread.
fn start(args: &[&str]) -> Server {
    let mut command = command();
    command.args(args);
    Server::start_command(command)
}

/// The ports that it listens on, in their order.
fn ports(server: &Server, count: usize) -> Vec<u16> {
    let ports = || -> Vec<u16> {
        let port = |line: &String| line.split_once("listening on ")?.1.rsplit(':').next()?.parse().ok();
        server.log().iter().filter_map(port).collect()
    };
    eventually("it listens everywhere", || ports().len() == count);
    ports()
}

/// What the server says to a ping from that machine: what it answers, or why it closes.
fn answer_to(host: &Host, address: SocketAddr) -> String {
    host.on(move || answer(address))
}

fn answer(address: SocketAddr) -> String {
    let mut client = Client::connect(address);
    // One that is turned away hears that without asking.
    let _ = std::io::Write::write_all(&mut client.stream, b"/ping\n");
    client.line()
}

/// Gives the other machine an address at its end of the cable, and this one a way there.
fn settle(host: &Host, address: &str, prefix: u8) {
    let there = address.to_string();
    host.on(move || ip(&format!("addr add {there}/{prefix} dev wire{}", no_dad(&there))));
    ip(&format!("route add {address} dev {}", host.device()));
}

/// No other has an IPv6 address here, and to look for one would take seconds.
fn no_dad(address: &str) -> &'static str {
    if address.contains(':') { " nodad" } else { "" }
}

const ALLOWED: &str = "OK 1";
const REFUSED: &str = "ERR 0 not-allowed --allow does not let your address in";

#[test]
fn a_network_of_an_interface_is_local_for_as_long_as_it_is_there() {
    be_alone();
    let host = Host::wired(1);
    let device = host.device();
    let server = start(&["--listen", "[::]:0"]);
    let port = server.address.port();
    // Addresses for documentation, which stand for those that a provider gives to a home.
    for (here, there, prefix, host_prefix) in
        [("2001:db8:1::1", "2001:db8:1::2", 64, 128), ("192.0.2.1", "192.0.2.2", 24, 32)]
    {
        settle(&host, there, prefix);
        // It has that address, and no network there.
        ip(&format!("addr add {here}/{host_prefix} dev {device}{}", no_dad(here)));
        let address = SocketAddr::new(here.parse::<IpAddr>().unwrap(), port);
        assert_eq!(answer_to(&host, address), REFUSED, "{there}");
        eventually("the machine itself is local", || answer(address) == ALLOWED);
        ip(&format!("addr del {here}/{host_prefix} dev {device}"));
        ip(&format!("addr add {here}/{prefix} dev {device}{}", no_dad(here)));
        eventually("who is in its network is local", || answer_to(&host, address) == ALLOWED);
        ip(&format!("addr del {here}/{prefix} dev {device}"));
        ip(&format!("addr add {here}/{host_prefix} dev {device}{}", no_dad(here)));
        ip(&format!("route replace {there} dev {device}"));
        eventually("it is not any more", || answer_to(&host, address) == REFUSED);
    }
    assert_eq!(server.end(), Some(0));
}

#[test]
fn a_network_of_an_interface_that_is_down_is_not_local() {
    be_alone();
    let host = Host::wired(1);
    let server = start(&["--listen", "[::]:0"]);
    settle(&host, "192.0.2.2", 24);
    let here = host.server_address();
    host.on(move || ip(&format!("route add {here}/32 dev wire src 192.0.2.2")));
    ip("link add spare type veth peer name spare-end");
    ip("link set spare-end up");
    ip("addr add 192.0.2.1/24 dev spare");
    let address = SocketAddr::from((here, server.address.port()));
    assert_eq!(answer_to(&host, address), REFUSED);
    ip("link set spare up");
    eventually("it is up", || answer_to(&host, address) == ALLOWED);
    ip("link set spare down");
    eventually("it is down", || answer_to(&host, address) == REFUSED);
    assert_eq!(server.end(), Some(0));
}

#[test]
fn an_address_that_comes_after_the_server_is_listened_on() {
    be_alone();
    let host = Host::wired(1);
    let addresses = ["10.0.1.9", "2001:db8:1::9"];
    let server = start(&["--allow=any", "--listen", "10.0.1.9:0", "--listen", "[2001:db8:1::9]:0"]);
    let ports = ports(&server, 2);
    for (address, port) in addresses.into_iter().zip(ports) {
        server.wait_for_log(&format!("this machine does not have the address {address} yet"));
        if address.contains(':') {
            settle(&host, "2001:db8:1::2", 64);
        }
        let to = SocketAddr::new(address.parse().unwrap(), port);
        // Twice: an address that goes may come again.
        for _ in 0..2 {
            let prefix = if address.contains(':') { 64 } else { 24 };
            ip(&format!("addr add {address}/{prefix} dev {}{}", host.device(), no_dad(address)));
            assert_eq!(answer_to(&host, to), ALLOWED);
            ip(&format!("addr del {address}/{prefix} dev {}", host.device()));
        }
    }
    assert_eq!(server.end(), Some(0));
}

#[test]
fn a_link_local_address_is_that_of_its_interface_by_name() {
    be_alone();
    let host = Host::wired(1);
    let device = host.device();
    let listen = format!("[fe80::9%{device}]:0");
    let allow = format!("fe80::%{device}/64");
    let server = start(&["--listen", &listen, "--allow", &allow]);
    let elsewhere = start(&["--listen", &listen, "--allow", "fe80::%lo/64"]);
    ip(&format!("addr add fe80::9/64 dev {device} nodad"));
    for (server, expected) in [(&server, ALLOWED), (&elsewhere, REFUSED)] {
        let port = server.address.port();
        let said = host.on(move || {
            ip("addr replace fe80::7/64 dev wire nodad");
            let wire = if_nametoindex("wire").unwrap();
            answer(SocketAddrV6::new("fe80::9".parse().unwrap(), port, 0, wire).into())
        });
        assert_eq!(said, expected);
    }
}
