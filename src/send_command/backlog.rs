//! The messages of a spool that this process may send, and the records of their outcomes.

use super::name::{Name, State};
use super::spool::{Contents, Spool};
use crate::client::{Outcome, Refusal};
use crate::process_io::file_lock::FileLock;
use crate::protocol::Priority;
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

/// A spool, and the messages in it that this process may send.
#[derive(Debug)]
pub struct Backlog {
    spool: Spool,
    /// Whether to repeat messages with an unknown outcome.
    repeats_unknown: bool,
    /// The lock for sending; `None`: another process holds it, or this one has no message of the spool to send.
    sending: Option<FileLock>,
    /// How many messages were taken and have no outcome.
    taken: usize,
    /// The messages that were not taken yet, in the order of sending.
    waiting: VecDeque<Waiting>,
    /// Messages with an unknown outcome, which are not repeated. A process recorded that it would send them, and then
    /// recorded no outcome.
    unknown: Vec<Name>,
    /// The messages that this call has put in the spool.
    own: BTreeSet<Name>,
}

/// A message that this process may take.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    name: Name,
    /// An earlier process may have sent it.
    is_doubtful: bool,
}

/// Messages that were taken from the spool.
#[derive(Debug, Default)]
pub struct Batch {
    /// The messages to send now.
    pub begun: Vec<Begun>,
    /// The files of messages that cannot be read, with the reason. The files do not change, and the messages are not
    /// taken again before the next [`read`](Backlog::read).
    pub unreadable: Vec<(PathBuf, io::Error)>,
}

/// A message of the spool that may be sent now. If the process is killed before it records the outcome, the outcome is
/// unknown.
#[derive(Debug)]
pub struct Begun {
    /// Its name in the spool.
    pub name: Name,
    /// Its text.
    pub text: Vec<u8>,
    /// An earlier process may have sent it.
    pub is_doubtful: bool,
}

impl Backlog {
    /// Opens the spool in that directory. With `repeats_unknown`, messages with an unknown outcome are repeated.
    ///
    /// # Errors
    /// An I/O error.
    pub fn open(path: &Path, repeats_unknown: bool) -> io::Result<Self> {
        let spool = Spool::open(path)?;
        let mut backlog = Self {
            spool,
            repeats_unknown,
            sending: None,
            taken: 0,
            waiting: VecDeque::new(),
            unknown: Vec::new(),
            own: BTreeSet::new(),
        };
        backlog.read()?;
        Ok(backlog)
    }

    /// Reads which messages the spool contains now, if this process may send them. Call it when no message of the spool
    /// is in flight.
    ///
    /// # Errors
    /// An I/O error.
    pub fn read(&mut self) -> io::Result<()> {
        if self.sending.is_none() {
            self.sending = self.spool.lock_sending()?;
        }
        // A process that holds the lock for sending also reports the outcomes.
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

    /// The messages with an unknown outcome, which are not repeated.
    pub fn unknown(&self) -> &[Name] {
        &self.unknown
    }

    /// The text of a message with an unknown outcome.
    ///
    /// # Errors
    /// An I/O error.
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

    /// Whether a message of at least that priority can be taken.
    pub fn has(&self, min: Priority) -> bool {
        self.waiting.front().is_some_and(|waiting| waiting.name.priority() >= min)
    }

    /// How many messages were not taken yet.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Takes at most `count_max` messages of at least that priority, and records that they are about to be sent.
    ///
    /// # Errors
    /// An I/O error. The caller must then send none of the messages.
    pub fn begin(&mut self, min: Priority, count_max: usize) -> io::Result<Batch> {
        let mut batch = Batch::default();
        let is_begun = self.begin_into(min, count_max, &mut batch).and_then(|()| self.spool.sync());
        if let Err(error) = is_begun {
            for Begun { name, is_doubtful, .. } in batch.begun {
                if !is_doubtful {
                    // If this fails too, the message counts as unknown.
                    let _ = self.spool.give_back(&name);
                }
            }
            return Err(error);
        }
        self.taken += batch.begun.len();
        Ok(batch)
    }

    fn begin_into(&mut self, min: Priority, count_max: usize, batch: &mut Batch) -> io::Result<()> {
        while batch.begun.len() + batch.unreadable.len() < count_max && self.has(min) {
            let Some(Waiting { name, is_doubtful }) = self.waiting.pop_front() else { break };
            let state = if is_doubtful { State::Sent } else { State::Kept };
            // The text is read before the file is renamed, so a file that cannot be read does not change.
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

    /// Puts a message of this call in the spool. For `wait`, see [`Spool::keep`]. The message is not sent before the
    /// next [`read`](Self::read).
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

    /// How many messages of this call are in the spool without another outcome.
    pub fn kept(&self) -> usize {
        self.own.len()
    }

    /// Whether this call has put the message in the spool.
    pub fn is_own(&self, name: &Name) -> bool {
        self.own.contains(name)
    }

    /// Records the outcome of a message that was taken.
    ///
    /// # Errors
    /// An I/O error. The message may then count as unknown.
    pub fn settle(&mut self, name: &Name, is_doubtful: bool, outcome: &Outcome) -> io::Result<()> {
        self.taken -= 1;
        let is_kept_on = matches!(outcome, Outcome::NotSent(_) | Outcome::Refused(Refusal::Client(_)));
        if !is_kept_on {
            self.own.remove(name);
        }
        match outcome {
            Outcome::Acknowledged(_) | Outcome::Refused(Refusal::Message(_)) => self.spool.remove(name),
            // The file keeps its name, so the message stays unknown.
            Outcome::Unknown(_) => Ok(()),
            _ if is_doubtful => Ok(()),
            _ => self.spool.give_back(name),
        }
    }

    /// Takes no more messages before the next [`read`](Self::read).
    pub fn stop(&mut self) {
        self.waiting.clear();
    }

    /// Releases the lock for sending if this process has no message of the spool to send. Otherwise a process that
    /// waits for input would keep others from sending for days.
    pub fn release_if_idle(&mut self) {
        if self.taken == 0 && self.waiting.is_empty() {
            self.sending = None;
        }
    }

    /// Syncs the spool. After this returns, all recorded outcomes survive a loss of power.
    ///
    /// # Errors
    /// An I/O error.
    pub fn sync(&self) -> io::Result<()> {
        self.spool.sync()
    }
}
