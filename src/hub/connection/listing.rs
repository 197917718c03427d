//! Replies of more than one line: `/who`, `/stats`, `/help`. Each line is made when the outbox has room for it. So no
//! listing needs a buffer of its own, however many clients or counters there are.

use crate::clock;
use crate::conn_id::ConnId;
use crate::hub::Hub;
use crate::hub::stats::Snapshot;
use crate::limits::CLIENTS;
use crate::protocol::command::HELP;
use crate::protocol::reply::{self, Line};
use crate::queue::{Chain, Slot};

/// What a listing lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The clients that are connected.
    Who,
    /// The server's counters.
    Stats,
    /// The commands.
    Help,
}

/// A listing that is under way.
pub struct Listing {
    subject: Subject,
    /// Where it goes on: the index of a connection, a counter or a line of the help.
    next: usize,
    /// The number of the line that asked.
    line: u64,
    /// That line's slot, which reserves the room for the closing `OK`.
    slot: &'static mut Slot,
}

impl Listing {
    /// The listing that line `line` asks for, which has `slot`.
    pub fn new(subject: Subject, line: u64, slot: &'static mut Slot) -> Self {
        Self { subject, next: 0, line, slot }
    }

    /// Puts lines into the outbox of `conn` until the listing is complete or there is no room. Returns the listing if
    /// it has to go on later; none: it is complete.
    pub fn go_on(mut self, hub: &Hub, conn: ConnId) -> Option<Self> {
        // Taken at most once a call: it reads the whole queue.
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

    /// The slot of a listing that is not wanted any more.
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

/// The `WHO` line of a connection; none: no client is connected there.
fn who(hub: &Hub, conn: ConnId) -> Option<Line> {
    let name = hub.clients.lock().connected(conn)?;
    let (joined, heard_ns) = {
        let outbox = hub.outboxes[conn].lock();
        (outbox.subscriber.joined().or(outbox.subscriber.follows()), outbox.idleness.heard_ns())
    };
    let idle_s = clock::now_ns().saturating_sub(heard_ns) / 1_000_000_000;
    Some(reply::who(&name, joined, idle_s))
}
