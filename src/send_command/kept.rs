//! The spool as this call uses it: keeps further messages, records outcomes, and reports both.

use super::backlog::{Backlog, Batch, Begun};
use super::name::Name;
use super::report::Report;
use super::tag::Which;
use crate::client::shown::{described, shown};
use crate::client::{Message, Outcome};
use crate::counted::Counted;
use crate::protocol::Priority;
use std::fmt::Display;
use std::os::fd::BorrowedFd;

/// The messages of a spool.
#[derive(Debug)]
pub struct Kept {
    backlog: Backlog,
    /// Whether the call is a `--flush`: it sends only these messages, and prints their receipts.
    is_flush: bool,
}

impl Kept {
    /// The messages of that backlog. With `is_flush`, the call sends only these.
    pub fn new(backlog: Backlog, is_flush: bool) -> Self {
        Self { backlog, is_flush }
    }

    /// Whether this process may send them.
    pub fn may_send(&self) -> bool {
        self.backlog.may_send()
    }

    /// Whether a message of at least that priority can be taken.
    pub fn has(&self, min: Priority) -> bool {
        self.backlog.has(min)
    }

    /// Takes no more messages before the next [`read`](Self::read), because the server is given up, and reports that.
    pub fn leave(&mut self, report: &mut Report) {
        self.backlog.stop();
        let path = self.backlog.path().display();
        report.complain(format_args!("the server is given up; keeping the input in {path} until it answers"));
    }

    /// Reads which messages the spool contains, because the server answers again.
    pub fn read(&mut self, report: &mut Report) {
        match self.backlog.read() {
            Ok(()) => report.complain("the server answers again; sending what is kept"),
            Err(error) => report.fail(self.backlog.path().display(), &error),
        }
    }

    /// Takes at most `count_max` messages of at least that priority, to send them. After an error, it returns none, and
    /// no more messages are taken.
    pub fn begin(&mut self, min: Priority, count_max: usize, report: &mut Report) -> Vec<Begun> {
        let Batch { begun, unreadable } = self.backlog.begin(min, count_max).unwrap_or_else(|error| {
            self.backlog.stop();
            report.fail(self.backlog.path().display(), &error);
            Batch::default()
        });
        for (file, error) in unreadable {
            report.tally.not_sent += u64::from(self.is_flush);
            let (file, error) = (file.display(), described(&error));
            report.complain(format_args!("not sent: kept message {file} cannot be read: {error}"));
        }
        begun
    }

    /// Keeps a message of this call, because it was not sent for that reason; false: it cannot be kept. For `wait`, see
    /// [`Spool::keep`](super::spool::Spool::keep).
    pub fn keep(
        &mut self,
        which: Which,
        message: &Message,
        reason: &str,
        wait: impl FnOnce(BorrowedFd<'_>) -> bool,
        report: &mut Report,
    ) -> bool {
        let kept = self.backlog.keep(message.priority(), message.text(), wait);
        let path = self.backlog.path().display();
        if let Err(error) = kept {
            report.tally.not_sent += 1;
            let error = described(&error);
            report.complain_of(which, format_args!("not sent: {reason}; nor kept in {path}: {error}"));
            return false;
        }
        report.tally.kept = self.backlog.kept() as u64;
        if matches!(which, Which::Only) {
            report.complain(format_args!("not sent, and kept in {path}: {reason}"));
        }
        true
    }

    /// Records and reports the outcome of a message that was taken. `said` identifies the message to the user.
    pub fn settle(
        &mut self,
        name: Name,
        is_doubtful: bool,
        said: impl Display,
        outcome: &Outcome,
        report: &mut Report,
    ) {
        let is_own = self.is_flush || self.backlog.is_own(&name);
        if let Err(error) = self.backlog.settle(&name, is_doubtful, outcome) {
            report.fail(self.backlog.path().display(), &error);
        }
        report.tally.kept = self.backlog.kept() as u64;
        if !matches!(outcome, Outcome::NotSent(_)) || self.is_flush {
            report.tell_kept(said, is_doubtful, outcome, is_own);
        }
    }

    /// Lets other processes send if this one has no message of the spool to send.
    pub fn release_if_idle(&mut self) {
        self.backlog.release_if_idle();
    }

    /// Takes no more messages from now on.
    pub fn stop(&mut self, report: &mut Report) {
        if self.is_flush {
            report.tally.not_sent += self.backlog.waiting() as u64;
        }
        self.backlog.stop();
    }

    /// Syncs the spool. After this returns, all recorded outcomes survive a loss of power.
    pub fn sync(&self, report: &mut Report) {
        if let Err(error) = self.backlog.sync() {
            report.fail(self.backlog.path().display(), &error);
        }
    }

    /// Reports in one line that earlier calls have left messages with an unknown outcome. This is not a failure of this
    /// call.
    pub fn mention_unknown(&self, report: &mut Report) {
        let count = self.backlog.unknown().len();
        if count == 0 {
            return;
        }
        let (count, path) = (Counted(count as u64, "message"), self.backlog.path().display());
        report.complain(format_args!(
            "{count} in {path} may have been sent by an earlier call; --flush lists them, \
             and --retry sends them again"
        ));
    }

    /// Reports each message with an unknown outcome. Each counts as a failure.
    pub fn tell_unknown(&self, report: &mut Report) {
        for name in self.backlog.unknown() {
            match self.backlog.text(name) {
                Ok(text) => {
                    report.tally.unknown += 1;
                    let text = shown(&String::from_utf8_lossy(&text));
                    let file = self.backlog.file(name);
                    report.complain(format_args!(
                        "unknown, because an earlier call sent it or was about to: {}: {text}; --retry sends it \
                         again, and to forget it remove {}",
                        name.priority(),
                        file.display()
                    ));
                }
                Err(error) => {
                    report.tally.unknown += 1;
                    let (file, error) = (self.backlog.file(name), described(&error));
                    let file = file.display();
                    report.complain(format_args!(
                        "unknown, because an earlier call sent it or was about to: {file} cannot be read: {error}"
                    ));
                }
            }
        }
    }
}
