//! Answers of more than one line: `/who`, `/stats`, `/help`. They are made line by line as the outbox has room, so
//! that none of them needs a buffer of its own, however many clients or counters there are.

use crate::clock;
use crate::conn_id::ConnId;
use crate::hub::Hub;
use crate::hub::stats::Snapshot;
use crate::limits::CLIENTS;
use crate::protocol::command::HELP;
use crate::protocol::reply::{self, Line};
use crate::queue::{Chain, Slot};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Who is connected.
    Who,
    /// The server's counters.
    Stats,
    /// The commands.
    Help,
}

/// An listing that is under way.
pub struct Listing {
    subject: Subject,
    /// Where it goes on: a seat, or the number of a line.
    next: usize,
    /// The line that asked.
    line: u64,
    /// Its slot, which reserves the room for the closing `OK`.
    slot: &'static mut Slot,
}

impl Listing {
    /// The listing to the command in line `line`, which occupies `slot`.
    pub fn new(subject: Subject, line: u64, slot: &'static mut Slot) -> Self {
        Self { subject, next: 0, line, slot }
    }

    /// Goes on, until it is complete (none) or there is no room in the outbox of `seat` (itself, for later).
    pub fn go_on(mut self, hub: &Hub, conn: ConnId) -> Option<Self> {
        // Taken at most once a turn: it reads the whole queue.
        let mut snapshot = None;
        while let Some((line, next)) = self.line_from(hub, &mut snapshot) {
            if !hub.outboxes[conn].lock().push_line(&line) {
                return Some(self);
            }
            self.next = next;
        }
        hub.outboxes[conn].lock().reply(Chain::of(self.slot), |out| reply::ok(out, self.line));
        None
    }

    /// Its slot, for one that nobody waits for any more.
    pub fn into_slot(self) -> &'static mut Slot {
        self.slot
    }

    /// The next line, and where the one after it is.
    fn line_from(&self, hub: &Hub, snapshot: &mut Option<Snapshot>) -> Option<(Line, usize)> {
        let next = self.next;
        match self.subject {
            Subject::Who => {
                ConnId::range(next..CLIENTS).find_map(|conn| Some((who(hub, conn)?, conn.index() + 1)))
            }
            Subject::Stats => {
                let (name, value, next) = snapshot.get_or_insert_with(|| Snapshot::take(hub)).line(next)?;
                Some((reply::stat(&name, value), next))
            }
            Subject::Help => Some((reply::help(HELP.get(next)?), next + 1)),
        }
    }
}

/// The `WHO` line of a seat, if somebody is connected there.
fn who(hub: &Hub, conn: ConnId) -> Option<Line> {
    let name = hub.clients.lock().connected(conn)?;
    let (joined, heard_ns) = {
        let outbox = hub.outboxes[conn].lock();
        (outbox.joined().or(outbox.follows()), outbox.heard_ns())
    };
    let idle_s = clock::now_ns().saturating_sub(heard_ns) / 1_000_000_000;
    Some(reply::who(&name, joined, idle_s))
}
