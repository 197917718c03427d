//! The broker on another machine, with a cable between it and the bridge that loses, doubles and delays packets, is
//! pulled, or carries packets in one direction only.

use crate::broker::Broker;
use crate::commands::publish;
use crate::process::Process;
use crate::scene::{Scene, check, send};
use crate::support::bad_cable::{Cable, Direction};
use crate::support::hosts::{Host, enter_new_network};
use crate::support::own_address::own_address;
use crate::support::{Client, Server, eventually};
use crate::tap::Tap;

/// A machine with a broker, and the cable to the machine of this thread.
struct Remote {
    host: Host,
    cable: Cable,
    tap: Tap,
    broker: Broker,
}

impl Remote {
    /// Gives the calling thread a machine, and starts a broker on another.
    fn start() -> Self {
        enter_new_network();
        let host = Host::new(1);
        let cable = Cable::connect(&host);
        let address = host.address();
        let (broker, tap) = host.on(move || {
            let broker = Broker::start(own_address(), "");
            let tap = Tap::at((address, 0).into(), broker.address);
            (broker, tap)
        });
        Self { host, cable, tap, broker }
    }

    /// Publishes a command on the broker's machine.
    fn publish(&self, text: &str) {
        let (broker, text) = (self.broker.address, text.to_string());
        self.host.on(move || publish(broker, "do/pi/p9", &text, &[]));
    }
}

/// A server, a client that reads what is urgent there, and a bridge that also takes commands.
fn start(scene: &Scene, remote: &Remote, args: &[&str]) -> (Server, Client, Process) {
    let server = scene.server();
    let mut reader = server.connect();
    reader.ask("/join 9");
    let hub = server.address.to_string();
    let args = [args, &["--subscribe", "do/{node}/#", "--hub", &hub]].concat();
    let bridge = scene.bridge(remote.tap.address, &args);
    bridge.wait_for(" connected to ");
    bridge.wait_for("commands come from do/pi/#");
    (server, reader, bridge)
}

/// How many lines of the bridge have that in them.
fn count(bridge: &Process, part: &str) -> usize {
    bridge.said().iter().filter(|line| line.contains(part)).count()
}

/// Reads messages until all these texts have come, whatever else comes.
fn await_texts(reader: &mut Client, mut texts: Vec<String>) {
    while !texts.is_empty() {
        let line = reader.line();
        texts.retain(|text| !line.ends_with(text.as_str()));
    }
}

#[test]
fn bad_cable_loses_nothing_in_either_direction() {
    let (remote, scene) = (Remote::start(), Scene::new("cable"));
    let (server, mut reader, _bridge) = start(&scene, &remote, &[]);
    let mut client = server.connect();
    let mut expected = send(&mut client, "bad", 300, 10);
    let commands: Vec<String> = (0..20).map(|number| format!("command {number}")).collect();
    commands.iter().for_each(|command| remote.publish(command));
    remote.tap.wait("some have arrived", |acknowledged| acknowledged.len() > 50);
    remote.host.unplug();
    expected.extend(send(&mut client, "unplugged", 100, 10));
    remote.host.plug();
    expected.extend(send(&mut client, "again", 100, 10));
    await_texts(&mut reader, commands.clone());
    // The commands are messages, too, and come back to the broker.
    expected.extend(commands);
    check(&remote.tap, expected);
    remote.cable.assert_was_bad();
}

/// Sends while one direction carries nothing. The bridge must close the connection itself: the kernel would wait for
/// more than 15 minutes.
fn dead_direction_loses_nothing(direction: Direction) {
    let (remote, scene) = (Remote::start(), Scene::new("direction"));
    let server = scene.server();
    let mut client = server.connect();
    let bridge = scene.bridge(remote.tap.address, &["--ack-timeout", "2"]);
    let mut expected = send(&mut client, "before", 50, 10);
    check(&remote.tap, expected.clone());
    remote.cable.set_dead(direction, true);
    expected.extend(send(&mut client, "dead", 50, 10));
    bridge.wait_for("has not acknowledged a message for 2 s");
    expected.extend(send(&mut client, "later", 50, 10));
    remote.cable.set_dead(direction, false);
    check(&remote.tap, expected);
    eventually("it is connected again", || count(&bridge, " connected to ") > 1);
}

#[test]
fn dead_direction_to_the_broker_loses_nothing() {
    dead_direction_loses_nothing(Direction::ToHost);
}

#[test]
fn dead_direction_from_the_broker_loses_nothing() {
    dead_direction_loses_nothing(Direction::FromHost);
}

#[test]
fn command_sent_while_a_direction_is_dead_arrives_later() {
    let (remote, scene) = (Remote::start(), Scene::new("idle"));
    let (_server, mut reader, bridge) = start(&scene, &remote, &["--ack-timeout", "2"]);
    remote.cable.set_dead(Direction::FromHost, true);
    remote.publish("open the valve");
    // Each of the two connections notices by its keep-alive.
    eventually("both connections are given up", || count(&bridge, "has not answered for 2 s") >= 2);
    remote.cable.set_dead(Direction::FromHost, false);
    await_texts(&mut reader, vec!["open the valve".to_string()]);
    check(&remote.tap, vec!["open the valve".to_string()]);
}
