//! Runs the client, the input, the outputs and the signals in one thread, which waits for all of them in one poll.

use super::backlog::{Backlog, Begun, Found};
use super::input::{Input, Line};
use super::report::Report;
use super::spool::Name;
use super::tag::{Tag, Which};
use super::tally::Verdict;
use crate::client::limits::TEXT_BYTES_MAX;
use crate::client::shown::{described, shown};
use crate::client::{Message, Outcome, Refusal, Sender};
use crate::process_io::interruption::Interruption;
use crate::process_io::ready::ready;
use crate::protocol::Priority;
use nix::poll::{PollFd, PollFlags};
use std::io;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

/// How long the process waits after a signal for the replies to messages in flight. On a LAN they come in that time,
/// so fewer outcomes are unknown.
const GRACE: Duration = Duration::from_secs(1);

/// The state of one `firstline send`.
pub struct Sending {
    sender: Sender<Tag>,
    timeout: Option<Duration>,
    interruption: Interruption,
    /// The input; none: there is none, it has ended, or reading stopped.
    input: Option<Input>,
    /// The only message, until it is pushed.
    only: Option<Message>,
    /// The priority of this call's messages. Messages of the spool with at least this priority go first.
    priority: Priority,
    backlog: Option<Backlog>,
    /// The call sends only the messages of the spool, and prints their receipts.
    is_flush: bool,
    /// The sender has given up the server, or a signal came: further messages go to the spool at once.
    is_away: bool,
    report: Report,
    /// Reading stopped after the line of this number.
    unread_from: Option<u64>,
    /// The signal that ends the call, and the time after which it waits no longer.
    ending: Option<(u8, Instant)>,
    /// A second signal came.
    is_urgent: bool,
    /// All messages have their outcomes; only output is left.
    is_finishing: bool,
}

impl Sending {
    /// Starts with that client, which gives up after `timeout`.
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
            report: Report::new()?,
            unread_from: None,
            ending: None,
            is_urgent: false,
            is_finishing: false,
        })
    }

    /// Uses a spool: sends its messages, and keeps messages in it that are not sent. Reports those with an unknown
    /// outcome.
    pub fn with_spool(mut self, found: Found) -> Self {
        for (name, text) in found.unknown {
            self.report.tally.unknown += 1;
            let text = shown(&String::from_utf8_lossy(&text));
            self.report.complain(format_args!(
                "unknown, because an earlier call sent it or was about to: {}: {text}; --retry sends it again",
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

    /// Sends the messages of the spool.
    pub fn flush(mut self) -> Verdict {
        self.is_flush = true;
        if self.backlog.as_ref().is_some_and(|backlog| !backlog.may_send()) {
            self.report.tally.has_failed = true;
            self.report.complain("another process sends what is kept; try again later");
        }
        self.run();
        if !self.report.tally.is_well() {
            self.report.sum_up(self.unread_from);
        }
        self.finish()
    }

    /// Sends each line of the input with that priority.
    pub fn send_lines(mut self, input: Input, priority: Priority) -> Verdict {
        (self.input, self.priority) = (Some(input), priority);
        self.run();
        if !self.report.tally.is_well() || self.report.tally.kept > 0 || self.ending.is_some() {
            self.report.sum_up(self.unread_from);
        }
        self.finish()
    }

    /// Runs until every message has its outcome.
    fn run(&mut self) {
        loop {
            self.sender.advance();
            self.settle();
            self.tell_trouble();
            if self.take_kept() || self.take_only() || self.take_lines() {
                continue;
            }
            if self.is_all_taken() && self.sender.is_empty() {
                // Closes the connection, because nothing serves it from now on.
                self.sender.abort("done");
                return;
            }
            self.wait();
        }
    }

    /// Writes the rest of the output, and returns the result.
    fn finish(mut self) -> Verdict {
        if let Some(backlog) = &self.backlog
            && let Err(error) = backlog.spool().sync()
        {
            self.report.fail(backlog.path().display(), &error);
        }
        self.report.tell_doubles();
        self.report.end_progress();
        self.is_finishing = true;
        if let Some((_, until)) = &mut self.ending {
            // The output gets its own time, unless a second signal came.
            *until = if self.is_urgent { *until } else { Instant::now() + GRACE };
        }
        // If a reader does not read, this waits until a signal comes. Even then it writes on while an output takes it.
        while !self.report.is_written() {
            if !self.wait() && self.is_over(Instant::now()) {
                break;
            }
        }
        Verdict::new(self.report.tally, self.ending.map(|(signal, _)| signal))
    }

    // ---- Messages --------------------------------------------------------------------------------------

    /// Whether there are no more messages to push.
    fn is_all_taken(&self) -> bool {
        let is_kept = self.backlog.as_ref().is_some_and(|backlog| backlog.has(Priority::MIN));
        self.input.is_none() && self.only.is_none() && !is_kept
    }

    /// Pushes messages of the spool; true: there was one. Those with at least the priority of this call's messages go
    /// before them. The others go when none of this call's messages waits.
    fn take_kept(&mut self) -> bool {
        let is_idle = |input: &Input| input.is_dry() && self.sender.is_empty();
        let is_own_taken = self.input.as_ref().is_none_or(is_idle) && self.only.is_none();
        let min = if is_own_taken { Priority::MIN } else { self.priority };
        let has_room = self.has_room();
        let Some(backlog) = self.backlog.as_mut().filter(|backlog| has_room && backlog.has(min)) else {
            return false;
        };
        match backlog.begin(min) {
            Ok(begun) => begun.into_iter().for_each(|begun| self.push_kept(begun)),
            Err(error) => {
                backlog.stop();
                self.report.fail(backlog.path().display(), &error);
            }
        }
        true
    }

    fn push_kept(&mut self, begun: Begun) {
        let Begun { name, text, is_doubtful } = begun;
        match Message::new(name.priority(), text) {
            Ok(message) => {
                let which = Which::Kept { name, is_doubtful };
                self.sender.push(Tag { which, message: Some(message.clone()) }, message);
            }
            // Another program has written this file.
            Err(error) => {
                self.report.tally.refused += 1;
                self.report.complain(format_args!("refused: {name}, which is in the spool: {error}"));
            }
        }
    }

    /// Pushes the only message; true: there was one.
    fn take_only(&mut self) -> bool {
        let Some(message) = self.only.take() else { return false };
        self.push(Which::Only, message);
        true
    }

    /// Pushes the lines that were read, while there is room; true: there was one.
    fn take_lines(&mut self) -> bool {
        let before = self.lines();
        while self.has_room() {
            let Some((number, line)) = self.input.as_mut().and_then(Input::next) else { break };
            match line {
                Line::TooLong => {
                    self.report.tally.refused += 1;
                    let reason = format!("too-long: it has more than {TEXT_BYTES_MAX} bytes");
                    self.report.complain_of(Which::Line(number), format_args!("refused: {reason}"));
                }
                Line::Text(text) => {
                    // This cannot fail: a line of the input is not empty, not too long, and has no line break.
                    if let Ok(message) = Message::new(self.priority, text) {
                        self.push(Which::Line(number), message);
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

    /// Pushes a message of this call, or keeps it in the spool if the server was given up.
    fn push(&mut self, which: Which, message: Message) {
        if self.is_away {
            self.keep(which, &message, "the server was given up before");
        } else {
            let kept = self.backlog.as_ref().map(|_| message.clone());
            self.sender.push(Tag { which, message: kept }, message);
        }
    }

    /// Whether there is room for another message.
    fn has_room(&self) -> bool {
        self.sender.has_room() && self.report.has_room()
    }

    fn read_input(&mut self) {
        if let Some(Err(error)) = self.input.as_mut().map(Input::read) {
            self.report.fail("standard input", &error);
        }
    }

    /// From now on takes no more messages.
    fn stop_reading(&mut self) {
        self.stop_kept();
        if let Some(input) = self.input.take() {
            self.unread_from = Some(input.lines());
        }
    }

    // ---- Outcomes ---------------------------------------------------------------------------------------

    fn settle(&mut self) {
        while let Some((tag, outcome)) = self.sender.take_outcome() {
            match (tag.which, tag.message) {
                (Which::Kept { name, is_doubtful }, message) => {
                    self.settle_kept(name, is_doubtful, message, outcome);
                }
                (which, message) => self.settle_own(which, message, outcome),
            }
        }
        if self.sender.has_given_up() && !self.is_away {
            self.is_away = self.backlog.is_some();
            if self.is_away { self.stop_kept() } else { self.stop_reading() }
        }
    }

    fn settle_own(&mut self, which: Which, message: Option<Message>, outcome: Outcome) {
        if let (Outcome::NotSent(reason), Some(message)) = (&outcome, &message) {
            return self.keep(which, message, reason);
        }
        self.report.tally.count(&outcome);
        match outcome {
            Outcome::Acknowledged(receipt) => {
                self.report.end_trouble();
                self.report.acknowledge(&receipt);
            }
            Outcome::Refused(refusal) => {
                self.report.complain_of(which, format_args!("refused: {refusal}{}", advice(&refusal)));
                if matches!(refusal, Refusal::Client(_)) {
                    self.stop_reading();
                }
            }
            Outcome::Unknown(reason) => {
                self.report
                    .complain_of(which, format_args!("unknown, for it was sent and not answered: {reason}"));
            }
            Outcome::NotSent(reason) => self.report.complain_of(which, format_args!("not sent: {reason}")),
        }
    }

    /// Keeps a message of this call in the spool, because it was not sent for that reason.
    fn keep(&mut self, which: Which, message: &Message, reason: &str) {
        let Some(backlog) = &self.backlog else { return };
        let path = backlog.path().display();
        match backlog.spool().keep(message.priority(), message.text()) {
            Ok(()) => {
                self.report.tally.kept += 1;
                if matches!(which, Which::Only) {
                    self.report.complain(format_args!("not sent, and kept in {path}: {reason}"));
                }
            }
            Err(error) => {
                self.report.tally.not_sent += 1;
                let error = described(&error);
                let told = format_args!("not sent: {reason}; nor kept in {path}: {error}");
                self.report.complain_of(which, told);
                self.stop_reading();
            }
        }
    }

    /// Records and reports the outcome of a message of the spool.
    fn settle_kept(&mut self, name: Name, is_doubtful: bool, message: Option<Message>, outcome: Outcome) {
        let Some(backlog) = &self.backlog else { return };
        let text = message.map_or(String::new(), |message| shown(&String::from_utf8_lossy(message.text())));
        let which = format!("kept message {}: {text}", name.priority());
        if let Err(error) = backlog.settle(&name, is_doubtful, &outcome) {
            self.report.fail(backlog.path().display(), &error);
        }
        if !matches!(outcome, Outcome::NotSent(_)) || self.is_flush {
            self.report.tally.count(&outcome);
        }
        match outcome {
            Outcome::Acknowledged(receipt) => {
                self.report.end_trouble();
                self.report.tally.maybe_doubled += u64::from(is_doubtful && !receipt.may_be_doubled);
                if self.is_flush {
                    self.report.acknowledge(&receipt);
                }
            }
            Outcome::Refused(refusal) => {
                self.report.complain(format_args!("refused: {refusal}{}: {which}", advice(&refusal)));
                if matches!(refusal, Refusal::Client(_)) {
                    self.stop_reading();
                }
            }
            Outcome::Unknown(reason) => {
                self.report
                    .complain(format_args!("unknown, for it was sent and not answered: {reason}: {which}"));
            }
            Outcome::NotSent(reason) if self.is_flush => {
                self.report.complain(format_args!("not sent: {reason}: {which}"));
            }
            Outcome::NotSent(_) => {}
        }
    }

    /// Leaves the other messages of the spool for another call.
    fn stop_kept(&mut self) {
        let Some(backlog) = &mut self.backlog else { return };
        if self.is_flush {
            self.report.tally.not_sent += backlog.waiting() as u64;
        }
        backlog.stop();
    }

    /// Reports why messages are late, if they are.
    fn tell_trouble(&mut self) {
        let Some(trouble) = self.sender.trouble() else { return };
        let until = self.timeout.map(|timeout| format!(" for up to {} s", timeout.as_secs_f64()));
        self.report.tell_trouble(trouble, until.unwrap_or_default());
    }

    // ---- Waiting ---------------------------------------------------------------------------------------

    fn is_over(&self, now: Instant) -> bool {
        self.ending.is_some_and(|(_, until)| now >= until)
    }

    /// Waits for the first event and handles it; true: an output was ready.
    fn wait(&mut self) -> bool {
        let progress = if self.is_finishing { None } else { self.report.tell_progress() };
        let input = self.input.as_ref().filter(|input| input.is_dry() && self.has_room());
        let fds = [
            Some(PollFd::new(self.interruption.as_fd(), PollFlags::POLLIN)),
            input.map(|input| PollFd::new(input.as_fd(), PollFlags::POLLIN)),
            self.report.receipts.interest(),
            self.report.complaints.interest(),
            self.sender.interest().map(|(fd, flags)| PollFd::new(fd, flags)),
        ];
        let ending = self.ending.map(|(_, until)| until);
        let ending = ending.into_iter().chain(progress);
        let due = self.sender.due().into_iter().chain(ending).min();
        let [signal, input, receipts, complaints, _] = ready(fds, due);
        if signal && let Some(number) = self.interruption.next() {
            self.interrupt(number);
        }
        if self.is_over(Instant::now()) {
            self.sender.abort("interrupted");
        }
        if input {
            self.read_input();
        }
        self.report.write(receipts, complaints);
        receipts || complaints
    }

    /// Handles a signal. After the first, the call sends nothing more, and waits for replies for a short time. After
    /// the second it ends at once.
    fn interrupt(&mut self, signal: u8) {
        let now = Instant::now();
        self.is_urgent = self.ending.is_some();
        // Messages that are withdrawn now go to the spool.
        self.is_away = self.backlog.is_some();
        let until = if self.is_urgent { now } else { now + GRACE };
        self.ending = Some((signal, until));
        self.stop_reading();
        self.sender.withdraw("interrupted");
    }
}

/// Advice for the user of this program.
fn advice(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Client(reason) if reason.contains("not-authenticated") => "; give a token by --token-file",
        _ => "",
    }
}
