//! The messages of a spool that this process sends, and their outcomes.

use super::name::{Name, State};
use super::spool::{Contents, Spool};
use crate::client::{Outcome, Refusal};
use crate::process_io::file_lock::FileLock;
use crate::protocol::Priority;
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

/// A spool, and the messages in it that this process sends.
#[derive(Debug)]
pub struct Backlog {
    spool: Spool,
    /// Send messages with an unknown outcome again.
    repeats_unknown: bool,
    /// The lock for sending; none: another process holds it.
    sending: Option<FileLock>,
    /// The messages that were not begun yet, in order.
    waiting: VecDeque<Waiting>,
    /// Messages with an unknown outcome: a process was killed while it sent them. They are not sent again.
    unknown: Vec<Name>,
    /// Messages of this call that are in the spool.
    own: BTreeSet<Name>,
}

/// A message that this process may begin.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    name: Name,
    /// It may have been sent before.
    is_doubtful: bool,
}

/// Messages that were taken from the spool.
#[derive(Debug, Default)]
pub struct Batch {
    /// These may be sent now.
    pub begun: Vec<Begun>,
    /// The files of messages that cannot be read, and why. They stay as they were, and are not taken again before the
    /// next [`read`](Backlog::read).
    pub unreadable: Vec<(PathBuf, io::Error)>,
}

/// A message of the spool that may be sent now. If the process is killed from now on, its outcome is unknown.
#[derive(Debug)]
pub struct Begun {
    /// Its name in the spool.
    pub name: Name,
    /// Its text.
    pub text: Vec<u8>,
    /// It may have been sent before.
    pub is_doubtful: bool,
}

impl Backlog {
    /// Opens the spool in that directory. With `repeats_unknown`, messages with an unknown outcome are sent again.
    ///
    /// # Errors
    /// Those of the system.
    pub fn open(path: &Path, repeats_unknown: bool) -> io::Result<Self> {
        let spool = Spool::open(path)?;
        let mut backlog = Self {
            spool,
            repeats_unknown,
            sending: None,
            waiting: VecDeque::new(),
            unknown: Vec::new(),
            own: BTreeSet::new(),
        };
        backlog.read()?;
        Ok(backlog)
    }

    /// Reads which messages are there now, if this process may send them. Call it when no message of the spool is in
    /// flight.
    ///
    /// # Errors
    /// Those of the system.
    pub fn read(&mut self) -> io::Result<()> {
        if self.sending.is_none() {
            self.sending = self.spool.lock_sending()?;
        }
        // If another process sends, it also reports the outcomes.
        let Contents { kept, sent } =
            if self.sending.is_some() { self.spool.contents()? } else { Contents::default() };
        let of = |is_doubtful: bool| move |name: Name| Waiting { name, is_doubtful };
        let mut waiting: Vec<Waiting> = kept.into_iter().map(of(false)).collect();
        if self.repeats_unknown {
            waiting.extend(sent.into_iter().map(of(true)));
            waiting.sort_by_key(|waiting| waiting.name);
        } else {
            self.unknown = sent;
        }
        self.waiting = waiting.into();
        Ok(())
    }

    /// The messages with an unknown outcome, which are not sent again.
    pub fn unknown(&self) -> &[Name] {
        &self.unknown
    }

    /// The text of a message with an unknown outcome.
    ///
    /// # Errors
    /// Those of the system.
    pub fn text(&self, name: &Name) -> io::Result<Vec<u8>> {
        self.spool.text(name, State::Sent)
    }

    /// The file of a message with an unknown outcome.
    pub fn file(&self, name: &Name) -> PathBuf {
        self.spool.file(name, State::Sent)
    }

    /// The path of the directory.
    pub fn path(&self) -> &Path {
        self.spool.path()
    }

    /// Whether this process may send the messages of the spool.
    pub fn may_send(&self) -> bool {
        self.sending.is_some()
    }

    /// Whether a message of at least that priority waits to be begun.
    pub fn has(&self, min: Priority) -> bool {
        self.waiting.front().is_some_and(|waiting| waiting.name.priority() >= min)
    }

    /// How many messages wait to be begun.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Takes messages of at least that priority from the spool, at most so many.
    ///
    /// # Errors
    /// Those of the system. Then the caller must send none of them.
    pub fn begin(&mut self, min: Priority, count_max: usize) -> io::Result<Batch> {
        let mut batch = Batch::default();
        let is_begun = self.begin_into(min, count_max, &mut batch).and_then(|()| self.spool.sync());
        if let Err(error) = is_begun {
            for Begun { name, is_doubtful, .. } in batch.begun {
                if !is_doubtful {
                    // If this fails too, the next call reports the message as unknown.
                    let _ = self.spool.give_back(&name);
                }
            }
            return Err(error);
        }
        Ok(batch)
    }

    fn begin_into(&mut self, min: Priority, count_max: usize, batch: &mut Batch) -> io::Result<()> {
        while batch.begun.len() + batch.unreadable.len() < count_max && self.has(min) {
            let Some(Waiting { name, is_doubtful }) = self.waiting.pop_front() else { break };
            let state = if is_doubtful { State::Sent } else { State::Kept };
            // Before anything is changed: a file that cannot be read stays as it is.
            match self.spool.text(&name, state) {
                Err(error) => batch.unreadable.push((self.spool.file(&name, state), error)),
                Ok(text) => {
                    if !is_doubtful {
                        self.spool.begin(&name)?;
                    }
                    batch.begun.push(Begun { name, text, is_doubtful });
                }
            }
        }
        Ok(())
    }

    /// Keeps a message of this call, with the `wait` of [`Spool::keep`]. It is not sent before the next
    /// [`read`](Self::read).
    ///
    /// # Errors
    /// Those of [`Spool::keep`].
    pub fn keep(
        &mut self,
        priority: Priority,
        text: &[u8],
        wait: impl FnOnce(BorrowedFd<'_>) -> bool,
    ) -> io::Result<()> {
        self.own.insert(self.spool.keep(priority, text, wait)?);
        Ok(())
    }

    /// How many messages of this call are kept, and have no other outcome.
    pub fn kept(&self) -> usize {
        self.own.len()
    }

    /// Whether this call has kept the message.
    pub fn is_own(&self, name: &Name) -> bool {
        self.own.contains(name)
    }

    /// Records the outcome of a message that was begun.
    ///
    /// # Errors
    /// Those of the system. Then the next call may report the message as unknown.
    pub fn settle(&mut self, name: &Name, is_doubtful: bool, outcome: &Outcome) -> io::Result<()> {
        let is_kept_on = matches!(outcome, Outcome::NotSent(_) | Outcome::Refused(Refusal::Client(_)));
        if !is_kept_on {
            self.own.remove(name);
        }
        match outcome {
            Outcome::Acknowledged(_) | Outcome::Refused(Refusal::Message(_)) => self.spool.remove(name),
            // The message keeps its name in the spool, and so stays unknown.
            Outcome::Unknown(_) => Ok(()),
            _ if is_doubtful => Ok(()),
            _ => self.spool.give_back(name),
        }
    }

    /// From now on begins no more messages.
    pub fn stop(&mut self) {
        self.waiting.clear();
    }

    /// Syncs the spool. Once this returns, all recorded outcomes survive a loss of power.
    ///
    /// # Errors
    /// Those of the system.
    pub fn sync(&self) -> io::Result<()> {
        self.spool.sync()
    }
}
