//! Replies of more than one line: `/who`, `/stats`, `/help`. Each line is formatted when the outbox has room for it,
//! so no listing needs a buffer of its own, however many clients or counters there are.

use crate::clock;
use crate::conn_id::ConnId;
use crate::hub::shared::Hub;
use crate::hub::stats::Snapshot;
use crate::limits::CLIENTS;
use crate::protocol::command::HELP;
use crate::protocol::reply::{self, Line};
use crate::queue::{Chain, Slot};

/// The subject of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The clients that are connected.
    Who,
    /// The server's counters.
    Stats {
        /// With the buckets of the histograms.
        is_full: bool,
    },
    /// The commands.
    Help,
}

/// A listing in progress.
pub struct Listing {
    subject: Subject,
    /// The next entry: the index of a connection, of a counter, or of a line of the help.
    next: usize,
    /// The number of the line that requested the listing.
    line: u64,
    /// The slot of that line. It reserves the room for the closing `OK`.
    slot: &'static mut Slot,
}

impl Listing {
    /// The listing that line number `line`, in `slot`, requests.
    pub fn new(subject: Subject, line: u64, slot: &'static mut Slot) -> Self {
        Self { subject, next: 0, line, slot }
    }

    /// Puts lines into the outbox of `conn` until the listing is complete or the outbox has no room. Returns the
    /// listing if it continues later, or `None` if it is complete.
    pub fn advance(mut self, hub: &Hub, conn: ConnId) -> Option<Self> {
        // At most one snapshot for each call: a snapshot reads the whole queue.
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

    /// The slot of a cancelled listing.
    pub fn into_slot(self) -> &'static mut Slot {
        self.slot
    }

    /// The next line, and the index of the entry after it.
    fn line_from(&self, hub: &Hub, snapshot: &mut Option<Snapshot>) -> Option<(Line, usize)> {
        let next = self.next;
        match self.subject {
            Subject::Who => {
                ConnId::range(next..CLIENTS).find_map(|conn| Some((who(hub, conn)?, conn.index() + 1)))
            }
            Subject::Stats { is_full } => {
                let snapshot = snapshot.get_or_insert_with(|| Snapshot::take(hub, is_full));
                let (name, value, next) = snapshot.line(next)?;
                Some((reply::stat(&name, value), next))
            }
            Subject::Help => Some((reply::help(HELP.get(next)?), next + 1)),
        }
    }
}

/// The `WHO` line of a connection, or `None` if it has no connected client.
fn who(hub: &Hub, conn: ConnId) -> Option<Line> {
    let name = hub.clients.lock().connected(conn)?;
    let (joined, last_received_ns) = {
        let outbox = hub.outboxes[conn].lock();
        (outbox.subscriber.joined().or(outbox.subscriber.catching_up()), outbox.idleness.last_received_ns())
    };
    let idle_s = clock::now_ns().saturating_sub(last_received_ns) / 1_000_000_000;
    Some(reply::who(&name, joined, idle_s))
}
