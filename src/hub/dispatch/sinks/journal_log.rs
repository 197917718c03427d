//! What the log tells of the journal while it is written: each thing once, when it changes.

use crate::journal::files::NAMES;
use crate::journal::writer::{Refusals, Strangers};
use crate::limits::JOURNAL_SEGMENTS;
use nix::errno::Errno;

/// What the log has told so far.
pub struct JournalLog {
    /// The last commit failed.
    is_failing: bool,
    /// The files in the journal's place are another's.
    is_anothers: bool,
    /// Why each file cannot be written.
    refusals: Refusals,
    /// Which files hold another journal's messages.
    strangers: Strangers,
}

impl Default for JournalLog {
    fn default() -> Self {
        Self::new()
    }
}

impl JournalLog {
    /// It has told nothing.
    pub const fn new() -> Self {
        Self {
            is_failing: false,
            is_anothers: false,
            refusals: [None; JOURNAL_SEGMENTS],
            strangers: [false; JOURNAL_SEGMENTS],
        }
    }

    /// Whether the last commit failed.
    pub fn is_failing(&self) -> bool {
        self.is_failing
    }

    /// Tells whether the files in the journal's place are another journal's, after they were opened anew. Any other failure shows when the
    /// journal is written.
    pub fn reopened(&mut self, result: Result<(), Errno>) {
        let is_anothers = result == Err(Errno::EMEDIUMTYPE);
        if is_anothers && !self.is_anothers {
            log::error!(
                "--journal: this disk holds another journal, which stays as it is; put the right one there, or start again to go \
                 on with that one"
            );
        }
        self.is_anothers = is_anothers;
    }

    /// Tells whether the disk failed, or works again.
    pub fn committed(&mut self, result: Result<(), Errno>) {
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

    /// Tells which files hold another journal's messages, and when one of them is written over.
    pub fn strangers(&mut self, strangers: &Strangers) {
        for ((name, told), is_stranger) in NAMES.iter().zip(self.strangers).zip(strangers) {
            match (told, is_stranger) {
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
        self.strangers = *strangers;
    }

    /// Tells which files the journal does without.
    pub fn refusals(&mut self, refusals: &Refusals) {
        for ((name, told), refusal) in NAMES.iter().zip(self.refusals).zip(refusals) {
            match refusal {
                Some(errno) if told.is_none() => log::error!(
                    "--journal: {name} cannot be written: {}; the next file takes its place, and the history is shorter by it",
                    errno.desc()
                ),
                None if told.is_some() => log::warn!("--journal: {name} can be written again"),
                _ => {}
            }
        }
        self.refusals = *refusals;
    }
}
