//! Messages in, outcomes out: pipelined, over as many connections as it takes. Never waits, but for [`Sender::wait`].

use super::address::Servers;
use super::connection::Heard;
use super::deadline::Deadline;
use super::in_flight::InFlight;
use super::limits::{IN_FLIGHT, PROBE_MS, TIMEOUT_MS_DEFAULT};
use super::link::{Change, Link};
use super::message::Message;
use super::outcome::{Outcome, Receipt, Refusal, Verdict, said, verdict};
use super::reply::Reply;
use super::shown::shown;
use super::token::Token;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

const PROBE: Duration = Duration::from_millis(PROBE_MS);

/// How to send.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Shown to each server, if it asks for one.
    pub token: Option<Token>,
    /// How long no message may be settled before everything that waits is given up; none: for ever.
    pub timeout: Option<Duration>,
    /// Whether what became unknown is sent again, and so may be doubled.
    pub repeats_unknown: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { token: None, timeout: Some(Duration::from_millis(TIMEOUT_MS_DEFAULT)), repeats_unknown: false }
    }
}

/// Sends messages to the first server that answers, [`IN_FLIGHT`] at a time, and tells of each one what became of it. Each comes with a
/// `T` of the caller's, by which its outcome is known.
///
/// Messages of one priority are processed in their order, unless one has to be sent again: those that were on their way behind it may
/// be processed first.
#[derive(Debug)]
pub struct Sender<T> {
    link: Link,
    repeats_unknown: bool,
    deadline: Deadline,
    /// Not sent yet, in order.
    queue: VecDeque<Item<T>>,
    in_flight: InFlight<Item<T>>,
    outcomes: VecDeque<(T, Outcome)>,
    /// The number of the next item.
    next: u64,
    /// Why nothing can be sent now.
    trouble: Option<String>,
    /// The server could not take a message: until then none is sent.
    held_until: Option<Instant>,
    /// When the connection was last heard of.
    heard: Instant,
    has_given_up: bool,
}

#[derive(Debug)]
struct Item<T> {
    /// Items are sent in the order of these.
    number: u64,
    tag: T,
    message: Message,
    /// Why it is not known whether an earlier attempt has reached the server.
    doubt: Option<String>,
}

impl<T> Sender<T> {
    /// To those servers. It connects when there is a message.
    pub fn new(servers: Servers, settings: Settings) -> Self {
        Self {
            link: Link::new(servers, settings.token),
            repeats_unknown: settings.repeats_unknown,
            deadline: Deadline::new(settings.timeout),
            queue: VecDeque::new(),
            in_flight: InFlight::default(),
            outcomes: VecDeque::new(),
            next: 0,
            trouble: None,
            held_until: None,
            heard: Instant::now(),
            has_given_up: false,
        }
    }

    /// Whether to push another message now: what waits is bounded.
    pub fn has_room(&self) -> bool {
        self.queue.len() < IN_FLIGHT && self.outcomes.len() < IN_FLIGHT
    }

    /// Whether nothing waits, and every outcome was taken.
    pub fn is_empty(&self) -> bool {
        !self.is_waiting() && self.outcomes.is_empty()
    }

    /// Takes a message; [`advance`](Self::advance) sends it.
    pub fn push(&mut self, tag: T, message: Message) {
        self.deadline.begin(Instant::now());
        self.queue.push_back(Item { number: self.next, tag, message, doubt: None });
        self.next += 1;
    }

    /// The next outcome, in the order in which they became known.
    pub fn take_outcome(&mut self) -> Option<(T, Outcome)> {
        self.outcomes.pop_front()
    }

    /// Why nothing can be sent now, if so.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Whether the time-out has passed, and nothing was acknowledged since.
    pub fn has_given_up(&self) -> bool {
        self.has_given_up
    }

    /// What to wait for before the next [`advance`](Self::advance), besides [`due`](Self::due).
    pub fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        self.link.interest()
    }

    /// When to advance at the latest.
    pub fn due(&self) -> Option<Instant> {
        let held_until = self.held_until.filter(|_| !self.queue.is_empty());
        [self.link.due(), self.deadline.due(), held_until].into_iter().flatten().min()
    }

    /// Does what can be done without waiting: connects, sends, and reads replies.
    pub fn advance(&mut self) {
        let now = Instant::now();
        if let Some(connection) = self.link.connection() {
            connection.begin_round();
        }
        while self.step(now) {}
        if self.deadline.is_over(now) {
            self.give_up(now);
        }
    }

    /// Waits for an outcome, or until then.
    pub fn wait(&mut self, until: Option<Instant>) {
        loop {
            self.advance();
            let now = Instant::now();
            if !self.outcomes.is_empty() || !self.is_waiting() || until.is_some_and(|until| now >= until) {
                return;
            }
            let due = self.due().into_iter().chain(until).min();
            let mut fds: Vec<_> =
                self.interest().map(|(fd, flags)| PollFd::new(fd, flags)).into_iter().collect();
            // A signal only makes it look again.
            let _ = poll(&mut fds, poll_timeout(due, now));
        }
    }

    /// Gives up what was not sent, for that reason.
    pub fn withdraw(&mut self, reason: &str) {
        while let Some(item) = self.queue.pop_front() {
            self.give_up_unsent(item, reason);
        }
        self.settled(Instant::now());
    }

    /// Gives up everything, for that reason: what is on its way is unknown.
    pub fn abort(&mut self, reason: &str) {
        let now = Instant::now();
        self.lose(reason, false, false, now);
        self.withdraw(reason);
        self.link.lose(false, now);
    }

    // ---- Steps -----------------------------------------------------------------------------------------

    fn is_waiting(&self) -> bool {
        !self.queue.is_empty() || !self.in_flight.is_empty()
    }

    /// One step; false: there is nothing to do now.
    fn step(&mut self, now: Instant) -> bool {
        if self.link.connection().is_some() {
            return self.read(now) || self.transmit(now);
        }
        if self.queue.is_empty() {
            self.link.lose(false, now);
            return false;
        }
        match self.link.advance(now) {
            Change::Nothing => return false,
            Change::Up => {
                self.heard = now;
                self.trouble = None;
            }
            Change::Failed(reason) => self.trouble = Some(reason),
            Change::Denied(reason) => self.deny(&reason, now),
        }
        true
    }

    /// Reads all replies that are there; true: the connection is lost by that.
    fn read(&mut self, now: Instant) -> bool {
        while let Some(connection) = self.link.connection() {
            match connection.hear() {
                Heard::Nothing => return false,
                Heard::End(reason) => self.lose(&reason, self.repeats_unknown, false, now),
                Heard::Reply(reply) => {
                    self.heard = now;
                    self.hear(reply, now);
                }
            }
        }
        true
    }

    fn hear(&mut self, reply: Reply, now: Instant) {
        if let Some((line, verdict)) = verdict(&reply) {
            match self.in_flight.take(line) {
                Some(item) => self.settle(item, verdict, now),
                None => {
                    let reason =
                        format!("not a firstline server: it answers line {line}, which does not wait");
                    self.lose(&reason, self.repeats_unknown, false, now);
                }
            }
            return;
        }
        match reply {
            // Everything that the server took is answered by then, so it took nothing else.
            Reply::Bye(reason) => self.lose(&shown(&reason), self.repeats_unknown, true, now),
            // So it is here: a client counts as idle only if nothing of it waits.
            Reply::Err { line: 0, reason, text } => {
                let is_answered = reason == "idle";
                self.lose(&said(&reason, &text), self.repeats_unknown, is_answered, now);
            }
            _ => {}
        }
    }

    fn settle(&mut self, item: Item<T>, verdict: Verdict, now: Instant) {
        match verdict {
            Verdict::Acknowledged(receipt) => {
                self.link.has_served();
                (self.trouble, self.has_given_up) = (None, false);
                let may_be_doubled = item.doubt.is_some();
                self.tell(item, Outcome::Acknowledged(Receipt { may_be_doubled, ..receipt }), now);
            }
            Verdict::Refused(reason) => {
                self.link.has_served();
                self.refuse(item, Refusal::Message(reason), now);
            }
            Verdict::Denied(reason) => {
                self.refuse(item, Refusal::Client(reason.clone()), now);
                self.deny(&reason, now);
            }
            Verdict::Later(reason) => {
                self.held_until = Some(now + self.link.pause());
                self.trouble = Some(reason);
                self.requeue(item);
            }
            Verdict::Unknown(reason) => {
                let repeats = self.repeats_unknown;
                self.doubt(item, &reason, repeats, now);
            }
        }
    }

    /// Sends what may be sent; true: the link has to go on first.
    fn transmit(&mut self, now: Instant) -> bool {
        let is_held = self.held_until.is_some_and(|until| now < until);
        if !is_held && !self.queue.is_empty() {
            if self.in_flight.is_empty() && now.duration_since(self.heard) >= PROBE {
                self.link.probe(now);
                return true;
            }
            self.held_until = None;
        }
        let Some(connection) = self.link.connection() else { return true };
        while !is_held && let Some(item) = self.queue.pop_front() {
            let bytes = item.message.line_bytes();
            if !self.in_flight.has_room(bytes) {
                self.queue.push_front(item);
                break;
            }
            let number = connection.push(|out| item.message.write(out));
            self.in_flight.push(number, bytes, item);
        }
        connection.flush();
        false
    }

    // ---- What becomes of messages -------------------------------------------------------------------------

    /// Nothing was settled for too long.
    fn give_up(&mut self, now: Instant) {
        self.has_given_up = true;
        let seconds = self.deadline.timeout().unwrap_or_default().as_secs_f64();
        let trouble = self.trouble.as_deref().map(|trouble| format!(": {trouble}")).unwrap_or_default();
        self.lose(&format!("no answer for {seconds} s"), false, false, now);
        self.withdraw(&format!("given up after {seconds} s{trouble}"));
        self.link.lose(false, now);
    }

    /// This client has no right.
    fn deny(&mut self, reason: &str, now: Instant) {
        while let Some(item) = self.queue.pop_front() {
            self.refuse(item, Refusal::Client(reason.to_string()), now);
        }
    }

    /// The connection is lost. What the server does not know is sent over another one; so is what was not answered, if it `is_answered`:
    /// if the server has answered all that it took.
    fn lose(&mut self, reason: &str, repeats_unknown: bool, is_answered: bool, now: Instant) {
        let last_sent = self.link.connection().map_or(0, |connection| connection.last_sent());
        for (line, item) in self.in_flight.take_all() {
            if is_answered || line > last_sent {
                self.requeue(item);
            } else {
                self.doubt(item, reason, repeats_unknown, now);
            }
        }
        if !self.queue.is_empty() {
            self.trouble = Some(reason.to_string());
        }
        self.link.lose(!self.queue.is_empty(), now);
    }

    /// It is not known whether the server has processed it.
    fn doubt(&mut self, mut item: Item<T>, reason: &str, repeats_unknown: bool, now: Instant) {
        if repeats_unknown {
            item.doubt = Some(reason.to_string());
            self.requeue(item);
        } else {
            self.tell(item, Outcome::Unknown(reason.to_string()), now);
        }
    }

    /// Back to its place in the queue.
    fn requeue(&mut self, item: Item<T>) {
        let at = self.queue.partition_point(|other| other.number < item.number);
        self.queue.insert(at, item);
    }

    fn refuse(&mut self, item: Item<T>, refusal: Refusal, now: Instant) {
        match &item.doubt {
            Some(doubt) => {
                let reason = format!("refused now ({refusal}), and before: {doubt}");
                self.tell(item, Outcome::Unknown(reason), now);
            }
            None => self.tell(item, Outcome::Refused(refusal), now),
        }
    }

    fn give_up_unsent(&mut self, item: Item<T>, reason: &str) {
        let outcome = match item.doubt {
            Some(doubt) => Outcome::Unknown(doubt),
            None => Outcome::NotSent(reason.to_string()),
        };
        self.outcomes.push_back((item.tag, outcome));
    }

    fn tell(&mut self, item: Item<T>, outcome: Outcome, now: Instant) {
        self.outcomes.push_back((item.tag, outcome));
        self.settled(now);
    }

    fn settled(&mut self, now: Instant) {
        self.deadline.settle(now, self.is_waiting());
    }
}

impl Sender<()> {
    /// Sends one message and waits for what becomes of it. For programs that send one at a time: nothing else may wait.
    pub fn send(&mut self, message: Message) -> Outcome {
        self.push((), message);
        loop {
            self.wait(None);
            if let Some(((), outcome)) = self.take_outcome() {
                return outcome;
            }
        }
    }
}

/// The time-out of a poll that is over at that time.
pub fn poll_timeout(due: Option<Instant>, now: Instant) -> PollTimeout {
    let Some(due) = due else { return PollTimeout::NONE };
    // Rounded up, so that it is over then.
    let ms = due.saturating_duration_since(now).as_micros().div_ceil(1_000);
    PollTimeout::try_from(i32::try_from(ms).unwrap_or(i32::MAX)).unwrap_or(PollTimeout::MAX)
}

#[cfg(test)]
mod tests;
