//! The slots of one client: which are free, how many are outstanding, and how much room the replies need. Knows no
//! bytes and no sockets.

use crate::limits::{IN_FLIGHT, REPLY_BYTES_MAX};
use crate::queue::{Chain, Slots};

/// The [`IN_FLIGHT`] slots of a client. A slot is free or outstanding; outstanding means granted, in the queue, or
/// being processed. New credits are all zeroes: every slot is outstanding, until startup releases it.
pub struct Credits {
    free: Slots,
}

impl Credits {
    /// The credits of a connection whose slots are all outstanding.
    pub(super) const fn new() -> Self {
        Self { free: Slots::new() }
    }

    /// Makes the slots of `chain` free.
    pub fn release(&mut self, chain: Chain) {
        self.free.put(chain);
    }

    /// Makes all slots in `granted` free.
    pub fn release_all(&mut self, granted: &mut Slots) {
        self.free.take(granted, IN_FLIGHT);
    }

    /// Moves free slots to `granted`: as many as `room` bytes have space for replies, in addition to the replies of
    /// the outstanding slots.
    pub fn grant(&mut self, granted: &mut Slots, room: usize) {
        let unreserved = room.saturating_sub(self.reserved_bytes());
        granted.take(&mut self.free, unreserved / REPLY_BYTES_MAX);
    }

    /// Whether [`Credits::grant`] would grant a slot with that `room`.
    pub fn can_grant(&self, room: usize) -> bool {
        !self.free.is_empty() && room >= self.reserved_bytes() + REPLY_BYTES_MAX
    }

    /// How many slots are outstanding.
    pub fn outstanding(&self) -> usize {
        IN_FLIGHT - self.free.len()
    }

    /// Whether no slot is outstanding.
    pub fn are_all_free(&self) -> bool {
        self.free.is_full()
    }

    /// The bytes that are reserved for the replies of the outstanding slots.
    pub fn reserved_bytes(&self) -> usize {
        self.outstanding() * REPLY_BYTES_MAX
    }
}
