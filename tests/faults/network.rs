//! Networks that fail: packets that are lost, late and out of order, cables that are pulled, machines that lose their power.

use crate::common::accounts::{Heard, Reply, Speaker};
use crate::common::eventually;
use crate::common::mounted::run;
use crate::hosts::{Host, be_alone};
use crate::rough::Cable;
use crate::scene::{Scene, tell_not_run, within};
use firstline::limits::IN_FLIGHT;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

// ---- Bad cables -----------------------------------------------------------------------------------------------

/// Speaks over a bad cable in all ways: in floods, one by one, half-closing, joined, and with resets.
fn speak_over_a_bad_cable(scene: &Scene, host: &Host) {
    let port = scene.server.address.port();
    let speaker = |name: &str| host.speaker(port, scene.account(name));
    let (mut flooding, mut asking) = (speaker("flooding"), speaker("asking"));
    let (mut joined, half) = (speaker("joined"), speaker("half"));
    joined.command("/join 0 since 0").unwrap();
    let many = 10 * IN_FLIGHT;
    thread::scope(|scope| {
        scope.spawn(move || (0..3).for_each(|_| flooding.say_and_settle(many).unwrap()));
        scope.spawn(move || (0..20).for_each(|_| asking.say_and_settle(1).unwrap()));
        scope.spawn(|| end_half(half, many));
        scope.spawn(|| hear(&mut joined, 4 * many as u64));
        for round in 0..10 {
            let mut broken = speaker(&format!("broken-{round}"));
            broken.say_many(IN_FLIGHT).unwrap();
            broken.reset();
        }
    });
}

/// Says all, ends its side, and reads all replies up to the end.
fn end_half(mut speaker: Speaker, count: usize) {
    speaker.say_many(count).unwrap();
    speaker.end_sending();
    speaker.finish().unwrap();
}

/// Hears so many messages at least, with none missing.
fn hear(speaker: &mut Speaker, count: u64) {
    let mut heard = Heard::since(0);
    while heard.messages < count {
        match speaker.next().unwrap() {
            Some(Reply::Other(line)) => heard.take(&line).unwrap(),
            Some(_) => {}
            None => panic!("one who joined was closed after {} messages", heard.messages),
        }
    }
    assert_eq!(heard.lost_in_all, 0, "the journal has them all");
}

#[test]
fn lost_late_and_reordered_packets_cost_time_and_nothing_else() {
    over_a_cable_of_the_tests_own();
    // It may be left out, and so has no test of its own that would have passed.
    over_a_cable_with_netem();
}

fn over_a_cable_of_the_tests_own() {
    be_alone();
    let host = Host::new(1);
    let cable = Cable::connect(&host);
    serve_over_a_bad_cable("rough", &host);
    let counts = [&cable.counts.passed, &cable.counts.lost, &cable.counts.overtaken];
    let [passed, lost, overtaken] = counts.map(|count| count.load(Ordering::Relaxed));
    assert!(
        lost > passed / 100 && overtaken > passed / 100,
        "{passed} passed, {lost} lost, {overtaken} overtaken"
    );
}

fn over_a_cable_with_netem() {
    be_alone();
    let host = Host::wired(1);
    if !has_netem(&host.device()) {
        return tell_not_run(
            "netem",
            "this kernel has none; packets are lost, delayed and reordered by the test's own cable alone",
        );
    }
    be_rough("change", &host.device());
    host.on(|| be_rough("add", "wire"));
    serve_over_a_bad_cable("netem", &host);
    let told = run("tc", &["-s", "qdisc", "show", "dev", &host.device()]).stdout;
    let told = String::from_utf8(told).unwrap();
    let dropped = told.split("dropped ").nth(1).and_then(|rest| rest.split([',', ' ']).next()).unwrap_or("0");
    assert_ne!(dropped, "0", "nothing was lost: {told}");
}

/// Has netem make a device bad.
fn be_rough(how: &str, device: &str) {
    let rough = "netem loss 5% delay 10ms 10ms reorder 25% duplicate 1%".split(' ');
    run("tc", &["qdisc", how, "dev", device, "root"].into_iter().chain(rough).collect::<Vec<_>>());
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
    speak_over_a_bad_cable(&scene, host);
    bystander.noticed_nothing();
    // The server may still be sending to those who were reset, for all it knows.
    within(Duration::from_secs(120), "all have left", || scene.clients() == 0);
    scene.end();
}

#[test]
fn a_cable_that_is_pulled_and_plugged_in_again_costs_time_and_nothing_else() {
    be_alone();
    let host = Host::wired(1);
    let scene = Scene::start("cable", &[]);
    let bystander = scene.bystander();
    let port = scene.server.address.port();
    let mut speakers = ["first", "second"].map(|name| host.speaker(port, scene.account(name)));
    let mut joined = host.speaker(port, scene.account("joined"));
    joined.command("/join 0 since 0").unwrap();
    for _ in 0..2 {
        let processed = scene.stat("processed");
        // Some of these arrive, and their ACKs do not.
        speakers.iter_mut().for_each(|speaker| speaker.say_many(IN_FLIGHT).unwrap());
        eventually("some are processed", || scene.stat("processed") > processed + 10);
        host.unplug();
        speakers.iter_mut().for_each(|speaker| speaker.say_many(IN_FLIGHT).unwrap());
        thread::sleep(Duration::from_secs(3));
        host.plug();
        for speaker in &mut speakers {
            speaker.settle().unwrap();
        }
    }
    // All that was said to them and that they missed while they were cut off.
    hear(&mut joined, 8 * IN_FLIGHT as u64);
    bystander.noticed_nothing();
    for speaker in speakers {
        speaker.end_sending();
        speaker.finish().unwrap();
    }
    joined.vanish();
    let tally = scene.end();
    assert_eq!(tally.unheard, 0, "each of them was acknowledged");
}

// ---- Machines that are gone -----------------------------------------------------------------------------------

/// By when the server has noticed that a machine lost its power: that is promised, and some time more for a busy one here.
const NOTICED: Duration = Duration::from_secs(90 + 15);

#[test]
fn a_machine_that_lost_its_power_has_its_seats_taken_away_within_90_seconds() {
    be_alone();
    let host = Host::wired(1);
    let scene = Scene::start("power", &[]);
    let bystander = scene.bystander();
    let port = scene.server.address.port();
    let speaker = |name: &str| host.speaker(port, scene.account(name));
    let (mut idle, mut owed, mut joined) = (speaker("idle"), speaker("owed"), speaker("joined"));
    let mut half = speaker("half");
    idle.say_and_settle(1).unwrap();
    let half_a_line = half.account.half_a_message();
    half.send(&half_a_line).unwrap();
    joined.command("/join").unwrap();
    joined.settle().unwrap();
    owed.say_many(IN_FLIGHT).unwrap();
    // What has arrived is processed, though nobody will hear of it.
    eventually("they are processed", || scene.stat("processed") > IN_FLIGHT as u64);
    // From here on nothing of it arrives.
    host.lose_power();
    let since = Instant::now();
    owed.say_many(1).unwrap();
    assert_eq!(scene.clients(), 5);
    within(NOTICED, "their seats are free", || scene.clients() == 1);
    let elapsed = since.elapsed();
    assert!(elapsed > Duration::from_secs(20), "{elapsed:?}: a radio link may be gone for longer");
    bystander.noticed_nothing();
    for speaker in [idle, owed, joined, half] {
        speaker.vanish();
    }
    scene.end();
}
