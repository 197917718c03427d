//! What a spool holds, on its way to the server, and what comes to it.

use super::spool::{Contents, Name, Spool};
use crate::client::limits::IN_FLIGHT;
use crate::client::{Outcome, Refusal};
use crate::protocol::Priority;
use nix::fcntl::Flock;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::Path;

/// A spool, and the messages in it that this process sends.
#[derive(Debug)]
pub struct Backlog {
    spool: Spool,
    /// None: another process sends what is here.
    sending: Option<Flock<File>>,
    /// Not begun yet, in order.
    waiting: VecDeque<Waiting>,
}

/// A message that may be begun.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    name: Name,
    /// It may have been sent before.
    is_doubtful: bool,
}

/// A message of the spool that may be sent now: a process that is killed from now on leaves it unknown.
#[derive(Debug)]
pub struct Begun {
    /// Which one.
    pub name: Name,
    /// What it says.
    pub text: Vec<u8>,
    /// It may have been sent before.
    pub is_doubtful: bool,
}

/// What a spool was found to hold.
#[derive(Debug)]
pub struct Found {
    /// The spool.
    pub backlog: Backlog,
    /// Messages that a process was killed over, which are not to be sent again: each with its text.
    pub unknown: Vec<(Name, Vec<u8>)>,
}

impl Backlog {
    /// The spool in that directory. What is unknown in it is sent again on request.
    ///
    /// # Errors
    /// Those of the system.
    pub fn open(path: &Path, repeats_unknown: bool) -> io::Result<Found> {
        let spool = Spool::open(path)?;
        let sending = spool.lock_sending()?;
        // What another process sends is its own to tell.
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

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.spool.path()
    }

    /// Whether this process may send what is here.
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
    /// Those of the system. None of them is to be sent then.
    pub fn begin(&mut self, min: Priority) -> io::Result<Vec<Begun>> {
        let mut begun = Vec::new();
        let is_begun = self.begin_into(min, &mut begun).and_then(|()| self.spool.sync());
        if let Err(error) = is_begun {
            for Begun { name, is_doubtful, .. } in begun {
                if !is_doubtful {
                    // What cannot be given back is told as unknown by the next call.
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

    /// Records what became of a message that was begun.
    ///
    /// # Errors
    /// Those of the system. Then it may be told as unknown by the next call.
    pub fn settle(&self, name: &Name, is_doubtful: bool, outcome: &Outcome) -> io::Result<()> {
        match outcome {
            Outcome::Acknowledged(_) | Outcome::Refused(Refusal::Message(_)) => self.spool.remove(name),
            // It stays what it is: unknown.
            Outcome::Unknown(_) => Ok(()),
            Outcome::NotSent(_) | Outcome::Refused(Refusal::Client(_)) if is_doubtful => Ok(()),
            Outcome::NotSent(_) | Outcome::Refused(Refusal::Client(_)) => self.spool.give_back(name),
        }
    }

    /// Nothing more of it is begun.
    pub fn stop(&mut self) {
        self.waiting.clear();
    }

    /// The spool, for what comes to a message.
    pub fn spool(&self) -> &Spool {
        &self.spool
    }
}
