//! Sends messages with pipelining, over one connection at a time, and reports their outcomes. Only [`Sender::wait`] and
//! [`Sender::send`] block.

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
use super::wait::wait;
use nix::poll::PollFlags;
use std::collections::VecDeque;
use std::mem;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

const PROBE: Duration = Duration::from_millis(PROBE_MS);

/// How to send.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The client shows it to each server; a server may ignore it.
    pub token: Option<Token>,
    /// If no message gets its outcome for this time, the sender gives up all messages that wait; `None`: it never gives
    /// up.
    pub timeout: Option<Duration>,
    /// Which messages with an unknown outcome to send again. This may double them.
    pub repeats: Repeats,
    /// If a server denies this client the right to send: `None`: its messages are refused. `Some`: they wait, for
    /// callers that cannot report a refusal at once; the sender tries the next server, and after this pause the first
    /// one again. The pause should be long: a wrong token delays others that log in from the same address.
    pub denial_pause: Option<Duration>,
}

/// Which messages with an unknown outcome a sender sends again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repeats {
    /// None.
    #[default]
    Nothing,
    /// Those whose connection was lost before the reply. If the server says that a handler may have processed a
    /// message, the sender does not repeat it: the server's settings say how often handlers try.
    Unanswered,
    /// All of them, including those that a handler may have processed.
    All,
}

impl Repeats {
    fn on_lost_connection(self) -> bool {
        self != Self::Nothing
    }

    fn on_lost_handler(self) -> bool {
        self == Self::All
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            token: None,
            timeout: Some(Duration::from_millis(TIMEOUT_MS_DEFAULT)),
            repeats: Repeats::Nothing,
            denial_pause: None,
        }
    }
}

/// Sends messages to the first server that answers, [`IN_FLIGHT`] at a time, and reports the outcome of each. The
/// caller pushes each message with a tag `T`, and gets the tag back with the outcome.
///
/// The server processes messages of the same priority in order. If the sender repeats a message, the server may process
/// the messages that were in flight after it first.
#[derive(Debug)]
pub struct Sender<T> {
    link: Link,
    repeats: Repeats,
    deadline: Deadline,
    /// Not sent yet, in order.
    queue: VecDeque<Item<T>>,
    in_flight: InFlight<Item<T>>,
    outcomes: VecDeque<(T, Outcome)>,
    /// The number of the next item.
    next: u64,
    /// Why nothing can be sent now.
    trouble: Option<String>,
    /// Send nothing until then: a message is repeated after that pause.
    held_until: Option<Instant>,
    /// The server denies this client the right to send: send nothing more over this connection.
    is_denied: bool,
    /// When the last reply came.
    heard: Instant,
    has_given_up: bool,
    /// Connect even if no message waits.
    is_seeking: bool,
}

#[derive(Debug)]
struct Item<T> {
    /// Items are sent in the order of their numbers.
    number: u64,
    tag: T,
    message: Message,
    /// Why an earlier attempt has an unknown outcome; `None`: no attempt has one.
    doubt: Option<String>,
}

impl<T> Sender<T> {
    /// A sender to those servers. It connects when a message waits.
    pub fn new(servers: Servers, settings: Settings) -> Self {
        Self {
            link: Link::new(servers, settings.token).with_denial_pause(settings.denial_pause),
            repeats: settings.repeats,
            deadline: Deadline::new(settings.timeout),
            queue: VecDeque::new(),
            in_flight: InFlight::default(),
            outcomes: VecDeque::new(),
            next: 0,
            trouble: None,
            held_until: None,
            is_denied: false,
            heard: Instant::now(),
            has_given_up: false,
            is_seeking: false,
        }
    }

    /// Whether the caller may push another message now. The caller must check this, so that memory stays bounded.
    pub fn has_room(&self) -> bool {
        self.queue.len() < IN_FLIGHT && self.outcomes.len() < IN_FLIGHT
    }

    /// Whether no message waits, and the caller has taken every outcome.
    pub fn is_empty(&self) -> bool {
        !self.is_waiting() && self.outcomes.is_empty()
    }

    /// Queues a message; [`advance`](Self::advance) sends it.
    pub fn push(&mut self, tag: T, message: Message) {
        self.deadline.begin(Instant::now);
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

    /// Whether the time-out has passed, and no server has answered since.
    pub fn has_given_up(&self) -> bool {
        self.has_given_up
    }

    /// Tries to connect even if no message waits: after a pause, and then repeatedly until a server
    /// [answers](Self::is_seeking). This is for a caller that stores its messages while no server answers.
    pub fn seek(&mut self) {
        self.is_seeking = true;
        self.link.lose(true, Instant::now());
    }

    /// Whether the last [`seek`](Self::seek) is still trying to connect. If not, a server has answered, or a server
    /// denies this client the right to send and will refuse the next message.
    pub fn is_seeking(&self) -> bool {
        self.is_seeking
    }

    /// What to wait for before the next [`advance`](Self::advance), besides [`due`](Self::due).
    pub fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        self.link.interest()
    }

    /// The latest time for the next [`advance`](Self::advance).
    pub fn due(&self) -> Option<Instant> {
        // It matters only with a connection; the link has its own times.
        let held_until = self.held_until.filter(|_| !self.queue.is_empty() && self.link.is_up());
        [self.link.due(), self.deadline.due(), held_until].into_iter().flatten().min()
    }

    /// Connects, sends, and reads replies, as far as that does not block.
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

    /// Blocks until there is an outcome, no message waits, or `until` has passed.
    pub fn wait(&mut self, until: Option<Instant>) {
        loop {
            self.advance();
            let now = Instant::now();
            if !self.outcomes.is_empty() || !self.is_waiting() || until.is_some_and(|until| now >= until) {
                return;
            }
            let due = self.due().into_iter().chain(until).min();
            wait(self.interest(), due);
        }
    }

    /// Gives up all queued messages, for that reason.
    pub fn withdraw(&mut self, reason: &str) {
        while let Some(item) = self.queue.pop_front() {
            self.give_up_unsent(item, reason);
        }
        self.settled(Instant::now());
    }

    /// Gives up all messages, for that reason. Those in flight get an unknown outcome.
    pub fn abort(&mut self, reason: &str) {
        let now = Instant::now();
        self.is_seeking = false;
        self.lose(reason, false, false, now);
        self.withdraw(reason);
        self.link.lose(false, now);
    }

    // ---- Steps -----------------------------------------------------------------------------------------

    fn is_waiting(&self) -> bool {
        !self.queue.is_empty() || !self.in_flight.is_empty()
    }

    /// Takes one step; false: nothing can be done now.
    fn step(&mut self, now: Instant) -> bool {
        if self.link.connection().is_some() {
            return self.read(now) || self.transmit(now);
        }
        if self.queue.is_empty() && !self.is_seeking {
            self.link.lose(false, now);
            return false;
        }
        match self.link.advance(now) {
            Change::Nothing => return false,
            Change::Up => {
                self.heard = now;
                self.trouble = None;
                (self.has_given_up, self.is_seeking) = (false, false);
            }
            Change::Failed(reason) => self.trouble = Some(reason),
            Change::Denied(reason) => {
                self.is_seeking = false;
                self.deny(&reason, now);
            }
        }
        true
    }

    /// Reads all replies that have arrived; true: the connection was lost.
    fn read(&mut self, now: Instant) -> bool {
        while let Some(connection) = self.link.connection() {
            match connection.hear() {
                Heard::Nothing => return false,
                Heard::End(reason) => self.lose(&reason, self.repeats.on_lost_connection(), false, now),
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
                    let reason = format!(
                        "not a firstline server: it answers line {line}, which has no message to answer"
                    );
                    self.lose(&reason, self.repeats.on_lost_connection(), false, now);
                }
            }
            return;
        }
        match reply {
            // The server has answered every line that it took, so it did not take the lines still in flight.
            Reply::Bye(reason) => self.lose(&shown(&reason), self.repeats.on_lost_connection(), true, now),
            // The same holds if it closes an idle client: a client is idle only if none of its messages waits.
            Reply::Err { line: 0, reason, text } => {
                let is_answered = reason == "idle";
                self.lose(&said(&reason, &text), self.repeats.on_lost_connection(), is_answered, now);
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
            Verdict::Denied(reason) if self.link.outlives_denials() => {
                (self.is_denied, self.trouble) = (true, Some(reason));
                self.requeue(item);
            }
            Verdict::Denied(reason) => {
                self.refuse(item, Refusal::Client(reason.clone()), now);
                self.deny(&reason, now);
            }
            Verdict::Later(reason) => {
                self.hold(&reason, now);
                self.requeue(item);
            }
            // The server has already waited for a handler, so the sender does not repeat the message.
            Verdict::NotBegun(reason) => {
                self.link.has_served();
                (self.trouble, self.has_given_up) = (None, false);
                self.give_up_unsent(item, &reason);
                self.settled(now);
            }
            Verdict::Unknown(reason) => {
                let repeats = self.repeats.on_lost_handler();
                if repeats {
                    self.hold(&reason, now);
                }
                self.doubt(item, &reason, repeats, now);
            }
        }
    }

    /// Whether a pause runs in which nothing is sent.
    fn is_held(&self, now: Instant) -> bool {
        self.held_until.is_some_and(|until| now < until)
    }

    /// Starts a pause in which nothing is sent, for that reason. If one runs already, it is not prolonged: all messages
    /// in flight may be refused for the same reason.
    fn hold(&mut self, reason: &str, now: Instant) {
        if !self.is_held(now) {
            self.held_until = Some(now + self.link.pause());
        }
        self.trouble = Some(reason.to_string());
    }

    /// Sends what may be sent; true: the link must advance first.
    fn transmit(&mut self, now: Instant) -> bool {
        // The replies to the messages in flight come first.
        if self.is_denied && self.in_flight.is_empty() {
            self.is_denied = false;
            self.link.leave_denied(now);
            return true;
        }
        let is_held = self.is_denied || self.is_held(now);
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

    // ---- Outcomes -----------------------------------------------------------------------------------------

    /// Gives up all messages, because none got its outcome within the time-out.
    fn give_up(&mut self, now: Instant) {
        self.has_given_up = true;
        let seconds = self.deadline.timeout().unwrap_or_default().as_secs_f64();
        let trouble = self.trouble.as_deref().map(|trouble| format!(": {trouble}")).unwrap_or_default();
        self.lose(&format!("no answer for {seconds} s"), false, false, now);
        self.withdraw(&format!("given up after {seconds} s{trouble}"));
        self.link.lose(false, now);
    }

    /// Refuses all messages of the queue, because the client has no right to send.
    fn deny(&mut self, reason: &str, now: Instant) {
        while let Some(item) = self.queue.pop_front() {
            self.refuse(item, Refusal::Client(reason.to_string()), now);
        }
    }

    /// Handles the loss of the connection. Requeues the messages that cannot have reached the server. If `is_answered`,
    /// the server has answered every line that it took, so this requeues all messages in flight.
    fn lose(&mut self, reason: &str, is_repeated: bool, is_answered: bool, now: Instant) {
        let last_sent = self.link.connection().map_or(0, |connection| connection.last_sent());
        for (line, item) in self.in_flight.take_all() {
            if is_answered || line > last_sent {
                self.requeue(item);
            } else {
                self.doubt(item, reason, is_repeated, now);
            }
        }
        if !self.queue.is_empty() {
            self.trouble = Some(reason.to_string());
        }
        let was_denied = mem::take(&mut self.is_denied);
        if was_denied && !self.queue.is_empty() {
            self.link.leave_denied(now);
        } else {
            self.link.lose(!self.queue.is_empty(), now);
        }
    }

    /// Handles a message with an unknown outcome: requeues or reports it.
    fn doubt(&mut self, mut item: Item<T>, reason: &str, is_repeated: bool, now: Instant) {
        if is_repeated {
            item.doubt = Some(reason.to_string());
            self.requeue(item);
        } else {
            self.tell(item, Outcome::Unknown(reason.to_string()), now);
        }
    }

    /// Puts a message back at its place in the queue.
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
    /// Sends one message and waits for its outcome. It is for programs that send one message at a time: no other
    /// message may be waiting.
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

#[cfg(test)]
mod tests;
