//! The messages of a spool that this process sends, and their outcomes.

use super::spool::{Contents, Name, Spool};
use crate::client::limits::IN_FLIGHT;
use crate::client::{Outcome, Refusal};
use crate::process_io::file_lock::FileLock;
use crate::protocol::Priority;
use std::collections::VecDeque;
use std::io;
use std::path::Path;

/// A spool, and the messages in it that this process sends.
#[derive(Debug)]
pub struct Backlog {
    spool: Spool,
    /// The lock for sending; none: another process holds it.
    sending: Option<FileLock>,
    /// The messages that were not begun yet, in order.
    waiting: VecDeque<Waiting>,
}

/// A message that this process may begin.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    name: Name,
    /// It may have been sent before.
    is_doubtful: bool,
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

/// The content of a spool when it was opened.
#[derive(Debug)]
pub struct Found {
    /// The spool.
    pub backlog: Backlog,
    /// Messages with an unknown outcome, each with its text: a process was killed while it sent them. They are not
    /// sent again.
    pub unknown: Vec<(Name, Vec<u8>)>,
}

impl Backlog {
    /// Opens the spool in that directory. With `repeats_unknown`, messages with an unknown outcome are sent again.
    ///
    /// # Errors
    /// Those of the system.
    pub fn open(path: &Path, repeats_unknown: bool) -> io::Result<Found> {
        let spool = Spool::open(path)?;
        let sending = spool.lock_sending()?;
        // If another process sends, it also reports the outcomes.
        let Contents { kept, sent } = if sending.is_some() { spool.contents()? } else { Contents::default() };
        let of = |is_doubtful: bool| move |name: &Name| Waiting { name: *name, is_doubtful };
        let mut waiting: Vec<Waiting> = kept.iter().map(of(false)).collect();
        let mut unknown = Vec::new();
        if repeats_unknown {
            waiting.extend(sent.iter().map(of(true)));
            waiting.sort_by_key(|waiting| waiting.name);
        } else {
            unknown = sent.iter().map(|name| Ok((*name, spool.text(name)?))).collect::<io::Result<_>>()?;
        }
        Ok(Found { backlog: Self { spool, sending, waiting: waiting.into() }, unknown })
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

    /// Begins messages of at least that priority, as many as are sent at a time.
    ///
    /// # Errors
    /// Those of the system. Then the caller must send none of them.
    pub fn begin(&mut self, min: Priority) -> io::Result<Vec<Begun>> {
        let mut begun = Vec::new();
        let is_begun = self.begin_into(min, &mut begun).and_then(|()| self.spool.sync());
        if let Err(error) = is_begun {
            for Begun { name, is_doubtful, .. } in begun {
                if !is_doubtful {
                    // If this fails too, the next call reports the message as unknown.
                    let _ = self.spool.give_back(&name);
                }
            }
            return Err(error);
        }
        Ok(begun)
    }

    fn begin_into(&mut self, min: Priority, begun: &mut Vec<Begun>) -> io::Result<()> {
        while begun.len() < IN_FLIGHT && self.has(min) {
            let Some(Waiting { name, is_doubtful }) = self.waiting.pop_front() else { break };
            if !is_doubtful {
                self.spool.begin(&name)?;
            }
            begun.push(Begun { name, text: Vec::new(), is_doubtful });
        }
        for Begun { name, text, .. } in begun {
            *text = self.spool.text(name)?;
        }
        Ok(())
    }

    /// Records the outcome of a message that was begun.
    ///
    /// # Errors
    /// Those of the system. Then the next call may report the message as unknown.
    pub fn settle(&self, name: &Name, is_doubtful: bool, outcome: &Outcome) -> io::Result<()> {
        match outcome {
            Outcome::Acknowledged(_) | Outcome::Refused(Refusal::Message(_)) => self.spool.remove(name),
            // The message keeps its name in the spool, and so stays unknown.
            Outcome::Unknown(_) => Ok(()),
            Outcome::NotSent(_) | Outcome::Refused(Refusal::Client(_)) if is_doubtful => Ok(()),
            Outcome::NotSent(_) | Outcome::Refused(Refusal::Client(_)) => self.spool.give_back(name),
        }
    }

    /// From now on begins no more messages.
    pub fn stop(&mut self) {
        self.waiting.clear();
    }

    /// The spool itself.
    pub fn spool(&self) -> &Spool {
        &self.spool
    }
}
