//! Brokers, servers and bridges that are killed, frozen and slow: every message arrives, in order within its class.

use crate::broker::Broker;
use crate::process::Process;
use crate::scene::{RESIDENT_KB_MAX, Scene, check, send};
use crate::support::eventually;
use crate::support::fake_time::FakeTime;
use crate::support::own_address::own_address;
use crate::support::random::Random;
use crate::tap::Tap;
use std::thread::sleep;
use std::time::{Duration, Instant};

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
    let address = own_address();
    let tap = Tap::to(address);
    let (mut server, mut broker) = (scene.server(), Some(Broker::start(address, "")));
    let mut bridge = scene.bridge(tap.address, &[]);
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
        broker.get_or_insert_with(|| Broker::start(address, ""));
        if hits[2] {
            bridge = scene.bridge(tap.address, &[]);
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
    let (server, broker) = (scene.server(), Broker::start(own_address(), ""));
    let tap = Tap::to(broker.address);
    tap.delay(5);
    let _bridge = scene.bridge(tap.address, &["--in-flight", "4"]);
    let expected = send(&mut server.connect(), "m", 300, 10);
    check(&tap, expected.clone());
    assert_eq!(tap.published().len(), expected.len());
}

#[test]
fn frozen_broker_ends_the_connection_and_nothing_is_lost() {
    let scene = Scene::new("frozen");
    let (server, broker) = (scene.server(), Broker::start(own_address(), ""));
    let tap = Tap::to(broker.address);
    let bridge = scene.bridge(tap.address, &["--ack-timeout", "1"]);
    bridge.wait_for("connected");
    broker.freeze(true);
    let expected = send(&mut server.connect(), "m", 100, 10);
    bridge.wait_for("has not acknowledged a message for 1 s");
    broker.freeze(false);
    check(&tap, expected);
}

/// How fast the bridge's clocks run in the long outage: a day takes 22 s.
const TIMES: u32 = 4_000;

/// Waits until a clock that began then and runs [`TIMES`] as fast is so many hours later.
fn wait_for_hour(began: Instant, hour: u32) {
    let due = began + Duration::from_secs(3_600) * hour / TIMES;
    sleep(due.saturating_duration_since(Instant::now()));
}

#[test]
fn outage_of_a_day_loses_nothing_and_fills_neither_memory_nor_log() {
    let (scene, time) = (Scene::new("day"), FakeTime::faster(TIMES));
    let (server, broker) = (scene.server(), Broker::start(own_address(), ""));
    let tap = Tap::to(broker.address);
    // A round trip that takes 1 ms takes 4 s by the bridge's clock.
    let mut command = scene.command_to(&format!("mqtt://{}", tap.address), &["--ack-timeout", "600"]);
    time.put_before(&mut command);
    let began = Instant::now();
    let bridge = Process::start(command);
    bridge.wait_for("connected");
    let mut expected = send(&mut server.connect(), "before", 50, 5);
    // For half a day the broker accepts connections and is silent; then there is none.
    broker.freeze(true);
    expected.extend(send(&mut server.connect(), "silent", 200, 5));
    wait_for_hour(began, 12);
    let address = broker.address;
    broker.kill();
    expected.extend(send(&mut server.connect(), "gone", 200, 5));
    wait_for_hour(began, 24);
    assert!(bridge.status_kb("VmHWM") <= RESIDENT_KB_MAX, "{} KiB", bridge.status_kb("VmHWM"));
    // A failure is logged once in ten minutes, and there are several. Few lines would mean that no day has passed.
    let said = bridge.said();
    assert!((20..400).contains(&said.len()), "{said:#?}");
    let _broker = Broker::start(address, "");
    let connected = |said: &[String]| said.iter().filter(|line| line.contains(" connected to ")).count();
    eventually("it is connected again", || connected(&bridge.said()) > connected(&said));
    // From here on at its usual speed, and later than the clock can have come by now.
    time.set("+30d x1");
    check(&tap, expected);
}
