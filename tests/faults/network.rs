//! Networks that fail: packets that are lost, late and out of order, cables that are pulled, machines that lose
//! their power.

use crate::scene::{Scene, report_not_run, within};
use crate::support::accounts::{Received, Reply, Speaker};
use crate::support::bad_cable::Cable;
use crate::support::eventually;
use crate::support::hosts::{Host, enter_new_network};
use crate::support::mounted::run;
use firstline::limits::IN_FLIGHT;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

// ---- Bad cables -----------------------------------------------------------------------------------------------

/// Sends over a bad cable in many ways: floods, single messages, a half-close, a subscription, and resets.
fn send_over_a_bad_cable(scene: &Scene, host: &Host) {
    let port = scene.server.address.port();
    let speaker = |name: &str| host.speaker(port, scene.account(name));
    let (mut flooding, mut asking) = (speaker("flooding"), speaker("asking"));
    let (mut joined, half) = (speaker("joined"), speaker("half"));
    joined.command("/join 0 since 0").unwrap();
    let many = 10 * IN_FLIGHT;
    thread::scope(|scope| {
        scope.spawn(move || (0..3).for_each(|_| flooding.say_and_await_replies(many).unwrap()));
        scope.spawn(move || (0..20).for_each(|_| asking.say_and_await_replies(1).unwrap()));
        scope.spawn(|| end_half(half, many));
        scope.spawn(|| receive(&mut joined, 4 * many as u64));
        for round in 0..10 {
            let mut broken = speaker(&format!("broken-{round}"));
            broken.say_many(IN_FLIGHT).unwrap();
            broken.reset();
        }
    });
}

/// Sends `count` messages, closes the sending half, and reads all replies up to the end.
fn end_half(mut speaker: Speaker, count: usize) {
    speaker.say_many(count).unwrap();
    speaker.end_sending();
    speaker.finish().unwrap();
}

/// Reads at least `count` messages, of which none may be missing.
fn receive(speaker: &mut Speaker, count: u64) {
    let mut received = Received::since(0);
    while received.messages < count {
        match speaker.next().unwrap() {
            Some(Reply::Other(line)) => received.take(&line).unwrap(),
            Some(_) => {}
            None => panic!("the subscriber was closed after {} messages", received.messages),
        }
    }
    assert_eq!(received.lost_total, 0, "the journal has all of them");
}

#[test]
fn lost_late_and_reordered_packets_only_cost_time() {
    over_a_cable_of_the_tests_own();
    // A part that may be skipped is no test of its own, because a skipped test counts as passed.
    over_a_cable_with_netem();
}

fn over_a_cable_of_the_tests_own() {
    enter_new_network();
    let host = Host::new(1);
    let cable = Cable::connect(&host);
    serve_over_a_bad_cable("rough", &host);
    cable.assert_was_bad();
}

fn over_a_cable_with_netem() {
    enter_new_network();
    let host = Host::wired(1);
    if !has_netem(&host.device()) {
        return report_not_run(
            "netem",
            "this kernel has none; packets are lost, delayed and reordered by the test's own cable alone",
        );
    }
    disturb("change", &host.device());
    host.on(|| disturb("add", "wire"));
    serve_over_a_bad_cable("netem", &host);
    let statistics = run("tc", &["-s", "qdisc", "show", "dev", &host.device()]).stdout;
    let statistics = String::from_utf8(statistics).unwrap();
    let dropped =
        statistics.split("dropped ").nth(1).and_then(|rest| rest.split([',', ' ']).next()).unwrap_or("0");
    assert_ne!(dropped, "0", "nothing was lost: {statistics}");
}

/// Makes netem disturb a device.
fn disturb(how: &str, device: &str) {
    let bad_cable = "netem loss 5% delay 10ms 10ms reorder 25% duplicate 1%".split(' ');
    run("tc", &["qdisc", how, "dev", device, "root"].into_iter().chain(bad_cable).collect::<Vec<_>>());
}

/// Whether this kernel has netem.
fn has_netem(device: &str) -> bool {
    let try_it =
        Command::new("tc").args(["qdisc", "add", "dev", device, "root", "netem", "delay", "1ms"]).output();
    try_it.expect("tc is missing: tests/run faults installs it").status.success()
}

fn serve_over_a_bad_cable(name: &str, host: &Host) {
    let scene = Scene::start(name, &[]);
    let bystander = scene.bystander();
    send_over_a_bad_cable(&scene, host);
    bystander.assert_prompt();
    // The server may still be sending to clients that were reset, as far as it knows.
    within(Duration::from_secs(120), "all clients are closed", || scene.clients() == 0);
    scene.end();
}

#[test]
fn unplugged_cable_only_costs_time() {
    enter_new_network();
    let host = Host::wired(1);
    let scene = Scene::start("cable", &[]);
    let bystander = scene.bystander();
    let port = scene.server.address.port();
    let mut speakers = ["first", "second"].map(|name| host.speaker(port, scene.account(name)));
    let mut joined = host.speaker(port, scene.account("joined"));
    joined.command("/join 0 since 0").unwrap();
    for _ in 0..2 {
        let processed = scene.stat("processed");
        // Some of these messages arrive, but their ACKs do not.
        speakers.iter_mut().for_each(|speaker| speaker.say_many(IN_FLIGHT).unwrap());
        eventually("some are processed", || scene.stat("processed") > processed + 10);
        host.unplug();
        speakers.iter_mut().for_each(|speaker| speaker.say_many(IN_FLIGHT).unwrap());
        thread::sleep(Duration::from_secs(3));
        host.plug();
        for speaker in &mut speakers {
            speaker.await_replies().unwrap();
        }
    }
    // All messages, including those that were sent while the cable was unplugged.
    receive(&mut joined, 8 * IN_FLIGHT as u64);
    bystander.assert_prompt();
    for speaker in speakers {
        speaker.end_sending();
        speaker.finish().unwrap();
    }
    joined.vanish();
    let tally = scene.end();
    assert_eq!(tally.unacknowledged, 0, "every message was acknowledged");
}

// ---- Machines without power ---------------------------------------------------------------------------------

/// How soon the server must notice that a machine lost its power: within the documented time, plus some seconds
/// for a busy test machine.
const NOTICED: Duration = Duration::from_secs(90 + 15);

#[test]
fn connections_of_a_machine_without_power_are_closed_within_90_seconds() {
    enter_new_network();
    let host = Host::wired(1);
    let scene = Scene::start("power", &[]);
    let bystander = scene.bystander();
    let port = scene.server.address.port();
    let speaker = |name: &str| host.speaker(port, scene.account(name));
    let (mut idle, mut owed, mut joined) = (speaker("idle"), speaker("owed"), speaker("joined"));
    let mut half = speaker("half");
    idle.say_and_await_replies(1).unwrap();
    let half_a_line = half.account.half_a_message();
    half.send(&half_a_line).unwrap();
    joined.command("/join").unwrap();
    joined.await_replies().unwrap();
    owed.say_many(IN_FLIGHT).unwrap();
    // Messages that have arrived are processed, though their ACKs cannot be delivered.
    eventually("the messages are processed", || scene.stat("processed") > IN_FLIGHT as u64);
    // From here on, no packet from it arrives.
    host.lose_power();
    let since = Instant::now();
    owed.say_many(1).unwrap();
    assert_eq!(scene.clients(), 5);
    within(NOTICED, "their places are free", || scene.clients() == 1);
    let elapsed = since.elapsed();
    assert!(elapsed > Duration::from_secs(20), "{elapsed:?}: a radio link may be down for longer");
    bystander.assert_prompt();
    for speaker in [idle, owed, joined, half] {
        speaker.vanish();
    }
    scene.end();
}
