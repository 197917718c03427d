//! Receives the messages of other clients, over one connection at a time. Reports each message once and in order, or
//! reports it as lost. Only [`Watcher::wait`] blocks.
//!
//! ```text
//! Away ── link up ─> Stats ── journal ID ─> Newest ── newest ID ─> Joining ── OK ─> Live
//!                      └──────── no journal ──────────────────────────┘
//! ```
//!
//! To learn the newest ID, the watcher sends `/join` with a position that is beyond any history. The server refuses the
//! command, and the refusal contains the newest ID. A refresh goes from `Live` back to `Newest`.

use super::address::Servers;
use super::connection::Heard;
use super::limits::{ATTEMPT_MS, EVENTS_MAX, REFRESH_S, SEARCH_MS_MAX};
use super::link::{Change, Link};
use super::outcome::said;
use super::positions::{Gap, Position, Positions, Since};
use super::reason::Meaning;
use super::reply::Reply;
use super::shown::shown;
use super::token::Token;
use super::wait::wait;
use crate::protocol::Priority;
use nix::poll::PollFlags;
use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

const REFRESH: Duration = Duration::from_secs(REFRESH_S);

/// A position that is beyond any history.
const AHEAD: u64 = u64::MAX;

/// Which messages to watch.
#[derive(Clone, Debug)]
pub struct Interest {
    /// The least priority.
    pub min: Priority,
    /// Where to begin with the first server if `positions` is empty.
    pub since: Since,
    /// The positions up to which journals were read before.
    pub positions: Positions,
}

impl Default for Interest {
    /// All new messages.
    fn default() -> Self {
        Self { min: Priority::MIN, since: Since::default(), positions: Positions::default() }
    }
}

/// An event, and the position after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub what: What,
    /// The position in the journal after this event.
    pub position: Position,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Reading begins or continues, perhaps after a gap.
    Begin(Option<Gap>),
    /// A message, escaped as in `MSG`.
    Message {
        /// Its ID, unique in the whole server.
        id: u64,
        /// Its priority.
        priority: Priority,
        /// The sender's name.
        from: String,
        /// The text.
        text: String,
    },
    /// This many messages are missing here.
    Lost(u64),
    /// All of the history was sent; the next messages are new.
    CaughtUp,
}

/// Watches the messages of the first server that answers.
#[derive(Debug)]
pub struct Watcher {
    link: Link,
    min: Priority,
    since: Since,
    /// The positions in journals after the events that wait in `events`.
    positions: Positions,
    stage: Stage,
    /// The journal of the connected server.
    journal: Option<u64>,
    /// The last ID that came from that journal. A message with this or a lower ID is a repetition.
    last: u64,
    /// When the position last moved.
    moved: Instant,
    /// When the server last sent a line, or the watcher last asked it.
    heard: Instant,
    events: VecDeque<Event>,
    /// Why the watcher cannot watch now.
    trouble: Option<String>,
    /// Why the server does not permit this client to watch.
    denial: Option<String>,
}

/// What the watcher has asked the server for on this connection, and the number of the line that asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// There is no connection.
    Away,
    /// The identity of its journal.
    Stats(u64),
    /// The newest ID of the journal.
    Newest(u64),
    /// The messages. The second number is the newest ID that the server gave before; `None`: it has no journal.
    Joining(u64, Option<u64>),
    /// Nothing: the server sends new messages as they come.
    Live,
}

impl Watcher {
    /// A watcher of the first of those servers that answers.
    pub fn new(servers: Servers, token: Option<Token>, interest: Interest) -> Self {
        Self {
            link: Link::new(servers, token),
            min: interest.min,
            since: interest.since,
            positions: interest.positions,
            stage: Stage::Away,
            journal: None,
            last: 0,
            moved: Instant::now(),
            heard: Instant::now(),
            events: VecDeque::with_capacity(EVENTS_MAX),
            trouble: None,
            denial: None,
        }
    }

    /// The next event.
    pub fn take_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Why the watcher cannot watch now, if so. It tries again.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Why the server does not permit this client to watch, if so. Another attempt would not help.
    pub fn denial(&self) -> Option<&str> {
        self.denial.as_deref()
    }

    /// What to wait for before the next [`advance`](Self::advance), besides [`due`](Self::due). It is also `None` if
    /// the caller must take events first.
    pub fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        self.link.interest().filter(|_| self.has_room())
    }

    /// The latest time for the next [`advance`](Self::advance).
    pub fn due(&self) -> Option<Instant> {
        [self.link.due(), self.refresh_due(), self.answer_due()].into_iter().flatten().min()
    }

    /// Connects, asks, and reads while there is room for events, as far as that does not block.
    pub fn advance(&mut self) {
        let now = Instant::now();
        if let Some(connection) = self.link.connection() {
            connection.begin_round();
        }
        while self.has_room() && self.denial.is_none() && self.step(now) {}
    }

    /// Blocks until there is an event or a [denial](Self::denial), or `until` has passed.
    pub fn wait(&mut self, until: Option<Instant>) {
        loop {
            self.advance();
            let now = Instant::now();
            if !self.events.is_empty() || self.denial.is_some() || until.is_some_and(|until| now >= until) {
                return;
            }
            let due = self.due().into_iter().chain(until).min();
            wait(self.interest(), due);
        }
    }

    // ---- Steps -----------------------------------------------------------------------------------------

    fn has_room(&self) -> bool {
        self.events.len() < EVENTS_MAX
    }

    /// Takes one step; false: nothing can be done now.
    fn step(&mut self, now: Instant) -> bool {
        if let Some(connection) = self.link.connection() {
            connection.flush();
            return self.read(now) || self.refresh(now) || self.lose_if_silent(now);
        }
        match self.link.advance(now) {
            Change::Nothing => return false,
            Change::Up => {
                (self.journal, self.last) = (None, 0);
                self.ask(Stage::Stats, "/stats");
            }
            Change::Failed(reason) => self.trouble = Some(reason),
            Change::Denied(reason) => self.denial = Some(reason),
        }
        true
    }

    /// Reads what has arrived, while there is room for events; true: the connection was lost.
    fn read(&mut self, now: Instant) -> bool {
        while self.has_room() && self.denial.is_none() {
            let Some(connection) = self.link.connection() else { return true };
            match connection.hear() {
                Heard::Nothing => return false,
                Heard::End(reason) => self.lose(&reason, now),
                Heard::Reply(reply) => self.hear(reply, now),
            }
        }
        false
    }

    /// When to ask for the newest ID again; `None`: there is no need.
    fn refresh_due(&self) -> Option<Instant> {
        let passes_by = self.stage == Stage::Live && self.journal.is_some() && self.min > Priority::MIN;
        passes_by.then(|| self.moved + REFRESH)
    }

    /// Asks for the newest ID if a refresh is due; true: it was.
    fn refresh(&mut self, now: Instant) -> bool {
        let is_due = self.refresh_due().is_some_and(|due| now >= due);
        if is_due {
            self.ask_newest();
        }
        is_due
    }

    /// Until when the server must send a line, if it was asked.
    fn answer_due(&self) -> Option<Instant> {
        let silence_ms = match self.stage {
            Stage::Stats(_) | Stage::Newest(_) => ATTEMPT_MS,
            Stage::Joining(..) => SEARCH_MS_MAX,
            Stage::Away | Stage::Live => return None,
        };
        Some(self.heard + Duration::from_millis(silence_ms))
    }

    /// Drops the connection if the server has not answered in time; true: it has not.
    fn lose_if_silent(&mut self, now: Instant) -> bool {
        let is_silent = self.answer_due().is_some_and(|due| now >= due);
        if is_silent {
            self.lose("the server does not answer", now);
        }
        is_silent
    }

    fn hear(&mut self, reply: Reply, now: Instant) {
        self.heard = now;
        match (reply, self.stage) {
            (Reply::Stat { name, value }, Stage::Stats(_)) if name == "journal-id" => {
                self.journal = Some(value);
            }
            (Reply::Ok { line, .. }, Stage::Stats(asked)) if line == asked => match self.journal {
                Some(_) => self.ask_newest(),
                None => self.join(0, now),
            },
            (Reply::Err { line, reason, text }, Stage::Newest(asked))
                if line == asked && reason == "ahead-of-history" =>
            {
                match text.split(' ').next().and_then(|newest| newest.parse().ok()) {
                    // A message that came after the server looked up its newest ID, and before its answer, has a higher
                    // ID.
                    Some(newest) => self.join(self.last.max(newest), now),
                    None => self.lose("not a firstline server: it does not tell its newest message", now),
                }
            }
            (Reply::Ok { line, .. }, Stage::Newest(asked)) if line == asked => {
                self.lose("not a firstline server: it has every message", now);
            }
            (Reply::Ok { line, .. }, Stage::Joining(asked, newest)) if line == asked => {
                self.begin_live(newest, now);
            }
            (Reply::Err { line, reason, text }, stage) if line > 0 && stage.asked() == Some(line) => {
                self.take_refusal(&reason, &text, now);
            }
            (Reply::Msg { id, priority, from, text }, _) => {
                self.take_message(id, What::Message { id, priority, from, text }, now);
            }
            (Reply::Lost(count), _) => self.take_loss(count),
            (Reply::Bye(reason), _) => self.lose(&shown(&reason), now),
            (Reply::Err { line: 0, reason, text }, _) => self.lose(&said(&reason, &text), now),
            _ => {}
        }
    }

    // ---- Questions to the server -----------------------------------------------------------------------

    fn ask(&mut self, stage: impl FnOnce(u64) -> Stage, line: &str) {
        let Some(connection) = self.link.connection() else { return };
        let number = connection.push(|out| {
            out.extend_from_slice(line.as_bytes());
            out.push(b'\n');
        });
        connection.flush();
        self.heard = Instant::now();
        self.stage = stage(number);
    }

    fn ask_newest(&mut self) {
        let line = format!("/join {} since {AHEAD}", self.min.number());
        self.ask(Stage::Newest, &line);
    }

    /// Joins at the position where reading ended. `newest` is the newest ID of the journal.
    fn join(&mut self, newest: u64, now: Instant) {
        let start = self.positions.start(self.journal, newest, self.since);
        let (min, newest) = (self.min.number(), start.since.map(|_| newest));
        let position = Position { journal: self.journal, id: start.since.unwrap_or(0) };
        let line = match start.since {
            Some(id) => format!("/join {min} since {id}"),
            None => format!("/join {min}"),
        };
        self.last = position.id;
        self.tell(What::Begin(start.gap), position, now);
        self.ask(|line| Stage::Joining(line, newest), &line);
    }

    fn take_refusal(&mut self, reason: &str, text: &str, now: Instant) {
        let said = said(reason, text);
        if Meaning::of(reason).is_permanent() { self.denial = Some(said) } else { self.lose(&said, now) }
    }

    // ---- Events ----------------------------------------------------------------------------------------

    /// The server has sent all messages up to `newest` of the wanted priorities.
    fn begin_live(&mut self, newest: Option<u64>, now: Instant) {
        self.link.has_served();
        self.trouble = None;
        self.stage = Stage::Live;
        let read = self.positions.of(self.journal).unwrap_or(0);
        let position = Position { journal: self.journal, id: newest.map_or(read, |newest| newest.max(read)) };
        self.tell(What::CaughtUp, position, now);
    }

    /// Reports a message, unless it is a repetition: the `/join` after a refresh repeats the messages that came in the
    /// meantime.
    fn take_message(&mut self, id: u64, message: What, now: Instant) {
        if self.journal.is_none() || id > self.last {
            self.last = id;
            self.tell(message, Position { journal: self.journal, id }, now);
        }
    }

    /// Reports missing messages. If the client wants all priorities, the server sends or counts every ID, so the count
    /// moves the position. Otherwise the server also skips less urgent messages without counting them, so the position
    /// stays.
    fn take_loss(&mut self, count: u64) {
        let read = self.positions.of(self.journal).unwrap_or(0);
        let id = if self.min == Priority::MIN { read.saturating_add(count) } else { read };
        self.tell(What::Lost(count), Position { journal: self.journal, id }, self.moved);
    }

    fn tell(&mut self, what: What, position: Position, now: Instant) {
        self.moved = now;
        self.positions.set(position);
        self.events.push_back(Event { what, position });
    }

    /// Handles the loss of the connection. The link reconnects after a pause.
    fn lose(&mut self, reason: &str, now: Instant) {
        self.trouble = Some(reason.to_string());
        self.stage = Stage::Away;
        self.link.lose(true, now);
    }
}

impl Stage {
    /// The number of the line that waits for its reply.
    fn asked(self) -> Option<u64> {
        match self {
            Self::Stats(line) | Self::Newest(line) | Self::Joining(line, _) => Some(line),
            Self::Away | Self::Live => None,
        }
    }
}

#[cfg(test)]
mod tests;
