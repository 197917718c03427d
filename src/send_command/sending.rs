//! The client, the input, the outputs and the signals in one thread, which waits for all of them in one poll.

use super::backlog::{Backlog, Begun, Found};
use super::input::{Input, Line};
use super::report::Report;
use super::spool::Name;
use super::tag::{Tag, Which};
use super::tally::Verdict;
use crate::client::limits::TEXT_BYTES_MAX;
use crate::client::sender::poll_timeout;
use crate::client::shown::{described, shown};
use crate::client::{Message, Outcome, Refusal, Sender};
use crate::process_io::interruption::Interruption;
use crate::process_io::ready::ready;
use crate::protocol::Priority;
use nix::poll::{PollFd, PollFlags};
use std::io;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

/// How long an interruption waits for the answers to what was sent: on a LAN they are there in that time, and more is known.
const GRACE: Duration = Duration::from_secs(1);

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
    report: Report,
    /// What is behind this line was not read.
    unread_from: Option<u64>,
    /// The signal that ended it, and when nothing is waited for any more.
    ending: Option<(u8, Instant)>,
    /// A second signal came.
    is_urgent: bool,
    /// All messages are settled.
    is_finishing: bool,
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
            report: Report::new()?,
            unread_from: None,
            ending: None,
            is_urgent: false,
            is_finishing: false,
        })
    }

    /// Keeps in this spool what is not sent, and sends what it holds. Tells what is unknown in it.
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

    /// Sends what the spool holds.
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
        if let Some(backlog) = &self.backlog
            && let Err(error) = backlog.spool().sync()
        {
            self.report.fail(backlog.path().display(), &error);
        }
        self.report.tell_doubles();
        self.report.end_progress();
        self.is_finishing = true;
        if let Some((_, until)) = &mut self.ending {
            // A second signal came, or else there is as long again.
            *until = if self.is_urgent { *until } else { Instant::now() + GRACE };
        }
        // A reader that does not read holds this up until a signal comes; what is read at once is written even then.
        while !self.report.is_written() {
            if !self.wait() && self.is_over(Instant::now()) {
                break;
            }
        }
        Verdict::new(self.report.tally, self.ending.map(|(signal, _)| signal))
    }

    // ---- Messages in -----------------------------------------------------------------------------------

    /// Whether there are no more messages to begin.
    fn is_all_taken(&self) -> bool {
        let is_kept = self.backlog.as_ref().is_some_and(|backlog| backlog.has(Priority::MIN));
        self.input.is_none() && self.only.is_none() && !is_kept
    }

    /// Pushes messages of the spool: those that are as urgent as what is to be sent go before it, the others when there is
    /// none of it now. True: there was one.
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
            // Nothing that this program has kept.
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

    /// Pushes the lines that are there, as many as have room; true: there was one.
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
                    // A line of the input is a text: neither empty, nor too long, nor with a line break.
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

    /// A message of this call: on its way, or kept if the server is given up.
    fn push(&mut self, which: Which, message: Message) {
        if self.is_away {
            self.keep(which, &message, "the server was given up before");
        } else {
            let kept = self.backlog.as_ref().map(|_| message.clone());
            self.sender.push(Tag { which, message: kept }, message);
        }
    }

    /// Whether another line may be taken.
    fn has_room(&self) -> bool {
        self.sender.has_room() && self.report.has_room()
    }

    fn read_input(&mut self) {
        if let Some(Err(error)) = self.input.as_mut().map(Input::read) {
            self.report.fail("standard input", &error);
        }
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

    /// A message of this call was not sent, for that reason: it is kept.
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

    /// What comes to a message of the spool.
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

    /// What the spool holds waits for another call.
    fn stop_kept(&mut self) {
        let Some(backlog) = &mut self.backlog else { return };
        if self.is_flush {
            self.report.tally.not_sent += backlog.waiting() as u64;
        }
        backlog.stop();
    }

    /// Tells that it takes longer, if so.
    fn tell_trouble(&mut self) {
        let Some(trouble) = self.sender.trouble() else { return };
        let until = self.timeout.map(|timeout| format!(" for up to {} s", timeout.as_secs_f64()));
        self.report.tell_trouble(trouble, until.unwrap_or_default());
    }

    // ---- Waiting ---------------------------------------------------------------------------------------

    fn is_over(&self, now: Instant) -> bool {
        self.ending.is_some_and(|(_, until)| now >= until)
    }

    /// Waits for whatever comes first, and does it; true: something was written.
    fn wait(&mut self) -> bool {
        let now = Instant::now();
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
        self.report.write(receipts, complaints);
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

/// What the user of this program can do about it.
fn advice(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Client(reason) if reason.contains("not-authenticated") => "; give a token by --token-file",
        _ => "",
    }
}
