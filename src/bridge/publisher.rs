//! The outbound direction with its connection: from the journal to the broker. It reconnects until the process is
//! requested to end.

use super::barren::Barren;
use super::changes::Changes;
use super::class::Class;
use super::destination::Destination;
use super::exchange::{BrokerEvent, Cause, End, Unsent};
use super::flapping::Flapping;
use super::item::Reason;
use super::limits::{
    BACKOFF_MS_MAX, BACKOFF_MS_MIN, LAST_ACKS_MS, LASTS_MS, LOOK_MS, LOOK_OFFLINE_MS, TRANSIENT_PAUSE_MS,
};
use super::link::Link;
use super::outgoing::{Manner, Outgoing, Rejected};
use super::report::{Throttle, say};
use super::state_files::StateFiles;
use super::stop::{Stop, Woken};
use super::window::Depth;
use crate::client::backoff::Backoff;
use crate::clock::utc_ns;
use nix::poll::PollFlags;
use std::time::{Duration, Instant};

/// [`LASTS_MS`] as a duration.
const LASTS: Duration = Duration::from_millis(LASTS_MS);

/// The outbound direction with its connection.
pub struct Publisher {
    manner: Manner,
    destination: Destination,
    outgoing: Outgoing,
    state_files: StateFiles,
    stop: Stop,
    state: State,
    backoff: Backoff,
    barren: Barren,
    flapping: Flapping,
    troubles: Throttle,
    journal_troubles: Throttle,
    is_journal_away: bool,
    changes: Changes,
    /// When to read the journal next.
    look_at: Instant,
    /// When to check next whether the journal's files are still in their place.
    follow_at: Instant,
}

/// The state of the connection.
enum State {
    /// There is no connection; the next attempt is at this time.
    Down(Instant),
    /// A connection that the broker has not accepted yet.
    Opening(Link),
    /// The broker has accepted the connection: messages may be sent.
    Up(Up),
}

struct Up {
    link: Link,
    receive_maximum: u16,
    depth: Depth,
    since: Instant,
    /// Whether the log says that the bridge is connected.
    is_logged: bool,
}

impl Publisher {
    /// A publisher that tries its first connection at once.
    pub fn new(
        manner: Manner,
        destination: Destination,
        outgoing: Outgoing,
        state_files: StateFiles,
        stop: Stop,
    ) -> Self {
        let now = Instant::now();
        Self {
            manner,
            destination,
            outgoing,
            state_files,
            stop,
            state: State::Down(now),
            backoff: Backoff::between(BACKOFF_MS_MIN, BACKOFF_MS_MAX),
            barren: Barren::default(),
            flapping: Flapping::default(),
            troubles: Throttle::default(),
            journal_troubles: Throttle::default(),
            is_journal_away: false,
            changes: Changes::new(now),
            look_at: now,
            follow_at: now,
        }
    }

    /// Runs until the process is requested to end.
    pub fn run(mut self) {
        loop {
            let now = Instant::now();
            self.look(now);
            self.serve(now);
            self.outgoing.flush_log(now);
            self.state_files.keep(&self.outgoing, self.is_up(), now);
            let mut due = self.due();
            let mut files: Vec<_> = self.link().and_then(Link::interest).into_iter().collect();
            if self.is_up() && self.outgoing.has_room() {
                if now < self.changes.from() {
                    due = due.min(self.changes.from());
                } else {
                    files.extend(self.changes.interest().map(|events| (events, PollFlags::POLLIN)));
                }
            }
            if self.stop.wait(&files, Some(due)) == Woken::Stop {
                break;
            }
            let now = Instant::now();
            if now >= self.changes.from() && self.changes.take() {
                self.look_at = now;
            }
        }
        self.finish();
    }

    fn link(&self) -> Option<&Link> {
        match &self.state {
            State::Down(_) => None,
            State::Opening(link) | State::Up(Up { link, .. }) => Some(link),
        }
    }

    fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    fn due(&self) -> Instant {
        let retry = if let State::Down(until) = self.state { Some(until) } else { None };
        let ack = self.outgoing.oldest().map(|sent| sent + self.destination.introduction.answer_timeout);
        let link = self.link().and_then(Link::due);
        let due = self.look_at.min(self.state_files.due());
        let log = match &self.state {
            State::Up(up) if !up.is_logged => Some(up.since + LASTS),
            _ => None,
        };
        [retry, ack, link, log].into_iter().flatten().fold(due, Instant::min)
    }

    // ---- The journal ---------------------------------------------------------------------------------------

    /// Reads on, if it is time.
    fn look(&mut self, now: Instant) {
        if now < self.look_at {
            return;
        }
        let mut result = Ok(false);
        self.changes.looked(now);
        if now >= self.follow_at {
            self.changes.watch(&self.manner.directory);
            self.follow_at = now + Duration::from_millis(LOOK_OFFLINE_MS);
            result = self.outgoing.follow_files().map(|()| false);
        }
        let result = result.and_then(|_| self.outgoing.look(utc_ns() / 1_000_000, now));
        let is_up = self.is_up();
        let pause_ms = match result {
            // One read may not return everything.
            Ok(true) if is_up || self.outgoing.is_searching() => 0,
            Ok(_) if is_up => LOOK_MS,
            _ => LOOK_OFFLINE_MS,
        };
        self.is_journal_away = result.is_err();
        match result {
            Ok(_) => {
                if self.journal_troubles.clear() {
                    say(format_args!("{}: it can be read again", self.manner.directory.display()));
                }
            }
            Err(trouble) => self.journal_troubles.say(trouble),
        }
        self.look_at = now + Duration::from_millis(pause_ms);
    }

    // ---- The connection ------------------------------------------------------------------------------------

    fn serve(&mut self, now: Instant) {
        if let State::Down(until) = self.state {
            if now < until {
                return;
            }
            self.connect(now);
        }
        if let State::Opening(link) | State::Up(Up { link, .. }) = &mut self.state {
            link.pump(now);
        }
        while let Some(event) = self.next_event() {
            self.on_event(event, now);
        }
        self.send(now);
        self.check_acknowledgements(now);
        self.log_connection(now);
    }

    fn connect(&mut self, now: Instant) {
        match Link::open(&self.destination, now) {
            Ok(link) => self.state = State::Opening(link),
            Err(reason) => self.give_up(&reason),
        }
    }

    fn next_event(&mut self) -> Option<BrokerEvent> {
        match &mut self.state {
            State::Down(_) => None,
            State::Opening(link) | State::Up(Up { link, .. }) => link.next_event(),
        }
    }

    fn on_event(&mut self, event: BrokerEvent, now: Instant) {
        match event {
            BrokerEvent::Connected { receive_maximum, .. } => self.on_connected(receive_maximum),
            BrokerEvent::Acknowledged(packet_id) => {
                if let Some(class) = self.outgoing.acknowledged(packet_id) {
                    self.served(class);
                }
            }
            BrokerEvent::Rejected(packet_id, rejection) => {
                match self.outgoing.rejected(packet_id, &rejection) {
                    Some(Rejected::ForNow) => {
                        let reason = format!("the broker refuses a message for now: {}", rejection.reason);
                        self.lose(&reason, Cause::Other);
                        self.state = State::Down(now + Duration::from_millis(TRANSIENT_PAUSE_MS));
                    }
                    Some(Rejected::ForGood(class)) => self.served(class),
                    None => {}
                }
            }
            BrokerEvent::Closed(End { reason, cause }) => {
                self.lose(&reason, cause);
                if cause == Cause::ClientIdInUse {
                    // If this client reconnected at once, it would end the other client's connection, and that client
                    // would reconnect, too.
                    self.state = State::Down(now + Duration::from_millis(TRANSIENT_PAUSE_MS));
                }
            }
            // This connection has no subscriptions.
            BrokerEvent::Subscribed | BrokerEvent::Delivery(_) | BrokerEvent::Alive => {}
        }
    }

    fn on_connected(&mut self, receive_maximum: u16) {
        self.outgoing.counters.connections += 1;
        self.barren.begin();
        let depth = Depth::new(self.barren.in_flight(self.manner.in_flight), receive_maximum);
        let now = Instant::now();
        self.look_at = now;
        self.state = match std::mem::replace(&mut self.state, State::Down(now)) {
            State::Opening(link) => {
                State::Up(Up { link, receive_maximum, depth, since: now, is_logged: false })
            }
            state => state,
        };
    }

    /// Logs that the bridge is connected: the first time at once, and later once nothing waits or the connection has
    /// lasted. So the log does not end with that line while a message ends each connection.
    fn log_connection(&mut self, now: Instant) {
        let State::Up(up) = &mut self.state else { return };
        let is_first = self.outgoing.counters.connections == 1;
        if up.is_logged || !is_first && self.outgoing.waiting() > 0 && now < up.since + LASTS {
            return;
        }
        up.is_logged = true;
        // A connection that comes and goes is logged no more often than its failures.
        if self.troubles.clear() || is_first {
            say(format_args!(
                "connected to {}, which takes {} messages at once",
                self.destination.broker, up.receive_maximum
            ));
        }
    }

    /// Records that the broker has taken or refused a message.
    fn served(&mut self, class: Class) {
        self.barren.served(class);
        if let State::Up(up) = &mut self.state {
            self.flapping.lasts(up.since.elapsed());
            // The message at fault may be accepted or refused by now, so more may be in flight.
            up.depth = Depth::new(self.barren.in_flight(self.manner.in_flight), up.receive_maximum);
        }
        if !self.flapping.is_likely() {
            self.backoff.reset();
        }
    }

    /// Sends as much as the socket accepts.
    fn send(&mut self, now: Instant) {
        let State::Up(Up { link, depth, .. }) = &mut self.state else { return };
        let mut has_sent = false;
        self.outgoing.expire(utc_ns() / 1_000_000);
        while link.is_clear() {
            let Some(next) = self.outgoing.next(*depth) else { break };
            match link.session.publish(&next.publication, now) {
                Ok(packet_id) => {
                    self.outgoing.sent(next.class, packet_id, now);
                    has_sent = true;
                }
                Err(Unsent::TooLarge) => self.outgoing.unsendable(next.class, Reason::TooLarge),
                Err(Unsent::Impossible) => {
                    let reason = Reason::Refused("it cannot be written as MQTT".to_string());
                    self.outgoing.unsendable(next.class, reason);
                }
                Err(Unsent::NotNow) => break,
            }
            link.flush();
        }
        // There is room again, so more is read at once; but only once after each send.
        if has_sent && self.outgoing.is_searching() && !self.is_journal_away {
            self.look_at = now;
        }
    }

    fn check_acknowledgements(&mut self, now: Instant) {
        let timeout = self.destination.introduction.answer_timeout;
        if self.outgoing.oldest().is_some_and(|sent| now >= sent + timeout) {
            let reason = format!("the broker has not acknowledged a message for {} s", timeout.as_secs_f64());
            self.lose(&reason, Cause::Silence);
        }
    }

    /// Handles the end of the connection. Unacknowledged messages are sent again.
    fn lose(&mut self, reason: &str, cause: Cause) {
        let was_closed = self.link().is_some_and(|link| link.was_closed_cleanly);
        if let State::Up(up) = &self.state {
            let is_barren = self.barren.ended(self.outgoing.in_flight_of_each(), cause);
            self.flapping.ended(up.since.elapsed(), was_closed && !is_barren);
        }
        let is_blamed = was_closed || cause == Cause::Breach;
        self.outgoing.connection_lost(is_blamed, (cause == Cause::Message).then_some(reason));
        if self.is_up() {
            self.give_up(&self.flapping.explain(reason));
        } else {
            self.give_up(reason);
        }
    }

    fn give_up(&mut self, reason: &str) {
        let pause = self.backoff.pause();
        self.troubles.say(format_args!("{}: {reason}; it is tried again", self.destination.broker));
        self.state = State::Down(Instant::now() + pause);
    }

    // ---- The end -------------------------------------------------------------------------------------------

    /// Waits a little for the acknowledgements of messages in flight, disconnects, and saves the cursors.
    fn finish(&mut self) {
        let until = Instant::now() + Duration::from_millis(LAST_ACKS_MS);
        while self.outgoing.in_flight() > 0 && Instant::now() < until {
            let State::Up(Up { link, .. }) = &mut self.state else { break };
            // The stop request stays pending, so this polls only the link.
            link.wait(until);
            link.pump(Instant::now());
            while let Some(event) = self.next_event() {
                self.on_event(event, Instant::now());
            }
        }
        if let State::Up(Up { link, .. }) = &mut self.state {
            link.session.leave(Instant::now());
            link.flush();
        }
        self.state_files.finish(&self.outgoing, self.is_up());
        self.outgoing.end_log();
        say(format_args!(
            "ended; {} messages that were sent are not acknowledged, and are sent again after the next start",
            self.outgoing.in_flight()
        ));
    }
}
