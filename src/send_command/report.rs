//! What is told: receipts on standard output, complaints on standard error, and the tally.

use super::tag::Which;
use super::tally::Tally;
use crate::client::Receipt;
use crate::client::shown::described;
use crate::counted::Counted;
use crate::process_io::output::Output;
use crate::process_io::progress::Progress;
use std::fmt::Display;
use std::io::{self, stderr, stdout};
use std::time::Instant;

/// What is told of messages.
#[derive(Debug)]
pub struct Report {
    /// The IDs of acknowledged messages.
    pub receipts: Output,
    /// What went wrong.
    pub complaints: Output,
    /// How many came to what.
    pub tally: Tally,
    progress: Progress,
    /// That it takes longer was told.
    tells_trouble: bool,
}

impl Report {
    /// To standard output and standard error.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn new() -> io::Result<Self> {
        let (receipts, complaints) = (Output::new(&stdout())?, Output::new(&stderr())?);
        let progress = Progress::new(Instant::now());
        Ok(Self { receipts, complaints, tally: Tally::default(), progress, tells_trouble: false })
    }

    /// Whether what may still come has room.
    pub fn has_room(&self) -> bool {
        self.receipts.has_room() && self.complaints.has_room()
    }

    /// Whether everything is written.
    pub fn is_written(&self) -> bool {
        self.receipts.is_empty() && self.complaints.is_empty()
    }

    /// A message was acknowledged.
    pub fn acknowledge(&mut self, receipt: &Receipt) {
        self.receipts.push(&receipt.to_string());
    }

    /// The server has answered: trouble that comes now is told anew.
    pub fn end_trouble(&mut self) {
        self.tells_trouble = false;
    }

    /// Tells, once until something is acknowledged, that it takes longer.
    pub fn tell_trouble(&mut self, trouble: &str, until: impl Display) {
        if !self.tells_trouble {
            self.tells_trouble = true;
            self.complain(format_args!("not sent yet: {trouble}; trying again{until}"));
        }
    }

    /// Tells how far it is, if nothing else shows that. Returns when to do so again.
    pub fn tell_progress(&mut self) -> Option<Instant> {
        let tally = self.tally;
        if let Some(line) = self.progress.show(Instant::now(), tally.acknowledged, || tally.to_string()) {
            self.complaints.push_part(&line);
        }
        self.progress.due()
    }

    /// What tells how far it is goes.
    pub fn end_progress(&mut self) {
        self.complaints.push_part(self.progress.erase());
    }

    /// Something is wrong with that message.
    pub fn complain_of(&mut self, which: Which, what: impl Display) {
        match which {
            Which::Line(line) => self.complain(format_args!("line {line}: {what}")),
            Which::Only | Which::Kept { .. } => self.complain(what),
        }
    }

    /// Something is wrong.
    pub fn complain(&mut self, what: impl Display) {
        self.end_progress();
        self.complaints.push(&format!("firstline: {what}"));
    }

    /// What was to be sent cannot be read, or what is kept cannot be changed.
    pub fn fail(&mut self, of: impl Display, error: &io::Error) {
        self.tally.has_failed = true;
        self.complain(format_args!("{of}: {}", described(error)));
    }

    /// Tells what became of how many, and behind which line nothing was read, if so.
    pub fn sum_up(&mut self, unread_from: Option<u64>) {
        let tally = self.tally;
        match unread_from {
            Some(line) => self.complain(format_args!("{tally}; what is behind line {line} was not read")),
            None => self.complain(tally),
        }
    }

    /// Tells how many messages may be there twice.
    pub fn tell_doubles(&mut self) {
        if self.tally.maybe_doubled > 0 {
            let count = Counted(self.tally.maybe_doubled, "message");
            self.complain(format_args!(
                "{count} may be there twice: sent again, because the first answer was lost"
            ));
        }
    }

    /// Writes what its readers take now.
    pub fn write(&mut self, is_stdout_ready: bool, is_stderr_ready: bool) {
        if is_stdout_ready && let Err(error) = self.receipts.write() {
            self.complain(format_args!("standard output: {}", described(&error)));
        }
        if is_stderr_ready {
            // There is nobody to tell.
            let _ = self.complaints.write();
        }
    }
}
