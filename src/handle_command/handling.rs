//! The connection to the server as a handler: asks for tasks, sends the answers, and reconnects.
//!
//! If it is not known how much of a task was done, the server must not be told that it was done or refused. Instead,
//! the connection ends without `/quit` as soon as the other tasks are answered, so that the server tells the sender
//! `handler-lost`. Until then, this process asks for no new tasks.

use super::answer::Answer;
use super::report::Report;
use super::task::{ServerTime, Task, TaskKey};
use crate::client::connection::Heard;
use crate::client::link::{Change, Link};
use crate::client::outcome::said;
use crate::client::reply::Reply;
use crate::client::shown::shown;
use crate::protocol::Priority;
use nix::poll::PollFlags;
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// The connection to the server as a handler.
#[derive(Debug)]
pub struct Handling {
    link: Link,
    min: Priority,
    /// The number of the connection, from 1.
    connection: u64,
    /// How many tasks this process wants at once.
    wanted: usize,
    /// The number that the server was told.
    told: usize,
    /// The lines on this connection that the server has not confirmed yet, by line number.
    unconfirmed: BTreeMap<u64, Report>,
    /// The tasks that the server has given and this process has not answered.
    given: Vec<u64>,
    /// Those of them with an unknown result, which will not be answered, and when the server's time for each ends.
    /// `None`: at that time, the server was asked for more, and has not answered yet.
    unknown: Vec<(u64, Option<Instant>)>,
    events: VecDeque<Event>,
    /// Why there is no connection now.
    trouble: Option<String>,
    /// Why the server gives this process no tasks.
    denial: Option<String>,
    /// Whether `/quit` was sent.
    has_quit: bool,
}

/// What the server has done.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// It gives a task.
    Task(Task),
    /// It has set the time for a task.
    Time(TaskKey, ServerTime),
    /// It no longer waits for the answer to this task.
    GivenUp(TaskKey),
    /// The connection and all its tasks are lost. These answers may not have reached the server.
    Lost(Vec<(u64, Answer)>),
    /// An answer came too late: the sender has got another one.
    TooLate(u64, Answer),
}

impl Handling {
    /// A handler of messages of that priority and above. It connects when tasks are wanted.
    pub fn new(link: Link, min: Priority) -> Self {
        Self {
            link,
            min,
            connection: 0,
            wanted: 0,
            told: 0,
            unconfirmed: BTreeMap::new(),
            given: Vec::new(),
            unknown: Vec::new(),
            events: VecDeque::new(),
            trouble: None,
            denial: None,
            has_quit: false,
        }
    }

    /// The next event.
    pub fn take_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Why there is no connection now, if so. It tries again.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Why the server gives this process no tasks, if so. Another attempt would not help.
    pub fn denial(&self) -> Option<&str> {
        self.denial.as_deref()
    }

    /// Whether the server waits for this process to answer that task.
    pub fn is_current(&self, key: TaskKey) -> bool {
        key.connection == self.connection && self.given.contains(&key.number)
    }

    /// Whether the server has given up that task, if it came on the current connection.
    pub fn has_given_up(&mut self, key: TaskKey) -> bool {
        self.is_connected() && key.connection == self.connection && !self.given.contains(&key.number)
    }

    /// Whether there is a connection.
    pub fn is_connected(&mut self) -> bool {
        self.link.connection().is_some()
    }

    /// What to wait for before the next [`advance`](Self::advance), besides [`due`](Self::due).
    pub fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        self.link.interest()
    }

    /// The latest time for the next [`advance`](Self::advance).
    pub fn due(&self) -> Option<Instant> {
        let unknown = self.unknown.iter().filter_map(|(_, until)| *until).min();
        self.link.due().filter(|_| self.is_connecting()).into_iter().chain(unknown).min()
    }

    /// Whether a connection is wanted, or an attempt to connect has begun.
    fn is_connecting(&self) -> bool {
        self.wanted > 0 || self.link.interest().is_some()
    }

    // ---- To the server ---------------------------------------------------------------------------------

    /// Sets how many tasks are wanted at once from now on, including those that are running.
    pub fn want(&mut self, count: usize) {
        self.wanted = count;
    }

    /// Sends the answer to a task; false: the server no longer waits for it, or its connection is lost.
    pub fn answer(&mut self, task: &Task, answer: Answer) -> bool {
        let key = task.key;
        if !self.is_current(key) {
            return false;
        }
        if matches!(answer, Answer::Unknown(_)) {
            self.unknown.push((key.number, task.time.map(|time| time.until)));
        } else {
            self.given.retain(|number| *number != key.number);
            self.push(Report::Answer(key.number, answer));
        }
        true
    }

    /// Asks for more time for a task.
    pub fn extend(&mut self, key: TaskKey) {
        if self.is_current(key) {
            self.push(Report::Extend(key.number));
        }
    }

    /// Sends `/quit`, once, if every task is answered and the server has confirmed everything.
    pub fn quit_if_settled(&mut self) {
        if self.given.is_empty() && self.unconfirmed.is_empty() && !self.has_quit {
            self.has_quit = true;
            self.push(Report::Quit);
            self.flush();
        }
    }

    /// Takes the answers that the server has not confirmed, with the numbers of their tasks.
    pub fn take_unconfirmed(&mut self) -> Vec<(u64, Answer)> {
        let answer = |report| match report {
            Report::Answer(number, answer) => Some((number, answer)),
            _ => None,
        };
        std::mem::take(&mut self.unconfirmed).into_values().filter_map(answer).collect()
    }

    fn push(&mut self, report: Report) {
        let wanted = match self.told {
            0 => "off".to_string(),
            count => format!("{} {count}", self.min.number()),
        };
        let Some(connection) = self.link.connection() else { return };
        if let Some(line) = report.line(&wanted) {
            let number = connection.push(|out| {
                out.extend_from_slice(&line);
                out.push(b'\n');
            });
            self.unconfirmed.insert(number, report);
        }
    }

    fn flush(&mut self) {
        if let Some(connection) = self.link.connection() {
            connection.flush();
        }
    }

    // ---- From the server -------------------------------------------------------------------------------

    /// Connects, asks, and reads, as far as that does not block.
    pub fn advance(&mut self, now: Instant) {
        if let Some(connection) = self.link.connection() {
            connection.begin_round();
        }
        while self.denial.is_none() && self.step(now) {}
        self.flush();
    }

    /// Takes one step; false: nothing can be done now.
    fn step(&mut self, now: Instant) -> bool {
        if self.link.connection().is_some() {
            self.tell_wanted();
            self.ask_about_unknown(now);
            return self.read(now) || self.lose_unknown(now);
        }
        if !self.is_connecting() {
            return false;
        }
        match self.link.advance(now) {
            Change::Nothing => return false,
            Change::Up => {
                self.connection += 1;
                self.trouble = None;
            }
            Change::Failed(reason) => self.trouble = Some(reason),
            Change::Denied(reason) => self.denial = Some(reason),
        }
        true
    }

    fn tell_wanted(&mut self) {
        let wanted = if self.unknown.is_empty() { self.wanted } else { 0 };
        if self.told != wanted {
            self.told = wanted;
            self.push(Report::Wanted);
            self.flush();
        }
    }

    /// The server does not report that the time for a task has ended, but then refuses to extend it. So asks for more
    /// time for each task with an unknown result when its time ends.
    fn ask_about_unknown(&mut self, now: Instant) {
        let mut due = Vec::new();
        for (number, until) in &mut self.unknown {
            if until.is_some_and(|until| now >= until) {
                *until = None;
                due.push(*number);
            }
        }
        due.into_iter().for_each(|number| self.push(Report::Extend(number)));
    }

    /// Reads what has arrived; true: the connection was lost.
    fn read(&mut self, now: Instant) -> bool {
        while self.denial.is_none() {
            let Some(connection) = self.link.connection() else { return true };
            match connection.hear() {
                Heard::Nothing => return false,
                Heard::End(reason) => self.lose(&reason, now),
                Heard::Reply(reply) => self.hear(reply, now),
            }
        }
        false
    }

    /// Ends the connection if all tasks that are left on it have an unknown result.
    fn lose_unknown(&mut self, now: Instant) -> bool {
        let is_due =
            !self.unknown.is_empty() && self.unknown.len() == self.given.len() && self.unconfirmed.is_empty();
        if is_due {
            self.lose("", now);
            self.trouble = None;
        }
        is_due
    }

    fn hear(&mut self, reply: Reply, now: Instant) {
        match reply {
            Reply::Task { number, priority, left_ms, from, text } => {
                self.given.push(number);
                let key = TaskKey { connection: self.connection, number };
                let time = Some(ServerTime::new(Duration::from_millis(left_ms), now));
                self.events.push_back(Event::Task(Task { key, priority, from, text, time }));
            }
            Reply::Ok { line, text } => self.take_confirmation(line, &text, now),
            Reply::Err { line: 0, reason, text } => self.lose(&said(&reason, &text), now),
            Reply::Err { line, reason, text } => {
                if let Some(report) = self.unconfirmed.remove(&line) {
                    self.take_refusal(report, &reason, &text, now);
                }
            }
            // A newer server may have a lower limit for a line, and has then not taken the answer.
            Reply::Nak { line, reason, text } if self.unconfirmed.contains_key(&line) => {
                self.lose(&said(&reason, &text), now);
            }
            Reply::Bye(reason) => self.lose(&shown(&reason), now),
            _ => {}
        }
    }

    fn take_confirmation(&mut self, line: u64, text: &str, now: Instant) {
        let Some(report) = self.unconfirmed.remove(&line) else { return };
        self.link.has_served();
        if let Report::Extend(number) = report
            && let Ok(left_ms) = text.parse()
        {
            let key = TaskKey { connection: self.connection, number };
            let time = ServerTime::new(Duration::from_millis(left_ms), now);
            for (unknown, until) in &mut self.unknown {
                *until = if *unknown == number { Some(time.until) } else { *until };
            }
            self.events.push_back(Event::Time(key, time));
        }
    }

    fn take_refusal(&mut self, report: Report, reason: &str, text: &str, now: Instant) {
        match report {
            Report::Wanted if reason == "handlers-full" => self.lose(&said(reason, text), now),
            // The server still takes the answers to its tasks, and then says BYE.
            Report::Wanted if reason == "shutting-down" => {}
            Report::Wanted => self.denial = Some(said(reason, text)),
            Report::Answer(number, answer) => self.events.push_back(Event::TooLate(number, answer)),
            Report::Extend(number) => {
                self.given.retain(|given| *given != number);
                self.unknown.retain(|(unknown, _)| *unknown != number);
                let key = TaskKey { connection: self.connection, number };
                self.events.push_back(Event::GivenUp(key));
            }
            Report::Quit => {}
        }
    }

    /// Handles the loss of the connection. The link reconnects after a pause.
    fn lose(&mut self, reason: &str, now: Instant) {
        let unconfirmed = self.take_unconfirmed();
        self.events.push_back(Event::Lost(unconfirmed));
        self.given.clear();
        self.unknown.clear();
        self.told = 0;
        self.trouble = (!self.has_quit).then(|| reason.to_string());
        self.link.lose(true, now);
    }
}
