//! A client's request, a replay in progress, and the action of the reader after each step. Knows no outbox and no
//! thread.

use crate::journal::cursor::{Cursor, Damage, Step};
use crate::journal::last::Last;
use crate::journal::record::Record;
use crate::protocol::Priority;
use crate::queue::Slot;
use core::mem;
use core::num::NonZeroU64;

/// A client's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The last messages, as many as given.
    Last(NonZeroU64),
    /// The messages after that ID, up to the newest one at the time of the request.
    Since(u64),
    /// The messages after that ID, and then the live ones; all of that priority or above.
    JoinSince(u64, Priority),
}

impl Request {
    /// The position in the history that the request names.
    pub fn position(self) -> u64 {
        match self {
            Self::Last(_) => 0,
            Self::Since(id) | Self::JoinSince(id, _) => id,
        }
    }
}

/// A replay in progress.
pub struct Replay {
    /// The search for the first of the last messages, while it is in progress.
    pub(super) last: Option<Last>,
    pub(super) cursor: Cursor,
    pub(super) scope: Scope,
    /// The number of the line that requested the replay and waits for its reply, or `None` for a client that fell
    /// behind. `slot` reserves the room for the reply.
    pub(super) line: Option<u64>,
    pub(super) slot: &'static mut Slot,
}

impl Replay {
    /// The replay that the client requested in line number `line`, in `slot`. `next_id` is the ID of the next message.
    pub fn new(request: Request, next_id: u64, line: u64, slot: &'static mut Slot) -> Self {
        let since = |id: u64| Cursor::since(id.saturating_add(1).min(next_id));
        let (last, cursor, end_id, min) = match request {
            Request::Last(count) => {
                let last = Last::new(count.get(), next_id);
                (Some(last), Cursor::oldest(), Some(next_id), Priority::MIN)
            }
            Request::Since(id) => (None, since(id), Some(next_id), Priority::MIN),
            Request::JoinSince(id, min) => (None, since(id), None, min),
        };
        let scope = Scope { skipped: 0, end_id, min, reports_lost: last.is_none(), lost: 0 };
        Self { last, cursor, scope, line: Some(line), slot }
    }

    /// The replay from that ID on, for a client that joined with [`Request::JoinSince`] and fell behind.
    pub fn resume(id: u64, min: Priority, slot: &'static mut Slot) -> Self {
        let scope = Scope { skipped: 0, end_id: None, min, reports_lost: true, lost: 0 };
        Self { last: None, cursor: Cursor::since(id), scope, line: None, slot }
    }

    /// The first ID that the client lacks, if this is the catch-up of a client that fell behind: such a replay can
    /// pause for another one.
    pub fn missed_from(&self) -> Option<u64> {
        let is_missed = self.scope.is_endless() && self.line.is_none();
        self.cursor.next_id().filter(|_| is_missed)
    }
}

/// Which messages a replay sends, and which it reports as lost.
#[derive(Debug)]
pub struct Scope {
    /// How many messages to skip at the beginning.
    pub(super) skipped: u64,
    /// The first ID that is not sent, or `None` if the replay ends only when the client joins.
    pub(super) end_id: Option<u64>,
    /// Messages below this priority are not sent.
    pub(super) min: Priority,
    /// Whether to report missing messages as lost. A replay of the last messages reports none before the first message
    /// that it sends: the client did not request any before that.
    pub(super) reports_lost: bool,
    /// How many lost messages are not reported to the client yet.
    pub(super) lost: u64,
}

/// The next action of the reader.
#[derive(Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// Read on.
    ReadOn,
    /// Send this message.
    Send(Record<'a>),
    /// Count this many IDs as lost: see [`Scope::count_lost`].
    CountLost(u64),
    /// Report the damage. The IDs that it contained follow as [`Action::CountLost`].
    Report(Damage),
    /// Wait for the publication of a rotation, then continue with a new catalog.
    AwaitRotation,
    /// Let other clients go first, then continue with a new catalog.
    Pause,
    /// The replay has sent all that the client requested.
    End,
    /// The reader has read all committed messages.
    CaughtUp,
}

impl Scope {
    /// The action of the reader after a step of the cursor.
    pub fn next_step<'a>(&mut self, step: Step<'a>) -> Action<'a> {
        match step {
            Step::Record(record) => self.next_record(record),
            Step::Lost(count) => Action::CountLost(count),
            Step::Damage(damage) => Action::Report(damage),
            Step::RolledBack(_) => Action::ReadOn,
            Step::Overwritten => Action::AwaitRotation,
            Step::Incomplete | Step::Pause => Action::Pause,
            Step::End => Action::CaughtUp,
        }
    }

    fn next_record<'a>(&mut self, record: Record<'a>) -> Action<'a> {
        if self.end_id.is_some_and(|end_id| record.id >= end_id) {
            return Action::End;
        }
        if self.skipped > 0 {
            self.skipped -= 1;
            return Action::ReadOn;
        }
        self.reports_lost = true;
        if record.priority >= self.min { Action::Send(record) } else { Action::ReadOn }
    }

    /// Counts the `count` IDs before `next_id` as lost, except those from `end_id` on, which the client did not
    /// request.
    pub fn count_lost(&mut self, count: u64, next_id: u64) {
        let beyond = self.end_id.map_or(0, |end_id| next_id.saturating_sub(end_id));
        if self.reports_lost {
            self.lost += count.saturating_sub(beyond);
        }
    }

    /// Takes the count of lost messages, to tell the client.
    pub fn take_lost(&mut self) -> u64 {
        mem::take(&mut self.lost)
    }

    /// Whether the replay ends only when the client joins.
    pub fn is_endless(&self) -> bool {
        self.end_id.is_none()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const SCOPE: Scope =
        Scope { skipped: 0, end_id: Some(10), min: Priority::NORMAL, reports_lost: false, lost: 0 };

    fn record(id: u64, priority: Priority) -> Record<'static> {
        Record { id, time_ms: 0, priority, from: b"a", text: b"b" }
    }

    #[test]
    fn messages_from_the_end_on_are_not_sent() {
        let mut scope = SCOPE;
        let within = record(9, Priority::NORMAL);
        assert!(matches!(scope.next_step(Step::Record(within)), Action::Send(record) if record.id == 9));
        assert!(matches!(scope.next_step(Step::Record(record(10, Priority::NORMAL))), Action::End));
    }

    #[test]
    fn skipped_messages_and_low_priorities_are_not_sent() {
        let mut scope = Scope { skipped: 1, ..SCOPE };
        assert!(matches!(scope.next_step(Step::Record(record(1, Priority::HIGH))), Action::ReadOn));
        assert!(!scope.reports_lost, "nothing before the first message was requested");
        assert!(matches!(scope.next_step(Step::Record(record(2, Priority::LOW))), Action::ReadOn));
        assert!(scope.reports_lost);
        assert!(matches!(scope.next_step(Step::Record(record(3, Priority::HIGH))), Action::Send(_)));
    }

    #[test]
    fn losses_count_only_within_the_request() {
        let mut scope = SCOPE;
        scope.count_lost(3, 5);
        assert_eq!(scope.take_lost(), 0, "they precede the first of the last messages");
        scope.reports_lost = true;
        scope.count_lost(4, 12);
        assert_eq!((scope.take_lost(), scope.take_lost()), (2, 0));
    }
}
