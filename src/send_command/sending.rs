//! The client, the input, the outputs and the signals in one thread, which waits for all of them in one poll.

use super::input::{Input, Line};
use super::interruption::Interruption;
use super::output::Output;
use super::tally::{Tally, Verdict};
use crate::client::limits::TEXT_BYTES_MAX;
use crate::client::sender::poll_timeout;
use crate::client::shown::described;
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

/// Messages on their way, and what is told of them.
pub struct Sending {
    /// Each message has the number of its line; 0: it is the only one.
    sender: Sender<u64>,
    timeout: Option<Duration>,
    interruption: Interruption,
    /// None: there is none, or nothing of it is wanted any more.
    input: Option<Input>,
    priority: Priority,
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
        sender: Sender<u64>,
        timeout: Option<Duration>,
        interruption: Interruption,
    ) -> io::Result<Self> {
        Ok(Self {
            sender,
            timeout,
            interruption,
            input: None,
            priority: Priority::NORMAL,
            receipts: Output::new(&stdout())?,
            complaints: Output::new(&stderr())?,
            tally: Tally::default(),
            unread_from: None,
            tells_trouble: false,
            ending: None,
            is_urgent: false,
        })
    }

    /// Sends one message.
    pub fn send(mut self, message: Message) -> Verdict {
        self.sender.push(0, message);
        self.run();
        self.finish()
    }

    /// Sends each line of the input with that priority.
    pub fn send_lines(mut self, input: Input, priority: Priority) -> Verdict {
        (self.input, self.priority) = (Some(input), priority);
        self.run();
        if !self.tally.is_well() || self.ending.is_some() {
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
            if self.take_lines() {
                continue;
            }
            if self.input.is_none() && self.sender.is_empty() {
                // Closes the connection: nobody looks after it any more.
                self.sender.abort("done");
                return;
            }
            self.wait();
        }
    }

    /// What is still to be written is written, and what it all came to.
    fn finish(mut self) -> Verdict {
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

    // ---- Lines in --------------------------------------------------------------------------------------

    /// Pushes the lines that are there, as many as have room; true: there was one.
    fn take_lines(&mut self) -> bool {
        let Some(input) = &mut self.input else { return false };
        let before = input.lines();
        while self.sender.has_room() && self.receipts.has_room() && self.complaints.has_room() {
            let Some((number, line)) = input.next() else { break };
            match line {
                Line::TooLong => {
                    self.tally.refused += 1;
                    let reason = format!("too-long: it has more than {TEXT_BYTES_MAX} bytes");
                    self.complaints.push(&complaint(number, format_args!("refused: {reason}")));
                }
                Line::Text(text) => {
                    // A line of the input is a text: neither empty, nor too long, nor with a line break.
                    if let Ok(message) = Message::new(self.priority, text) {
                        self.sender.push(number, message);
                    }
                }
            }
        }
        let has_taken = input.lines() > before;
        if input.is_over() {
            self.input = None;
        }
        has_taken
    }

    /// Whether another line may be taken.
    fn has_room(&self) -> bool {
        self.sender.has_room() && self.receipts.has_room() && self.complaints.has_room()
    }

    fn read_input(&mut self) {
        let Some(Err(error)) = self.input.as_mut().map(Input::read) else { return };
        self.tally.input_failed = true;
        self.complain(format_args!("standard input: {}", described(&error)));
    }

    /// Nothing of the input is wanted any more.
    fn stop_reading(&mut self) {
        if let Some(input) = self.input.take() {
            self.unread_from = Some(input.lines());
        }
    }

    // ---- What became of them ----------------------------------------------------------------------------

    fn settle(&mut self) {
        while let Some((line, outcome)) = self.sender.take_outcome() {
            self.tally.count(&outcome);
            match outcome {
                Outcome::Acknowledged(receipt) => {
                    self.tells_trouble = false;
                    self.receipts.push(&receipt.to_string());
                }
                Outcome::Refused(refusal) => {
                    self.complain_of(line, format_args!("refused: {refusal}{}", advice(&refusal)));
                    if matches!(refusal, Refusal::Client(_)) {
                        self.stop_reading();
                    }
                }
                Outcome::Unknown(reason) => {
                    self.complain_of(
                        line,
                        format_args!("unknown, for it was sent and not answered: {reason}"),
                    );
                }
                Outcome::NotSent(reason) => self.complain_of(line, format_args!("not sent: {reason}")),
            }
        }
        if self.sender.has_given_up() {
            self.stop_reading();
        }
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

    fn complain_of(&mut self, line: u64, what: impl Display) {
        self.complaints.push(&complaint(line, what));
    }

    fn complain(&mut self, what: impl Display) {
        self.complain_of(0, what);
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

/// A line of standard error; of line 0 it is not told which.
fn complaint(line: u64, what: impl Display) -> String {
    match line {
        0 => format!("firstline: {what}"),
        _ => format!("firstline: line {line}: {what}"),
    }
}
