//! Logs changes of the journal's state while the server writes to it: each change once.

use crate::journal::names::NAMES;
use crate::journal::ring::ForeignFiles;
use crate::journal::rotation::Refusals;
use crate::limits::JOURNAL_SEGMENTS;
use nix::errno::Errno;

/// The state of the journal as the log last reported it.
pub struct JournalLog {
    /// The last commit failed.
    is_failing: bool,
    /// The disk holds another journal in place of this one.
    is_foreign: bool,
    /// Why each file cannot be written to.
    refusals: Refusals,
    /// Which files hold messages of another journal.
    foreign_files: ForeignFiles,
}

impl Default for JournalLog {
    fn default() -> Self {
        Self::new()
    }
}

impl JournalLog {
    /// Nothing has been logged.
    pub const fn new() -> Self {
        Self {
            is_failing: false,
            is_foreign: false,
            refusals: [None; JOURNAL_SEGMENTS],
            foreign_files: [false; JOURNAL_SEGMENTS],
        }
    }

    /// Whether the last commit failed.
    pub fn is_failing(&self) -> bool {
        self.is_failing
    }

    /// After the files were reopened: if they belong to another journal, logs that. The sink notices any other failure
    /// when it writes to the journal.
    pub fn after_reopening(&mut self, result: Result<(), Errno>) {
        let is_foreign = result == Err(Errno::EMEDIUMTYPE);
        if is_foreign && !self.is_foreign {
            log::error!(
                "--journal: this disk holds another journal, which stays as it is; put the right one there, or start again to go \
                 on with that one"
            );
        }
        self.is_foreign = is_foreign;
    }

    /// After a commit or a sync: if the disk has failed, or works again, logs that.
    pub fn after_commit(&mut self, result: Result<(), Errno>) {
        match result {
            Err(errno) if !self.is_failing => {
                self.is_failing = true;
                log::error!("--journal: {}; messages get NAK journal-failed until it works", errno.desc());
            }
            Ok(()) if self.is_failing => {
                self.is_failing = false;
                log::warn!("--journal: the disk works again");
            }
            _ => {}
        }
    }

    /// Logs which files hold messages of another journal, and when one of them is overwritten.
    pub fn foreign_files(&mut self, foreign_files: &ForeignFiles) {
        for ((name, logged), is_foreign) in NAMES.iter().zip(self.foreign_files).zip(foreign_files) {
            match (logged, is_foreign) {
                (false, true) => log::warn!(
                    "--journal: {name} holds messages of another journal; move it away to keep them: it is written over when no file \
                     is empty any more"
                ),
                (true, false) => {
                    log::warn!("--journal: {name} held messages of another journal, and is written over now");
                }
                _ => {}
            }
        }
        self.foreign_files = *foreign_files;
    }

    /// Logs which files cannot be written to, and when they can again.
    pub fn unwritable_files(&mut self, refusals: &Refusals) {
        for ((name, logged), refusal) in NAMES.iter().zip(self.refusals).zip(refusals) {
            match refusal {
                Some(errno) if logged.is_none() => log::error!(
                    "--journal: {name} cannot be written: {}; the next file takes its place, and the history is shorter by it",
                    errno.desc()
                ),
                None if logged.is_some() => log::warn!("--journal: {name} can be written again"),
                _ => {}
            }
        }
        self.refusals = *refusals;
    }
}
