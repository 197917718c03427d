//! The client, the input, the outputs and the signals in one thread, which waits for all of them in one poll.

use super::backlog::{Backlog, Begun, Found};
use super::input::{Input, Line};
use super::interruption::Interruption;
use super::output::Output;
use super::spool::Name;
use super::tally::{Tally, Verdict};
use crate::client::limits::TEXT_BYTES_MAX;
use crate::client::sender::poll_timeout;
use crate::client::shown::{described, shown};
use crate::client::{Message, Outcome, Refusal, Sender};
use crate::counted::Counted;
use crate::protocol::Priority;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fmt::Display;
use std::io::{self, stderr, stdout};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

/// How long an interruption waits for the answers to what was sent: on a LAN they are there in that time, and more is known.
const GRACE: Duration = Duration::from_secs(1);

/// What a message is known by while it is on its way.
#[derive(Debug)]
pub struct Tag {
    what: What,
    /// What to keep of it, if there is a spool.
    message: Option<Message>,
}

/// Which message it is.
#[derive(Clone, Copy, Debug)]
enum What {
    /// The only one.
    Only,
    /// The line of that number.
    Line(u64),
    /// One of the spool, which may have been sent before.
    Kept { name: Name, is_doubtful: bool },
}

/// Messages on their way, and what is told of them.
pub struct Sending {
    sender: Sender<Tag>,
    timeout: Option<Duration>,
    interruption: Interruption,
    /// None: there is none, or nothing of it is wanted any more.
    input: Option<Input>,
    /// The only message, before it is on its way.
    only: Option<Message>,
    /// Of the lines, or of the only message: those of the spool that are as urgent go first.
    priority: Priority,
    backlog: Option<Backlog>,
    /// Only what the spool holds is sent: its receipts are told.
    is_flush: bool,
    /// The server is given up: what comes is kept at once.
    is_away: bool,
    receipts: Output,
    complaints: Output,
    tally: Tally,
    /// What is behind this line was not read.
    unread_from: Option<u64>,
    /// Why nothing can be sent now was told.
    tells_trouble: bool,
    /// The signal that ended it, and when nothing is waited for any more.
    ending: Option<(u8, Instant)>,
    /// A second signal came.
    is_urgent: bool,
}

impl Sending {
    /// With that client, which gives up after that time.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn new(
        sender: Sender<Tag>,
        timeout: Option<Duration>,
        interruption: Interruption,
    ) -> io::Result<Self> {
        Ok(Self {
            sender,
            timeout,
            interruption,
            input: None,
            only: None,
            priority: Priority::NORMAL,
            backlog: None,
            is_flush: false,
            is_away: false,
            receipts: Output::new(&stdout())?,
            complaints: Output::new(&stderr())?,
            tally: Tally::default(),
            unread_from: None,
            tells_trouble: false,
            ending: None,
            is_urgent: false,
        })
    }

    /// Keeps in this spool what is not sent, and sends what it holds. Tells what is unknown in it.
    pub fn with_spool(mut self, found: Found) -> Self {
        for (name, text) in found.unknown {
            self.tally.unknown += 1;
            let text = shown(&String::from_utf8_lossy(&text));
            self.complain(format_args!(
                "unknown, for a call was killed over it: {}: {text}; --retry sends it again",
                name.priority()
            ));
        }
        self.backlog = Some(found.backlog);
        self
    }

    /// Sends one message.
    pub fn send(mut self, message: Message) -> Verdict {
        self.priority = message.priority();
        self.only = Some(message);
        self.run();
        self.finish()
    }

    /// Sends what the spool holds.
    pub fn flush(mut self) -> Verdict {
        self.is_flush = true;
        if self.backlog.as_ref().is_some_and(|backlog| !backlog.may_send()) {
            self.tally.has_failed = true;
            self.complain("another process sends what is kept; try again later");
        }
        self.run();
        if !self.tally.is_well() {
            self.tell_all();
        }
        self.finish()
    }

    /// Sends each line of the input with that priority.
    pub fn send_lines(mut self, input: Input, priority: Priority) -> Verdict {
        (self.input, self.priority) = (Some(input), priority);
        self.run();
        if !self.tally.is_well() || self.tally.kept > 0 || self.ending.is_some() {
            self.tell_all();
        }
        self.finish()
    }

    /// Until every message is settled.
    fn run(&mut self) {
        loop {
            self.sender.advance();
            self.settle();
            self.tell_trouble();
            if self.take_kept() || self.take_only() || self.take_lines() {
                continue;
            }
            if self.is_all_taken() && self.sender.is_empty() {
                // Closes the connection: nobody looks after it any more.
                self.sender.abort("done");
                return;
            }
            self.wait();
        }
    }

    /// What is still to be written is written, and what it all came to.
    fn finish(mut self) -> Verdict {
        if let Some(Err(error)) = self.backlog.as_ref().map(|backlog| backlog.spool().sync()) {
            self.complain_of_spool(&error);
        }
        if self.tally.maybe_doubled > 0 {
            let count = Counted(self.tally.maybe_doubled, "message");
            self.complain(format_args!(
                "{count} may be there twice: sent again, because the first answer was lost"
            ));
        }
        if let Some((_, until)) = &mut self.ending {
            // A second signal came, or else there is as long again.
            *until = if self.is_urgent { *until } else { Instant::now() + GRACE };
        }
        // A reader that does not read holds this up until a signal comes; what is read at once is written even then.
        while !(self.receipts.is_empty() && self.complaints.is_empty()) {
            if !self.wait() && self.is_over(Instant::now()) {
                break;
            }
        }
        Verdict::new(self.tally, self.ending.map(|(signal, _)| signal))
    }

    // ---- Messages in -----------------------------------------------------------------------------------

    /// Whether there are no more messages to begin.
    fn is_all_taken(&self) -> bool {
        let is_kept = self.backlog.as_ref().is_some_and(|backlog| backlog.has(Priority::MIN));
        self.input.is_none() && self.only.is_none() && !is_kept
    }

    /// Pushes messages of the spool: those that are as urgent as what is to be sent go before it, the others behind it. True: there was
    /// one.
    fn take_kept(&mut self) -> bool {
        let is_own_taken = self.input.is_none() && self.only.is_none();
        let min = if is_own_taken { Priority::MIN } else { self.priority };
        let has_room = self.has_room();
        let Some(backlog) = self.backlog.as_mut().filter(|backlog| has_room && backlog.has(min)) else {
            return false;
        };
        match backlog.begin(min) {
            Ok(begun) => begun.into_iter().for_each(|begun| self.push_kept(begun)),
            Err(error) => {
                backlog.stop();
                self.tally.has_failed = true;
                self.complain_of_spool(&error);
            }
        }
        true
    }

    fn push_kept(&mut self, begun: Begun) {
        let Begun { name, text, is_doubtful } = begun;
        match Message::new(name.priority(), text) {
            Ok(message) => {
                let what = What::Kept { name, is_doubtful };
                self.sender.push(Tag { what, message: Some(message.clone()) }, message);
            }
            // Nothing that this program has kept.
            Err(error) => {
                self.tally.refused += 1;
                self.complain(format_args!("refused: {name}, which is in the spool: {error}"));
            }
        }
    }

    /// Pushes the only message; true: there was one.
    fn take_only(&mut self) -> bool {
        let Some(message) = self.only.take() else { return false };
        self.push(What::Only, message);
        true
    }

    /// Pushes the lines that are there, as many as have room; true: there was one.
    fn take_lines(&mut self) -> bool {
        let before = self.lines();
        while self.has_room() {
            let Some((number, line)) = self.input.as_mut().and_then(Input::next) else { break };
            match line {
                Line::TooLong => {
                    self.tally.refused += 1;
                    let reason = format!("too-long: it has more than {TEXT_BYTES_MAX} bytes");
                    self.complaints.push(&complaint(Some(number), format_args!("refused: {reason}")));
                }
                Line::Text(text) => {
                    // A line of the input is a text: neither empty, nor too long, nor with a line break.
                    if let Ok(message) = Message::new(self.priority, text) {
                        self.push(What::Line(number), message);
                    }
                }
            }
        }
        let has_taken = self.lines() > before;
        if self.input.as_ref().is_some_and(Input::is_over) {
            self.input = None;
        }
        has_taken
    }

    /// How many lines were taken.
    fn lines(&self) -> u64 {
        self.input.as_ref().map_or(0, Input::lines)
    }

    /// A message of this call: on its way, or kept if the server is given up.
    fn push(&mut self, what: What, message: Message) {
        if self.is_away {
            self.keep(what, &message, "the server was given up before");
        } else {
            let kept = self.backlog.as_ref().map(|_| message.clone());
            self.sender.push(Tag { what, message: kept }, message);
        }
    }

    /// Whether another line may be taken.
    fn has_room(&self) -> bool {
        self.sender.has_room() && self.receipts.has_room() && self.complaints.has_room()
    }

    fn read_input(&mut self) {
        let Some(Err(error)) = self.input.as_mut().map(Input::read) else { return };
        self.tally.has_failed = true;
        self.complain(format_args!("standard input: {}", described(&error)));
    }

    /// Nothing more is to be begun.
    fn stop_reading(&mut self) {
        self.stop_kept();
        if let Some(input) = self.input.take() {
            self.unread_from = Some(input.lines());
        }
    }

    // ---- What became of them ----------------------------------------------------------------------------

    fn settle(&mut self) {
        while let Some((tag, outcome)) = self.sender.take_outcome() {
            match (tag.what, tag.message) {
                (What::Kept { name, is_doubtful }, message) => {
                    self.settle_kept(name, is_doubtful, message, outcome);
                }
                (what, message) => self.settle_own(what, message, outcome),
            }
        }
        if self.sender.has_given_up() && !self.is_away {
            self.is_away = self.backlog.is_some();
            if self.is_away { self.stop_kept() } else { self.stop_reading() }
        }
    }

    fn settle_own(&mut self, what: What, message: Option<Message>, outcome: Outcome) {
        if let (Outcome::NotSent(reason), Some(message)) = (&outcome, &message) {
            return self.keep(what, message, reason);
        }
        self.tally.count(&outcome);
        match outcome {
            Outcome::Acknowledged(receipt) => {
                self.tells_trouble = false;
                self.receipts.push(&receipt.to_string());
            }
            Outcome::Refused(refusal) => {
                self.complain_of(what, format_args!("refused: {refusal}{}", advice(&refusal)));
                if matches!(refusal, Refusal::Client(_)) {
                    self.stop_reading();
                }
            }
            Outcome::Unknown(reason) => {
                self.complain_of(what, format_args!("unknown, for it was sent and not answered: {reason}"));
            }
            Outcome::NotSent(reason) => self.complain_of(what, format_args!("not sent: {reason}")),
        }
    }

    /// A message of this call was not sent, for that reason: it is kept.
    fn keep(&mut self, what: What, message: &Message, reason: &str) {
        let Some(backlog) = &self.backlog else { return };
        let path = backlog.path().display();
        match backlog.spool().keep(message.priority(), message.text()) {
            Ok(()) => {
                self.tally.kept += 1;
                if matches!(what, What::Only) {
                    let text = format!("not sent, and kept in {path}: {reason}");
                    self.complain(text);
                }
            }
            Err(error) => {
                self.tally.not_sent += 1;
                let text = format!("not sent: {reason}; nor kept in {path}: {}", described(&error));
                self.complain_of(what, text);
                self.stop_reading();
            }
        }
    }

    /// What comes to a message of the spool.
    fn settle_kept(&mut self, name: Name, is_doubtful: bool, message: Option<Message>, outcome: Outcome) {
        let Some(backlog) = &self.backlog else { return };
        let text = message.map_or(String::new(), |message| shown(&String::from_utf8_lossy(message.text())));
        let which = format!("kept message {}: {text}", name.priority());
        let is_kept_on = matches!(outcome, Outcome::NotSent(_) | Outcome::Refused(Refusal::Client(_)));
        let done = match &outcome {
            _ if is_kept_on && !is_doubtful => backlog.spool().give_back(&name),
            // It stays what it is: unknown.
            Outcome::Unknown(_) | Outcome::NotSent(_) | Outcome::Refused(Refusal::Client(_)) => Ok(()),
            Outcome::Acknowledged(_) | Outcome::Refused(Refusal::Message(_)) => backlog.spool().remove(&name),
        };
        if !matches!(outcome, Outcome::NotSent(_)) || self.is_flush {
            self.tally.count(&outcome);
        }
        match outcome {
            Outcome::Acknowledged(receipt) => {
                self.tells_trouble = false;
                self.tally.maybe_doubled += u64::from(is_doubtful && !receipt.may_be_doubled);
                if self.is_flush {
                    self.receipts.push(&receipt.to_string());
                }
            }
            Outcome::Refused(refusal) => {
                self.complain(format_args!("refused: {refusal}{}: {which}", advice(&refusal)));
                if matches!(refusal, Refusal::Client(_)) {
                    self.stop_reading();
                }
            }
            Outcome::Unknown(reason) => {
                self.complain(format_args!("unknown, for it was sent and not answered: {reason}: {which}"));
            }
            Outcome::NotSent(reason) if self.is_flush => {
                self.complain(format_args!("not sent: {reason}: {which}"));
            }
            Outcome::NotSent(_) => {}
        }
        if let Err(error) = done {
            self.tally.has_failed = true;
            self.complain_of_spool(&error);
        }
    }

    /// What the spool holds waits for another call.
    fn stop_kept(&mut self) {
        let Some(backlog) = &mut self.backlog else { return };
        if self.is_flush {
            self.tally.not_sent += backlog.waiting() as u64;
        }
        backlog.stop();
    }

    fn complain_of_spool(&mut self, error: &io::Error) {
        let path = self.backlog.as_ref().map(|backlog| backlog.path().display().to_string());
        self.complain(format_args!("{}: {}", path.unwrap_or_default(), described(error)));
    }

    /// Tells, once until something is acknowledged, that it takes longer.
    fn tell_trouble(&mut self) {
        let Some(trouble) = self.sender.trouble().filter(|_| !self.tells_trouble) else { return };
        let until =
            self.timeout.map_or(String::new(), |timeout| format!(" for up to {} s", timeout.as_secs_f64()));
        let text = format!("not sent yet: {trouble}; trying again{until}");
        self.tells_trouble = true;
        self.complain(text);
    }

    fn tell_all(&mut self) {
        let unread = match self.unread_from {
            Some(line) => format!("; what is behind line {line} was not read"),
            None => String::new(),
        };
        let tally = self.tally;
        self.complain(format_args!("{tally}{unread}"));
    }

    fn complain_of(&mut self, which: What, what: impl Display) {
        let line = if let What::Line(line) = which { Some(line) } else { None };
        self.complaints.push(&complaint(line, what));
    }

    fn complain(&mut self, what: impl Display) {
        self.complain_of(What::Only, what);
    }

    // ---- Waiting ---------------------------------------------------------------------------------------

    fn is_over(&self, now: Instant) -> bool {
        self.ending.is_some_and(|(_, until)| now >= until)
    }

    /// Waits for whatever comes first, and does it; true: something was written.
    fn wait(&mut self) -> bool {
        let now = Instant::now();
        let input = self.input.as_ref().filter(|input| input.is_dry() && self.has_room());
        let fds = [
            Some(PollFd::new(self.interruption.as_fd(), PollFlags::POLLIN)),
            input.map(|input| PollFd::new(input.as_fd(), PollFlags::POLLIN)),
            self.receipts.interest(),
            self.complaints.interest(),
            self.sender.interest().map(|(fd, flags)| PollFd::new(fd, flags)),
        ];
        let ending = self.ending.map(|(_, until)| until);
        let timeout = poll_timeout(self.sender.due().into_iter().chain(ending).min(), now);
        let [signal, input, receipts, complaints, _] = ready(fds, timeout);
        if signal && let Some(number) = self.interruption.next() {
            self.interrupt(number);
        }
        if self.is_over(Instant::now()) {
            self.sender.abort("interrupted");
        }
        if input {
            self.read_input();
        }
        if receipts && let Err(error) = self.receipts.write() {
            self.complain(format_args!("standard output: {}", described(&error)));
        }
        if complaints {
            // There is nobody to tell.
            let _ = self.complaints.write();
        }
        receipts || complaints
    }

    /// A signal asks for an end: nothing more is sent, and answers are waited for a little. The second asks for an end at once.
    fn interrupt(&mut self, signal: u8) {
        let now = Instant::now();
        self.is_urgent = self.ending.is_some();
        // What was not begun is kept.
        self.is_away = self.backlog.is_some();
        let until = if self.is_urgent { now } else { now + GRACE };
        self.ending = Some((signal, until));
        self.stop_reading();
        self.sender.withdraw("interrupted");
    }
}

/// Waits until one of these is ready, and says which are: for what they wait for, or broken.
fn ready<const N: usize>(fds: [Option<PollFd<'_>>; N], timeout: PollTimeout) -> [bool; N] {
    let is_waited_for = fds.each_ref().map(Option::is_some);
    let mut waiting: Vec<PollFd<'_>> = fds.into_iter().flatten().collect();
    // An error, as that a signal came, is looked at as a time-out.
    if poll(&mut waiting, timeout).is_err() {
        return [false; N];
    }
    let mut waited = waiting.into_iter();
    is_waited_for.map(|is_waited_for| is_waited_for && waited.next().and_then(|fd| fd.any()).unwrap_or(false))
}

/// What the user of this program can do about it.
fn advice(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Client(reason) if reason.contains("not-authenticated") => "; give a token by --token-file",
        _ => "",
    }
}

/// A line of standard error, maybe of a line of the input.
fn complaint(line: Option<u64>, what: impl Display) -> String {
    match line {
        Some(line) => format!("firstline: line {line}: {what}"),
        None => format!("firstline: {what}"),
    }
}
