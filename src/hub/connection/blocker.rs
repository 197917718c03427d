//! What blocks an open connection.

use crate::hub::connection::closing::Reason;
use crate::hub::egress::outbox::Outbox;
use crate::limits::ANSWER_LINE_BYTES_MAX;

/// Work that continues only if the outbox has room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldUp {
    /// The next line of a listing.
    Listing,
    /// A line that has arrived, or the replay of the messages that the client missed. It needs a slot, and the slot's
    /// reply needs room.
    Slot,
}

impl HeldUp {
    /// Whether the outbox has the room for it.
    pub fn has_room(self, outbox: &Outbox) -> bool {
        match self {
            Self::Listing => outbox.has_room(ANSWER_LINE_BYTES_MAX),
            Self::Slot => outbox.can_grant(),
        }
    }
}

/// What blocks an open connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocker {
    /// Nothing: poll again at once.
    Nothing,
    /// The client does not read: [held-up work](HeldUp) lacks room in the outbox.
    Reader,
    /// The rate limit: the next line is taken at this time, in nanoseconds.
    Rate(u64),
    /// No further line will be taken, for this reason: close the connection.
    End(Reason),
    /// A line in progress, also one whose reply comes from a replay, or the lack of a slot while no line needs one.
    Line,
    /// The client: it has to send something.
    Client,
}
