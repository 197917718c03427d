//! The log of the command, on standard error.

use super::limits::{IGNORED_LINES_MAX, IGNORED_PAUSE};
use crate::client::shown::shown;
use crate::counted::Counted;
use crate::process_io::output::Output;
use nix::poll::PollFd;
use std::fmt::Display;
use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

/// Lines for people. If nobody reads them, lines are dropped and counted.
#[derive(Debug)]
pub struct Log {
    output: Output,
    dropped: u64,
    /// When the current period of counting ignored lines ends.
    period_end: Option<Instant>,
    /// How many lines of programs were ignored in the current period.
    ignored: u64,
}

impl Log {
    /// A log that writes to that descriptor. Its messages call it standard error.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new(to: &impl AsFd) -> io::Result<Self> {
        Ok(Self { output: Output::new(to)?, dropped: 0, period_end: None, ignored: 0 })
    }

    /// Logs a line.
    pub fn tell(&mut self, what: impl Display) {
        if !self.output.has_room() {
            self.dropped += 1;
            return;
        }
        if self.dropped > 0 {
            let dropped = Counted(std::mem::take(&mut self.dropped), "line");
            self.output.push(format_args!("firstline: {dropped} not shown: standard error takes no more"));
        }
        self.output.push(format_args!("firstline: {what}"));
    }

    /// Logs that a line of a program is ignored, for the first [`IGNORED_LINES_MAX`] lines of a period. Counts the
    /// others.
    pub fn tell_ignored(&mut self, line: &[u8], now: Instant) {
        if self.period_end.is_none_or(|end| now >= end) {
            let more = self.ignored.saturating_sub(IGNORED_LINES_MAX);
            (self.period_end, self.ignored) = (Some(now + IGNORED_PAUSE), 0);
            if more > 0 {
                self.tell(format_args!("PROGRAM wrote {} more that were ignored", Counted(more, "line")));
            }
        }
        self.ignored += 1;
        if self.ignored <= IGNORED_LINES_MAX {
            let line = shown(&String::from_utf8_lossy(line));
            self.tell(format_args!(
                "ignored, because PROGRAM says READY 1, ok, no or later on its standard output: {line:?}"
            ));
        }
    }

    /// Whether everything is written.
    pub fn is_written(&self) -> bool {
        self.output.is_empty()
    }

    /// What to poll before [`write`](Self::write); `None`: nothing is left to write.
    pub fn interest(&self) -> Option<PollFd<'_>> {
        self.output.interest()
    }

    /// Writes once.
    pub fn write(&mut self) {
        // An error of standard error cannot be reported anywhere.
        let _ = self.output.write();
    }
}
