//! Addresses that appear and disappear: on the server's machine, and on its interfaces.

use crate::support::hosts::{Host, enter_new_network, ip};
use crate::support::{Client, Server, command, eventually};
use nix::net::if_::if_nametoindex;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

/// Starts a server in the network namespace of this thread.
fn start(args: &[&str]) -> Server {
    let mut command = command();
    command.args(args);
    Server::start_command(command)
}

/// The ports that the server listens on, in order.
fn ports(server: &Server, count: usize) -> Vec<u16> {
    let ports = || -> Vec<u16> {
        let port = |line: &String| line.split_once("listening on ")?.1.rsplit(':').next()?.parse().ok();
        server.log().iter().filter_map(port).collect()
    };
    eventually("the server listens on all addresses", || ports().len() == count);
    ports()
}

/// The server's answer to a ping from that machine: the reply, or the reason why it closes.
fn answer_to(host: &Host, address: SocketAddr) -> String {
    host.on(move || answer(address))
}

fn answer(address: SocketAddr) -> String {
    let mut client = Client::connect(address);
    // A rejected client gets the reason without asking.
    let _ = std::io::Write::write_all(&mut client.stream, b"/ping\n");
    client.line()
}

/// Gives the other machine an address at its end of the cable, and this machine a route to it.
fn add_address(host: &Host, address: &str, prefix: u8) {
    let there = address.to_string();
    host.on(move || ip(&format!("addr add {there}/{prefix} dev wire{}", no_dad(&there))));
    ip(&format!("route add {address} dev {}", host.device()));
}

/// Duplicate address detection takes seconds, and no other machine here has an IPv6 address.
fn no_dad(address: &str) -> &'static str {
    if address.contains(':') { " nodad" } else { "" }
}

const ALLOWED: &str = "OK 1";
const REFUSED: &str = "ERR 0 not-allowed --allow does not let your address in";

#[test]
fn interfaces_network_is_local_while_it_has_the_address() {
    enter_new_network();
    let host = Host::wired(1);
    let device = host.device();
    let server = start(&["--listen", "[::]:0"]);
    let port = server.address.port();
    // Addresses for documentation, in place of those that a provider assigns to a home.
    for (here, there, prefix, host_prefix) in
        [("2001:db8:1::1", "2001:db8:1::2", 64, 128), ("192.0.2.1", "192.0.2.2", 24, 32)]
    {
        add_address(&host, there, prefix);
        // The interface has that address, with a prefix that contains no other.
        ip(&format!("addr add {here}/{host_prefix} dev {device}{}", no_dad(here)));
        let address = SocketAddr::new(here.parse::<IpAddr>().unwrap(), port);
        assert_eq!(answer_to(&host, address), REFUSED, "{there}");
        eventually("the machine itself is local", || answer(address) == ALLOWED);
        ip(&format!("addr del {here}/{host_prefix} dev {device}"));
        ip(&format!("addr add {here}/{prefix} dev {device}{}", no_dad(here)));
        eventually("a machine in its network is local", || answer_to(&host, address) == ALLOWED);
        ip(&format!("addr del {here}/{prefix} dev {device}"));
        ip(&format!("addr add {here}/{host_prefix} dev {device}{}", no_dad(here)));
        ip(&format!("route replace {there} dev {device}"));
        eventually("the other machine is no longer local", || answer_to(&host, address) == REFUSED);
    }
    assert_eq!(server.end(), Some(0));
}

#[test]
fn network_of_an_interface_that_is_down_is_not_local() {
    enter_new_network();
    let host = Host::wired(1);
    let server = start(&["--listen", "[::]:0"]);
    add_address(&host, "192.0.2.2", 24);
    let here = host.server_address();
    host.on(move || ip(&format!("route add {here}/32 dev wire src 192.0.2.2")));
    ip("link add spare type veth peer name spare-end");
    ip("link set spare-end up");
    ip("addr add 192.0.2.1/24 dev spare");
    let address = SocketAddr::from((here, server.address.port()));
    assert_eq!(answer_to(&host, address), REFUSED);
    ip("link set spare up");
    eventually("the interface is up", || answer_to(&host, address) == ALLOWED);
    ip("link set spare down");
    eventually("the interface is down", || answer_to(&host, address) == REFUSED);
    assert_eq!(server.end(), Some(0));
}

#[test]
fn address_added_after_the_start_is_listened_on() {
    enter_new_network();
    let host = Host::wired(1);
    let addresses = ["10.0.1.9", "2001:db8:1::9"];
    let server = start(&["--allow=any", "--listen", "10.0.1.9:0", "--listen", "[2001:db8:1::9]:0"]);
    let ports = ports(&server, 2);
    for (address, port) in addresses.into_iter().zip(ports) {
        server.wait_for_log(&format!("this machine does not have the address {address} yet"));
        if address.contains(':') {
            add_address(&host, "2001:db8:1::2", 64);
        }
        let to = SocketAddr::new(address.parse().unwrap(), port);
        // Twice: an address may disappear and come again.
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
fn link_local_rule_applies_to_its_interface_only() {
    enter_new_network();
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
