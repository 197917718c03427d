//! The output: receipts on standard output, complaints and progress on standard error. Also counts the outcomes.

use super::tag::Which;
use super::tally::Tally;
use crate::client::shown::described;
use crate::client::{Outcome, Receipt, Refusal};
use crate::counted::Counted;
use crate::process_io::advice::advice;
use crate::process_io::output::Output;
use crate::process_io::progress::Progress;
use std::fmt::{self, Display};
use std::io::{self, stderr, stdout};
use std::time::Instant;

/// The output, and the counts of the outcomes.
#[derive(Debug)]
pub struct Report {
    /// The IDs of acknowledged messages.
    pub receipts: Output,
    /// Lines about what went wrong.
    pub complaints: Output,
    /// The counts of the outcomes.
    pub tally: Tally,
    progress: Progress,
    /// Whether the current trouble was reported.
    tells_trouble: bool,
}

impl Report {
    /// A report on standard output and standard error.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> io::Result<Self> {
        let (receipts, complaints) = (Output::new(&stdout())?, Output::new(&stderr())?);
        let progress = Progress::new(Instant::now());
        Ok(Self { receipts, complaints, tally: Tally::default(), progress, tells_trouble: false })
    }

    /// Whether there is room for the output of another message.
    pub fn has_room(&self) -> bool {
        self.receipts.has_room() && self.complaints.has_room()
    }

    /// Whether everything is written.
    pub fn is_written(&self) -> bool {
        self.receipts.is_empty() && self.complaints.is_empty()
    }

    fn acknowledge(&mut self, receipt: &Receipt) {
        self.receipts.push(receipt);
    }

    /// Records that the server has answered, so that the next trouble is reported again.
    pub fn end_trouble(&mut self) {
        self.tells_trouble = false;
    }

    /// Reports why messages are late, but only once before the next [`end_trouble`](Self::end_trouble).
    pub fn tell_trouble(&mut self, trouble: &str, until: impl Display) {
        if !self.tells_trouble {
            self.tells_trouble = true;
            self.complain(format_args!("not sent yet: {trouble}; trying again{until}"));
        }
    }

    /// Shows the progress if an update is due. Returns when to call this again.
    pub fn tell_progress(&mut self) -> Option<Instant> {
        let tally = self.tally;
        if let Some(line) = self.progress.show(Instant::now(), tally.acknowledged, || tally.to_string()) {
            self.complaints.push_part(&line);
        }
        self.progress.due()
    }

    /// Erases the progress.
    pub fn end_progress(&mut self) {
        self.complaints.push_part(self.progress.erase());
    }

    /// Reports the outcome of a message of this call, and counts it.
    pub fn tell(&mut self, which: Which, outcome: &Outcome) {
        self.tally.count(outcome);
        match outcome {
            Outcome::Acknowledged(receipt) => self.acknowledge(receipt),
            failure => self.complain_of(which, Told(failure)),
        }
    }

    /// Reports the outcome of a message of the spool, and counts it. `said` identifies the message to the user. Its
    /// receipt is printed only if it `is_own`: then this call was asked to send it.
    pub fn tell_kept(&mut self, said: impl Display, is_doubtful: bool, outcome: &Outcome, is_own: bool) {
        self.tally.count(outcome);
        match outcome {
            Outcome::Acknowledged(receipt) => {
                self.tally.maybe_doubled += u64::from(is_doubtful && !receipt.may_be_doubled);
                if is_own {
                    self.acknowledge(receipt);
                }
            }
            failure => self.complain(format_args!("{}: kept message {said}", Told(failure))),
        }
    }

    /// Prints a complaint about that message.
    pub fn complain_of(&mut self, which: Which, what: impl Display) {
        match which {
            Which::Line(line) => self.complain(format_args!("line {line}: {what}")),
            Which::Only | Which::Kept { .. } => self.complain(what),
        }
    }

    /// Prints a complaint.
    pub fn complain(&mut self, what: impl Display) {
        self.end_progress();
        self.complaints.push(format_args!("firstline: {what}"));
    }

    /// Reports that the input cannot be read, the receipts cannot be written, or the spool cannot be used. The exit
    /// code will be a failure.
    pub fn fail(&mut self, of: impl Display, error: &io::Error) {
        self.tally.has_failed = true;
        self.complain(format_args!("{of}: {}", described(error)));
    }

    /// Prints the tally, and after which line reading stopped, if it stopped early.
    pub fn sum_up(&mut self, unread_from: Option<u64>) {
        let tally = self.tally;
        match unread_from {
            Some(line) => self.complain(format_args!("{tally}; the input after line {line} was not read")),
            None => self.complain(tally),
        }
    }

    /// Reports how many messages the server may have processed twice.
    pub fn tell_doubles(&mut self) {
        if self.tally.maybe_doubled > 0 {
            let count = Counted(self.tally.maybe_doubled, "message");
            self.complain(format_args!(
                "{count} may be there twice: sent again, because the first answer was lost"
            ));
        }
    }

    /// Writes once to each output that is ready.
    pub fn write(&mut self, is_stdout_ready: bool, is_stderr_ready: bool) {
        if is_stdout_ready && let Err(error) = self.receipts.write() {
            self.fail("standard output", &error);
        }
        if is_stderr_ready {
            // An error of standard error cannot be reported anywhere.
            let _ = self.complaints.write();
        }
    }
}

/// Why a message was not acknowledged, for the user.
struct Told<'a>(&'a Outcome);

impl Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Outcome::Acknowledged(receipt) => receipt.fmt(f),
            Outcome::Refused(Refusal::Client(reason)) => write!(f, "refused: {reason}{}", advice(reason)),
            Outcome::Refused(Refusal::Message(reason)) => write!(f, "refused: {reason}"),
            Outcome::Unknown(reason) => write!(f, "unknown, because it was sent and not answered: {reason}"),
            Outcome::NotSent(reason) => write!(f, "not sent: {reason}"),
        }
    }
}
