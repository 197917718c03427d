//! What a client asks for, a request under way, and what each step of the reading means for it. Knows no outbox and no thread.

use crate::journal::cursor::{Cursor, Damage, Step};
use crate::journal::last::Last;
use crate::journal::record::Record;
use crate::protocol::Priority;
use crate::queue::Slot;
use core::mem;
use core::num::NonZeroU64;

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The last messages, that many.
    Last(NonZeroU64),
    /// The messages after that ID, up to now.
    Since(u64),
    /// The messages after that ID, and then the live ones; each of that priority or above.
    JoinSince(u64, Priority),
}

impl Request {
    /// The position in the history that it names.
    pub fn position(self) -> u64 {
        match self {
            Self::Last(_) => 0,
            Self::Since(id) | Self::JoinSince(id, _) => id,
        }
    }
}

/// A request that is being fulfilled.
pub struct Replay {
    /// The search for the beginning of the last messages, as long as it goes on.
    pub(super) last: Option<Last>,
    pub(super) cursor: Cursor,
    pub(super) scope: Scope,
    /// The line that asked, to be closed; none for a client that fell behind. Its slot reserves the room for the reply.
    pub(super) line: Option<u64>,
    pub(super) slot: &'static mut Slot,
}

impl Replay {
    /// What the client asked for in line `line`, which occupies `slot`. `next_id` is the ID of the next message.
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
        let scope = Scope { skipped: 0, end_id, min, tells_lost: last.is_none(), lost: 0 };
        Self { last, cursor, scope, line: Some(line), slot }
    }

    /// The history from that ID on, for a client that joined with [`Request::JoinSince`] and fell behind.
    pub fn resume(id: u64, min: Priority, slot: &'static mut Slot) -> Self {
        let scope = Scope { skipped: 0, end_id: None, min, tells_lost: true, lost: 0 };
        Self { last: None, cursor: Cursor::since(id), scope, line: None, slot }
    }

    /// The ID from which on the client lacks the messages, if this is a replay that can stand aside for another: that of a client that
    /// fell behind.
    pub fn missed_from(&self) -> Option<u64> {
        let is_missed = self.scope.is_endless() && self.line.is_none();
        self.cursor.next_id().filter(|_| is_missed)
    }
}

/// Which messages a replay sends, and which it tells as lost.
#[derive(Debug)]
pub struct Scope {
    /// How many messages are left out at the beginning.
    pub(super) skipped: u64,
    /// The first ID that is not sent any more. None: the replay ends only by joining.
    pub(super) end_id: Option<u64>,
    /// Messages below that priority are left out.
    pub(super) min: Priority,
    /// Whether the client is told of messages that are not there any more. Before the first of the last messages, the client asked for
    /// nothing.
    pub(super) tells_lost: bool,
    /// How many messages the client is to be told of as lost.
    pub(super) lost: u64,
}

/// What the reader does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// Read on.
    ReadOn,
    /// Send that message.
    Send(Record<'a>),
    /// Count that many IDs as lost: see [`Scope::count_lost`].
    CountLost(u64),
    /// Report damage. The IDs that it had follow as [`Action::CountLost`].
    Report(Damage),
    /// Wait until the writer has rotated, then continue with a new catalog.
    AwaitRotation,
    /// Let other clients come first, then continue with a new catalog.
    Pause,
    /// The replay has sent all that was asked for.
    End,
    /// All that is committed has been read.
    CaughtUp,
}

impl Scope {
    /// What a step of the reading means for the replay.
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
        self.tells_lost = true;
        if record.priority >= self.min { Action::Send(record) } else { Action::ReadOn }
    }

    /// Counts `count` IDs before `next_id` as lost. The client did not ask for those behind the end.
    pub fn count_lost(&mut self, count: u64, next_id: u64) {
        let beyond = self.end_id.map_or(0, |end_id| next_id.saturating_sub(end_id));
        if self.tells_lost {
            self.lost += count.saturating_sub(beyond);
        }
    }

    /// How many messages the client is to be told of as lost, once.
    pub fn take_lost(&mut self) -> u64 {
        mem::take(&mut self.lost)
    }

    /// Whether the replay ends only by joining.
    pub fn is_endless(&self) -> bool {
        self.end_id.is_none()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const SCOPE: Scope =
        Scope { skipped: 0, end_id: Some(10), min: Priority::NORMAL, tells_lost: false, lost: 0 };

    fn record(id: u64, priority: Priority) -> Record<'static> {
        Record { id, time_ms: 0, priority, from: b"a", text: b"b" }
    }

    #[test]
    fn messages_behind_the_end_are_not_sent() {
        let mut scope = SCOPE;
        let within = record(9, Priority::NORMAL);
        assert!(matches!(scope.next_step(Step::Record(within)), Action::Send(record) if record.id == 9));
        assert!(matches!(scope.next_step(Step::Record(record(10, Priority::NORMAL))), Action::End));
    }

    #[test]
    fn skipped_messages_and_low_priorities_are_left_out() {
        let mut scope = Scope { skipped: 1, ..SCOPE };
        assert!(matches!(scope.next_step(Step::Record(record(1, Priority::HIGH))), Action::ReadOn));
        assert!(!scope.tells_lost, "nothing was asked for before the first message");
        assert!(matches!(scope.next_step(Step::Record(record(2, Priority::LOW))), Action::ReadOn));
        assert!(scope.tells_lost);
        assert!(matches!(scope.next_step(Step::Record(record(3, Priority::HIGH))), Action::Send(_)));
    }

    #[test]
    fn losses_count_only_within_what_was_asked_for() {
        let mut scope = SCOPE;
        scope.count_lost(3, 5);
        assert_eq!(scope.take_lost(), 0, "they are before the first of the last messages");
        scope.tells_lost = true;
        scope.count_lost(4, 12);
        assert_eq!((scope.take_lost(), scope.take_lost()), (2, 0));
    }
}
