//! The cursors, which are the position of each class, and the slots in which a file keeps them. Bytes only. Numbers are
//! little-endian.
//!
//! | offset | bytes | |
//! | ---: | ---: | --- |
//! | 0 | 8 | `flbridge` |
//! | 8 | 4 | the version: 1 |
//! | 12 | 4 | the lowest urgent priority |
//! | 16 | 8 | the generation: of two slots the one with the higher is valid |
//! | 24 | 8 | the identity of the journal |
//! | 32 | 8 | the next ID of the urgent class |
//! | 40 | 8 | the next ID of the rest |
//! | 48 | 4 | the checksum: CRC-32 (IEEE) of these 48 bytes |

use super::class::{Class, PerClass};
use crate::journal::segment::Identity;
use crate::protocol::Priority;

const MAGIC: &[u8; 8] = b"flbridge";
const VERSION: u32 = 1;

/// The length of a slot.
pub const SLOT_BYTES: usize = 52;

/// The position of the bridge in a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursors {
    /// The journal.
    pub identity: Identity,
    /// The lowest urgent priority.
    pub urgent_from: Priority,
    /// The first ID of each class that is not acknowledged.
    pub next: PerClass<u64>,
}

impl Cursors {
    /// The same cursors for another lowest urgent priority. If it changes, a message may belong to another class than
    /// before, and may be before that class's cursor. So both cursors go back to the lower one: messages may arrive
    /// twice, but none is left out.
    pub fn with_urgent_from(self, urgent_from: Priority) -> Self {
        if self.urgent_from == urgent_from {
            return self;
        }
        let lower = self.next[Class::Urgent].min(self.next[Class::Rest]);
        Self { urgent_from, next: PerClass::new(|_| lower), ..self }
    }

    /// The slot with that generation.
    pub fn to_slot(self, generation: u64) -> [u8; SLOT_BYTES] {
        let mut slot = [0; SLOT_BYTES];
        slot[..8].copy_from_slice(MAGIC);
        slot[8..12].copy_from_slice(&VERSION.to_le_bytes());
        slot[12..16].copy_from_slice(&u32::from(self.urgent_from.number()).to_le_bytes());
        slot[16..24].copy_from_slice(&generation.to_le_bytes());
        slot[24..32].copy_from_slice(&self.identity.0.to_le_bytes());
        slot[32..40].copy_from_slice(&self.next[Class::Urgent].to_le_bytes());
        slot[40..48].copy_from_slice(&self.next[Class::Rest].to_le_bytes());
        let checksum = crc32fast::hash(&slot[..48]);
        slot[48..].copy_from_slice(&checksum.to_le_bytes());
        slot
    }

    /// The generation and the cursors in a slot, or `None` if the slot is torn, damaged, or of another version.
    pub fn from_slot(slot: &[u8; SLOT_BYTES]) -> Option<(u64, Self)> {
        let u32_at = |at: usize| u32::from_le_bytes([slot[at], slot[at + 1], slot[at + 2], slot[at + 3]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        if slot[..8] != *MAGIC || u32_at(8) != VERSION || u32_at(48) != crc32fast::hash(&slot[..48]) {
            return None;
        }
        let urgent_from = Priority::new(u8::try_from(u32_at(12)).ok()?)?;
        let next = PerClass::new(|class| u64_at(if class == Class::Urgent { 32 } else { 40 }));
        Some((u64_at(16), Self { identity: Identity(u64_at(24)), urgent_from, next }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CURSORS: Cursors =
        Cursors { identity: Identity(8), urgent_from: Priority::HIGH, next: PerClass::of(900, 20) };

    #[test]
    fn slot_survives_round_trip_and_every_flipped_bit_is_detected() {
        let slot = CURSORS.to_slot(3);
        assert_eq!(Cursors::from_slot(&slot), Some((3, CURSORS)));
        for bit in 0..8 * SLOT_BYTES {
            let mut flipped = slot;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Cursors::from_slot(&flipped), None, "bit {bit}");
        }
        assert_eq!(Cursors::from_slot(&[0; SLOT_BYTES]), None);
    }

    #[test]
    fn other_classes_leave_no_message_out() {
        assert_eq!(CURSORS.with_urgent_from(Priority::HIGH), CURSORS);
        let changed = CURSORS.with_urgent_from(Priority::NORMAL);
        assert_eq!((changed.urgent_from, changed.next), (Priority::NORMAL, PerClass::of(20, 20)));
    }
}
