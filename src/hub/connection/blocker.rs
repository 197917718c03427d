//! What keeps a connection that takes lines from going on.

use crate::hub::connection::closing::Reason;
use crate::hub::egress::outbox::Outbox;
use crate::limits::ANSWER_LINE_BYTES_MAX;

/// What goes on only if there is room in the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldUp {
    /// The next line of a listing.
    Listing,
    /// A line that has come, or what the client missed: it needs a slot, and the slot's reply needs the room.
    Slot,
}

impl HeldUp {
    /// Whether the outbox has that room.
    pub fn has_room(self, outbox: &Outbox) -> bool {
        match self {
            Self::Listing => outbox.has_room(ANSWER_LINE_BYTES_MAX),
            Self::Slot => outbox.can_grant(),
        }
    }
}

/// What keeps a connection from going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocker {
    /// Nothing does.
    Nothing,
    /// The client does not read: what [goes on](HeldUp) lacks room.
    Reader,
    /// The client was too fast: its next line is taken at that time, in nanoseconds.
    Rate(u64),
    /// No line will come any more, for that reason.
    End(Reason),
    /// A line that is under way, or the lack of a slot while no line needs one.
    Line,
    /// The client has to say something.
    Client,
}
