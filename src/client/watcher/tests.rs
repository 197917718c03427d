use super::*;
use crate::client::peer::Peer;
use std::net::TcpListener;
use std::thread::{JoinHandle, spawn};

/// A watcher, and the thread that runs its server.
fn against(
    interest: Interest,
    server: impl FnOnce(TcpListener) + Send + 'static,
) -> (Watcher, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (Watcher::new(address.into(), None, interest), spawn(move || server(listener)))
}

fn known(list: &[(Option<u64>, u64)]) -> Positions {
    let mut positions = Positions::default();
    for &(journal, id) in list.iter().rev() {
        positions.set(Position { journal, id });
    }
    positions
}

/// Takes events up to the one with the text `last`, and returns all of them as text.
fn until(watcher: &mut Watcher, last: &str) -> Vec<String> {
    let mut seen = Vec::new();
    while seen.last().is_none_or(|seen| seen != last) {
        watcher.wait(None);
        assert_eq!(watcher.denial(), None);
        while let Some(event) = watcher.take_event() {
            let Position { journal, id } = event.position;
            let what = match event.what {
                What::Begin(gap) => format!("begin {gap:?}"),
                What::Message { id, text, .. } => format!("message {id} {text}"),
                What::Lost(count) => format!("lost {count}"),
                What::CaughtUp => "caught up".to_string(),
            };
            seen.push(format!("{what} at {} {id}", journal.unwrap_or(0)));
        }
        assert!(seen.len() < 100, "{last:?} does not come: {seen:?}");
    }
    seen
}

impl Peer {
    /// Serves a watcher as a server with that journal and newest ID, and expects the line `join`.
    fn serve(listener: &TcpListener, journal: u64, newest: u64, join: &str) -> Self {
        let mut peer = Self::greet(listener);
        assert_eq!(peer.line(), "/stats");
        peer.say(&format!("STAT uptime-s 1\nSTAT journal-id {journal}\nOK 2\n"));
        peer.refuse(3, newest);
        assert_eq!(peer.line(), join);
        peer
    }

    /// Answers the question for the newest ID.
    fn refuse(&mut self, line: u64, newest: u64) {
        assert!(self.line().ends_with(" since 18446744073709551615"));
        self.say(&format!("ERR {line} ahead-of-history {newest}\n"));
    }
}

#[test]
fn next_connection_continues_after_the_last_message() {
    let interest = Interest { since: Since::All, ..Interest::default() };
    let (mut watcher, server) = against(interest, |listener| {
        Peer::serve(&listener, 7, 2, "/join 0 since 0").say("MSG 1 p4 a one\nMSG 2 p4 a two\nOK 4\nMSG 3 p");
        let mut peer = Peer::serve(&listener, 7, 4, "/join 0 since 2");
        peer.say("MSG 3 p4 a three\nLOST 1\nOK 4\nMSG 5 p4 a five\n");
        assert_eq!(peer.line(), "");
    });
    assert_eq!(
        until(&mut watcher, "message 5 five at 7 5"),
        [
            "begin None at 7 0",
            "message 1 one at 7 1",
            "message 2 two at 7 2",
            "caught up at 7 2",
            "begin None at 7 2",
            "message 3 three at 7 3",
            "lost 1 at 7 4",
            "caught up at 7 4",
            "message 5 five at 7 5",
        ]
    );
    drop(watcher);
    server.join().unwrap();
}

#[test]
fn loss_is_reported_once_over_two_connections() {
    let interest = Interest { positions: known(&[(Some(7), 1)]), ..Interest::default() };
    let (mut watcher, server) = against(interest, |listener| {
        Peer::serve(&listener, 7, 9, "/join 0 since 1").say("LOST 3\n");
        let mut peer = Peer::serve(&listener, 7, 9, "/join 0 since 4");
        peer.say("MSG 5 p4 a five\n");
        assert_eq!(peer.line(), "");
    });
    let seen = until(&mut watcher, "message 5 five at 7 5");
    assert_eq!(seen[1..], ["lost 3 at 7 4", "begin None at 7 4", "message 5 five at 7 5"]);
    drop(watcher);
    server.join().unwrap();
}

#[test]
fn message_newer_than_the_newest_id_is_not_taken_for_an_older_history() {
    let interest =
        Interest { min: Priority::HIGH, positions: known(&[(Some(7), 90)]), ..Interest::default() };
    let (mut watcher, server) = against(interest, |listener| {
        let mut peer = Peer::serve(&listener, 7, 90, "/join 7 since 90");
        peer.say("OK 4\n");
        // After the refresh time: the server looks up the newest ID, sends the message, and then its answer.
        assert!(peer.line().ends_with(" since 18446744073709551615"));
        peer.say("MSG 201 p9 a new\nERR 5 ahead-of-history 200\n");
        assert_eq!(peer.line(), "/join 7 since 201");
        peer.say("OK 6\nMSG 202 p9 a newer\n");
        assert_eq!(peer.line(), "");
    });
    assert_eq!(until(&mut watcher, "caught up at 7 90"), ["begin None at 7 90", "caught up at 7 90"]);
    watcher.moved -= REFRESH;
    let seen = until(&mut watcher, "message 202 newer at 7 202");
    let (begin, caught_up) = ("begin None at 7 201", "caught up at 7 201");
    assert_eq!(seen, ["message 201 new at 7 201", begin, caught_up, "message 202 newer at 7 202"]);
    drop(watcher);
    server.join().unwrap();
}

#[test]
fn less_urgent_messages_count_as_read_at_the_newest_id() {
    let interest = Interest { min: Priority::HIGH, positions: known(&[(Some(7), 1)]), ..Interest::default() };
    let (mut watcher, server) = against(interest, |listener| {
        let mut peer = Peer::serve(&listener, 7, 90, "/join 7 since 1");
        // With a least priority, the count does not say which IDs are missing.
        peer.say("LOST 3\nMSG 8 p9 a eight\nOK 4\n");
        // After the refresh time.
        peer.refuse(5, 200);
        peer.say("MSG 201 p9 a new\n");
        assert_eq!(peer.line(), "/join 7 since 90");
        // The message is repeated.
        peer.say("MSG 201 p9 a new\nOK 6\nMSG 202 p9 a newer\n");
        assert_eq!(peer.line(), "");
    });
    assert_eq!(
        until(&mut watcher, "caught up at 7 90"),
        ["begin None at 7 1", "lost 3 at 7 1", "message 8 eight at 7 8", "caught up at 7 90"]
    );
    watcher.moved -= REFRESH;
    let seen = until(&mut watcher, "message 202 newer at 7 202");
    let newest = "caught up at 7 201";
    assert_eq!(
        seen,
        ["begin None at 7 90", "message 201 new at 7 201", newest, "message 202 newer at 7 202"]
    );
    drop(watcher);
    server.join().unwrap();
}

#[test]
fn other_and_missing_journals_are_gaps() {
    let interest = Interest { positions: known(&[(Some(7), 5)]), ..Interest::default() };
    let (mut watcher, server) = against(interest, |listener| {
        Peer::serve(&listener, 8, 1, "/join 0 since 0").say("MSG 1 p4 a one\n");
        let mut peer = Peer::greet(&listener);
        assert_eq!(peer.line(), "/stats");
        peer.say("STAT uptime-s 1\nOK 2\n");
        assert_eq!(peer.line(), "/join 0");
        peer.say("OK 3\nMSG 1 p4 a first\n");
        drop(peer);
        Peer::serve(&listener, 7, 6, "/join 0 since 5").say("MSG 6 p4 a six\n");
    });
    assert_eq!(
        until(&mut watcher, "message 6 six at 7 6"),
        [
            "begin Some(OtherJournal) at 8 0",
            "message 1 one at 8 1",
            "begin Some(NoJournal) at 0 0",
            "caught up at 0 0",
            "message 1 first at 0 1",
            "begin None at 7 5",
            "message 6 six at 7 6",
        ]
    );
    server.join().unwrap();
}

#[test]
fn only_permanent_refusals_are_denials() {
    let (mut watcher, server) = against(Interest::default(), |listener| {
        for refusal in ["journal-failed", "newer-reason"] {
            Peer::serve(&listener, 7, 0, "/join 0 since 0").say(&format!("ERR 4 {refusal}\n"));
        }
        for end in ["BYE shutting-down\n", "ERR 0 token-withdrawn\n", "nonsense\n"] {
            Peer::serve(&listener, 7, 0, "/join 0 since 0").say(end);
        }
        Peer::serve(&listener, 7, 0, "/join 0 since 0").say("ERR 4 not-permitted it is not for reading\n");
    });
    while watcher.denial().is_none() {
        watcher.wait(None);
        while watcher.take_event().is_some() {}
    }
    assert_eq!(watcher.denial(), Some("not-permitted: it is not for reading"));
    server.join().unwrap();
}

#[test]
fn watcher_stops_reading_until_events_are_taken() {
    let (mut watcher, server) = against(Interest::default(), |listener| {
        let mut peer = Peer::serve(&listener, 7, 0, "/join 0 since 0");
        let messages = (1..=3 * EVENTS_MAX).map(|id| format!("MSG {id} p4 a x\n"));
        peer.say(&messages.collect::<String>());
        assert_eq!(peer.line(), "");
    });
    let end = Instant::now() + Duration::from_secs(60);
    while watcher.events.len() < EVENTS_MAX && Instant::now() < end {
        watcher.advance();
    }
    watcher.advance();
    assert_eq!((watcher.events.len(), watcher.interest().is_none()), (EVENTS_MAX, true));
    let mut taken = 0;
    while watcher.positions.of(Some(7)) != Some(3 * EVENTS_MAX as u64) || !watcher.events.is_empty() {
        watcher.wait(None);
        while let Some(event) = watcher.take_event() {
            taken += usize::from(matches!(event.what, What::Message { .. }));
        }
    }
    assert_eq!(taken, 3 * EVENTS_MAX);
    drop(watcher);
    server.join().unwrap();
}
