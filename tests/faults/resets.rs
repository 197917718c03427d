//! Resets in every state of a connection.

use crate::scene::Scene;
use crate::support::accounts::{Speaker, Violation};
use crate::support::eventually;
use crate::support::stuck::Printed;
use firstline::limits::{CLIENTS, IN_FLIGHT};
use nix::sys::socket::{setsockopt, sockopt};

/// How often each state is reset: the result depends on which thread notices first.
const ROUNDS: usize = 100;

/// A state, and how to reach it.
type State = (&'static str, fn(&mut Speaker) -> Result<(), Violation>);

const STATES: [State; 11] = [
    ("before-the-first-byte", |_| Ok(())),
    ("in-the-middle-of-a-line", |speaker| {
        let half = speaker.account.half_a_message();
        speaker.send(&half)
    }),
    ("with-messages-in-flight", |speaker| speaker.say_many(IN_FLIGHT)),
    ("with-more-than-may-be-in-flight-and-half-a-line", |speaker| {
        let mut lines = speaker.account.messages(8 * IN_FLIGHT);
        lines.extend(speaker.account.half_a_message());
        speaker.send(&lines)
    }),
    ("while-replies-wait", |speaker| {
        setsockopt(&speaker.stream, sockopt::RcvBuf, &4096).unwrap();
        let questions: Vec<u8> = (0..2_000).flat_map(|_| speaker.account.command("/help")).collect();
        speaker.send(&questions)
    }),
    ("half-closed", |speaker| {
        speaker.say_many(IN_FLIGHT)?;
        speaker.end_sending();
        Ok(())
    }),
    ("half-closed-and-answered", |speaker| {
        speaker.say_many(IN_FLIGHT)?;
        speaker.end_sending();
        speaker.await_replies().map(drop)
    }),
    ("joined", |speaker| {
        speaker.command("/join")?;
        speaker.await_replies().map(drop)
    }),
    ("joined-and-in-the-history", |speaker| speaker.command("/join 0 since 0")),
    ("while-it-reads-the-history", |speaker| speaker.command("/since 0")),
    ("with-messages-in-flight-and-quitting", |speaker| {
        speaker.say_many(IN_FLIGHT)?;
        speaker.command("/quit")
    }),
];

#[test]
fn reset_in_any_state_harms_no_other_client_and_half_a_line_never_counts() {
    let scene = Scene::start("resets", &[]);
    let bystander = scene.bystander();
    std::thread::scope(|scope| {
        for (name, come_to) in STATES {
            let scene = &scene;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    // Connections that were reset before may still have their places; a rejected client would
                    // test nothing.
                    eventually("enough places are free", || scene.clients() < CLIENTS as u64 / 2);
                    let mut speaker = scene.speaker(&format!("{name}-{round}"));
                    come_to(&mut speaker).unwrap();
                    speaker.reset();
                }
            });
        }
    });
    eventually("all reset connections are closed", || scene.clients() == 1);
    bystander.assert_prompt();
    let tally = scene.end();
    assert!(tally.unacknowledged > 0, "no reset came while messages were in flight: {tally:?}");
}

#[test]
fn resets_during_shutdown_delay_neither_replies_nor_the_end() {
    let (mut printed, writer) = Printed::full_pipe();
    let scene = Scene::start_with("resets-at-the-end", |command| {
        command.args(["--print", "--drain-timeout", "30"]).stdout(writer);
    });
    let mut staying: Vec<Speaker> =
        (0..4).map(|number| scene.speaker(&format!("staying-{number}"))).collect();
    let mut leaving: Vec<Speaker> =
        (0..8).map(|number| scene.speaker(&format!("leaving-{number}"))).collect();
    let idle = scene.speaker("idle");
    for speaker in staying.iter_mut().chain(&mut leaving) {
        speaker.say_many(IN_FLIGHT).unwrap();
    }
    // The consumer cannot print, so nothing is acknowledged.
    eventually("everything is admitted", || scene.stat("admitted") == (12 * IN_FLIGHT) as u64);
    leaving.iter().take(4).for_each(Speaker::end_sending);
    scene.server.signal("TERM");
    assert_eq!(idle.finish().unwrap(), ["BYE shutting-down"]);
    leaving.drain(..).for_each(Speaker::reset);
    let reading = std::thread::spawn(move || {
        printed.unplug();
        printed.rest().len()
    });
    for speaker in staying {
        assert_eq!(speaker.finish().unwrap(), ["BYE shutting-down"]);
    }
    let tally = scene.await_end();
    assert_eq!(reading.join().unwrap(), 12 * IN_FLIGHT);
    assert_eq!((tally.matched, tally.unacknowledged), (4 * IN_FLIGHT as u64, 8 * IN_FLIGHT as u64));
}
