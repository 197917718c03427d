//! Brokers, servers and bridges that are killed, frozen and slow: every message arrives, in order within its class.

use crate::broker::{Broker, free_port};
use crate::scene::{Scene, check, send};
use crate::support::random::Random;
use crate::tap::Tap;
use std::thread::sleep;
use std::time::Duration;

/// What is killed.
#[derive(Clone, Copy, PartialEq)]
enum Victim {
    Broker,
    Server,
    Bridge,
    /// One of them each time, or several.
    Any,
}

/// Sends messages while the victim is killed again and again at any moment, and checks that all arrive.
fn survives_kills(victim: Victim, seed: u64) {
    let scene = Scene::new("kills");
    let mut random = Random(seed);
    let port = free_port();
    let tap = Tap::to(port);
    let (mut server, mut broker) = (scene.server(), Some(Broker::start(port, "")));
    let mut bridge = scene.bridge(tap.port, &[]);
    let mut expected = Vec::new();
    for round in 0..6 {
        let is_hit =
            |of: Victim, random: &mut Random| victim == of || (victim == Victim::Any && random.below(2) == 0);
        let hits = [Victim::Broker, Victim::Server, Victim::Bridge].map(|of| is_hit(of, &mut random));
        expected.extend(send(&mut server.connect(), &format!("round{round}"), 150, 5));
        // At any moment: no event is waited for.
        sleep(Duration::from_millis(random.below(120) as u64));
        if hits[0] {
            broker.take().unwrap().kill();
        }
        if hits[1] {
            server.signal("KILL");
            server.wait();
        }
        if hits[2] {
            bridge.kill();
        }
        if hits[1] {
            server = scene.server();
        }
        expected.extend(send(&mut server.connect(), &format!("away{round}"), 50, 5));
        broker.get_or_insert_with(|| Broker::start(port, ""));
        if hits[2] {
            bridge = scene.bridge(tap.port, &[]);
        }
    }
    check(&tap, expected);
}

#[test]
fn killed_broker_loses_nothing() {
    survives_kills(Victim::Broker, 1);
}

#[test]
fn killed_server_loses_nothing() {
    survives_kills(Victim::Server, 2);
}

#[test]
fn killed_bridge_loses_nothing() {
    survives_kills(Victim::Bridge, 3);
}

#[test]
fn several_killed_at_once_lose_nothing() {
    for seed in 4..6 {
        survives_kills(Victim::Any, seed);
    }
}

#[test]
fn slow_broker_gets_everything_once() {
    let scene = Scene::new("slow");
    let (server, broker) = (scene.server(), Broker::start(free_port(), ""));
    let tap = Tap::to(broker.port);
    tap.delay(5);
    let _bridge = scene.bridge(tap.port, &["--in-flight", "4"]);
    let expected = send(&mut server.connect(), "m", 300, 10);
    check(&tap, expected.clone());
    assert_eq!(tap.published().len(), expected.len());
}

#[test]
fn frozen_broker_ends_the_connection_and_nothing_is_lost() {
    let scene = Scene::new("frozen");
    let (server, broker) = (scene.server(), Broker::start(free_port(), ""));
    let tap = Tap::to(broker.port);
    let bridge = scene.bridge(tap.port, &["--ack-timeout", "1"]);
    bridge.wait_for("connected");
    broker.freeze(true);
    let expected = send(&mut server.connect(), "m", 100, 10);
    bridge.wait_for("has not acknowledged a message for 1 s");
    broker.freeze(false);
    check(&tap, expected);
}
