//! Brokers that break the protocol, and surroundings that fail: the bridge stays within its memory, goes on, and ends
//! when it is told to.

use crate::broker::Broker;
use crate::process::Process;
use crate::scene::{RESIDENT_KB_MAX, Scene, bridge_command, send, texts};
use crate::support::own_address::own_address;
use crate::support::{LIMIT, eventually};
use crate::tap::Tap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

/// A broker's consent, by MQTT 5.
const CONNACK: [u8; 5] = [0x20, 3, 0, 0, 0];

/// Something that answers each connection with these bytes, and then sends these others until it is closed.
fn sender(first: &'static [u8], then: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let flood = move |mut stream: TcpStream| {
        let many: Vec<u8> = then.iter().copied().cycle().take(then.len() * 4_000).collect();
        let _ = stream.read(&mut [0; 1_000]);
        let mut is_open = stream.write_all(first).is_ok();
        while is_open {
            is_open = stream.write_all(&many).is_ok();
        }
    };
    spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            spawn(move || flood(stream));
        }
    });
    address
}

#[test]
fn broker_that_sends_without_end_neither_fills_the_memory_nor_keeps_the_bridge() {
    // Messages that nobody subscribed to, and answers to no ping.
    for then in [&[0x30, 6, 0, 1, b'a', 0, b'x', b'x'][..], &[0xd0, 0]] {
        let scene = Scene::new("flood");
        let server = scene.server();
        send(&mut server.connect(), "m", 20, 5);
        let mut bridge = scene.bridge(sender(&CONNACK, then), &["--ack-timeout", "1"]);
        bridge.wait_for("has not acknowledged a message for 1 s");
        assert!(bridge.status_kb("VmHWM") <= RESIDENT_KB_MAX, "{} KiB", bridge.status_kb("VmHWM"));
        assert_eq!(bridge.end(), Some(0));
    }
}

#[test]
fn what_is_no_broker_is_told() {
    let scene = Scene::new("no-broker");
    let _server = scene.server();
    let bridge = scene.bridge(sender(b"220 mail.example.org ready\r\n", b"500 what?\r\n"), &[]);
    bridge.wait_for("is no MQTT broker");
}

#[test]
fn closed_or_full_standard_error_stops_nothing() {
    for error in ["/dev/full", ""] {
        let scene = Scene::new("stderr");
        let (server, broker) = (scene.server(), Broker::start(own_address(), ""));
        let tap = Tap::to(broker.address);
        let mut command = Command::new("sh");
        let script = if error.is_empty() { "exec \"$@\" 2>&-" } else { "exec \"$@\" 2>/dev/full" };
        let bridge = bridge_command();
        command.args(["-c", script, "sh"]).arg(bridge.get_program()).args(bridge.get_args()).arg("--journal");
        command.arg(scene.path("journal")).arg("--state").arg(scene.path("state/cursors"));
        command.args(["--node", "pi", "--to", &format!("mqtt://{}", tap.address)]);
        let mut bridge = Process::start(command);
        server.connect().ask("hello");
        tap.wait("it arrives", |acknowledged| texts(acknowledged) == ["hello"]);
        assert_eq!(bridge.end(), Some(0));
    }
}

#[test]
fn reader_of_standard_error_that_has_gone_stops_nothing() {
    let scene = Scene::new("pipe");
    let server = scene.server();
    let mut command = bridge_command();
    command.arg("--journal").arg(scene.path("journal")).arg("--state").arg(scene.path("state/cursors"));
    command.args(["--node", "pi", "--to", "mqtt://127.0.0.1:1"]).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stderr.take());
    server.connect().ask("hello");
    eventually("counters are written", || scene.counters().is_some());
    let is_running = child.try_wait().unwrap().is_none();
    let _ = child.kill();
    let _ = child.wait();
    assert!(is_running);
}

#[test]
fn two_boards_with_one_name_are_told_and_both_go_on() {
    let scene = Scene::new("namesakes");
    let (server, broker) = (scene.server(), Broker::start(own_address(), ""));
    server.connect().ask("hello");
    let first = scene.bridge(broker.address, &[]);
    eventually("it arrives", || scene.counters().is_some_and(|counters| counters["acknowledged_rest"] == 1));
    let other = Scene::new("namesakes");
    let other_server = other.server();
    let second = other.bridge(broker.address, &[]);
    // A message for each connection, so that each of them is a success.
    let is_told = |bridge: &Process| bridge.said().iter().any(|line| line.contains("--client-id"));
    let (mut of_first, mut of_second) = (server.connect(), other_server.connect());
    eventually("one of them tells", || {
        of_first.ask("tick");
        of_second.ask("tick");
        sleep(Duration::from_millis(100));
        is_told(&first) || is_told(&second)
    });
    of_first.ask("/urgent last of the first");
    of_second.ask("/urgent last of the second");
    for scene in [&scene, &other] {
        eventually("both go on", || {
            scene.counters().is_some_and(|counters| counters["acknowledged_urgent"] == 1)
        });
    }
}

/// A broker that takes urgent messages and losses, and closes the connection on any other message.
fn urgent_only() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let serve = |mut stream: TcpStream| {
        while let Some(packet) = read_packet(&mut stream) {
            let answer = match packet[0] >> 4 {
                1 => CONNACK.to_vec(),
                3 => {
                    let topic = usize::from(u16::from_be_bytes([packet[1], packet[2]]));
                    let (name, rest) = packet[3..].split_at(topic);
                    if !name.ends_with(b"/p9") && !name.ends_with(b"/lost") {
                        return;
                    }
                    vec![0x40, 2, rest[0], rest[1]]
                }
                _ => continue,
            };
            if stream.write_all(&answer).is_err() {
                return;
            }
        }
    };
    spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            spawn(move || serve(stream));
        }
    });
    address
}

/// A packet without its length.
fn read_packet(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut byte = [0];
    stream.read_exact(&mut byte).ok()?;
    let (mut packet, mut length, mut shift) = (byte.to_vec(), 0, 0);
    loop {
        stream.read_exact(&mut byte).ok()?;
        length |= usize::from(byte[0] & 127) << shift;
        shift += 7;
        if byte[0] < 128 {
            break;
        }
    }
    packet.resize(1 + length, 0);
    stream.read_exact(&mut packet[1..]).ok()?;
    Some(packet)
}

#[test]
fn message_at_fault_is_found_though_urgent_ones_are_taken_on_each_connection() {
    let scene = Scene::new("at-fault");
    let server = scene.server();
    let mut client = server.connect();
    client.ask("forbidden");
    let _bridge = scene.bridge(urgent_only(), &[]);
    let limit = Instant::now() + 3 * LIMIT;
    while !scene.counters().is_some_and(|counters| counters["lost_refused"] == 1) {
        client.ask("/urgent tick");
        sleep(Duration::from_millis(50));
        assert!(Instant::now() < limit, "{:?}", scene.counters());
    }
}

#[test]
fn backlog_that_is_refused_does_not_fill_the_log() {
    let scene = Scene::new("log");
    let (server, broker) = (scene.server(), Broker::start(own_address(), "max_packet_size 100\n"));
    send(&mut server.connect(), "m", 300, 5);
    let mut bridge = scene.bridge(broker.address, &[]);
    eventually("all are given up", || {
        scene.counters().is_some_and(|counters| counters["lost_too_large"] == 300)
    });
    assert_eq!(bridge.end(), Some(0));
    bridge.wait_for("more lines of this kind");
    assert!(bridge.said().len() < 12, "{:#?}", bridge.said());
}

#[test]
fn journal_that_is_moved_away_during_an_outage_is_sent_to_its_end() {
    let scene = Scene::new("moved");
    let (server, address) = (scene.server(), own_address());
    let tap = Tap::to(address);
    let bridge = scene.bridge(tap.address, &[]);
    bridge.wait_for("it is tried again");
    // More than is read ahead.
    let mut expected = send(&mut server.connect(), "old", 400, 5);
    eventually("they wait", || scene.counters().is_some_and(|counters| counters["waiting_in_memory"] == 64));
    drop(server);
    std::fs::rename(scene.path("journal"), scene.path("aside")).unwrap();
    let server = scene.server();
    expected.extend(send(&mut server.connect(), "new", 20, 5));
    let _broker = Broker::start(address, "");
    expected.sort();
    tap.wait("all arrive", |acknowledged| texts(acknowledged) == expected);
    bridge.wait_for("has replaced journal");
}
