//! A segment: one file of the journal, and what stands in its first bytes. Numbers are little-endian.
//!
//! | offset | bytes | |
//! | ---: | ---: | --- |
//! | 0 | 8 | `firstlnJ` |
//! | 8 | 4 | the version of the format: 1 |
//! | 12 | 4 | the length of the file |
//! | 16 | 8 | the sequence: 1 for the first use of a segment, and one more for each next one |
//! | 24 | 8 | the salt of its checksums |
//! | 32 | 4 | the mark of its records |
//! | 36 | 4 | where what counts of the segment before it ends: what stands behind that was refused or is torn |
//! | 40 | 8 | the least ID that a message in it may have |
//! | 48 | 4 | the checksum: CRC-32 (IEEE) of these 48 bytes |
//!
//! It has the first 4,096 bytes for itself, so that nobody writes to its page again; records follow. All files have one
//! length from the start, filled with zeroes. The next use of the oldest begins with a new header, and makes all that is in it
//! void. So the journal takes no more room while it runs than at its start, and a sync has nothing to write but the data.

use super::record::number;
use crate::limits::SEGMENT_HEADER_BYTES;

/// What each segment begins with.
const MAGIC: &[u8; 8] = b"firstlnJ";
/// The version of what is written here.
const VERSION: u32 = 1;
/// The length of a header without the rest of its page.
pub const HEADER_BYTES: usize = 52;

/// Two random numbers that only the records of one segment have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// Stands in each record.
    pub mark: u32,
    /// Is in each checksum.
    pub salt: u64,
}

impl Seal {
    /// The checksum of these bytes in this segment.
    pub fn checksum(&self, bytes: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.salt.to_le_bytes());
        hasher.update(&self.mark.to_le_bytes());
        hasher.update(bytes);
        hasher.finalize()
    }
}

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The length of the file, in bytes.
    pub segment_bytes: u32,
    /// The number of this use of a segment.
    pub sequence: u64,
    /// How its records are told from others.
    pub seal: Seal,
    /// Where what counts of the segment before it ends.
    pub previous_end: u32,
    /// The least ID that a message in it may have.
    pub first_id: u64,
}

impl Header {
    /// Its bytes.
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.segment_bytes.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.seal.salt.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.seal.mark.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.previous_end.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.first_id.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..48]);
        bytes[48..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The header that these bytes are. None: they are none, or damaged, or of another version, or say what cannot be.
    pub fn from_bytes(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let field = |offset: usize, length: usize| number(&bytes[offset..offset + length]);
        let is_ours = bytes[..8] == *MAGIC && field(8, 4) == VERSION.into();
        if !is_ours || field(48, 4) != crc32fast::hash(&bytes[..48]).into() {
            return None;
        }
        let header = Self {
            segment_bytes: field(12, 4) as u32,
            sequence: field(16, 8),
            seal: Seal { salt: field(24, 8), mark: field(32, 4) as u32 },
            previous_end: field(36, 4) as u32,
            first_id: field(40, 8),
        };
        let ends = SEGMENT_HEADER_BYTES as u32..=header.segment_bytes;
        (ends.contains(&header.previous_end) && header.sequence > 0).then_some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header {
        segment_bytes: 65_536,
        sequence: 3,
        seal: Seal { mark: 5, salt: 6 },
        previous_end: 8_192,
        first_id: 77,
    };

    #[test]
    fn what_was_written_is_read_and_every_flipped_bit_is_noticed() {
        let bytes = HEADER.to_bytes();
        assert_eq!(Header::from_bytes(&bytes), Some(HEADER));
        for bit in 0..8 * HEADER_BYTES {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::from_bytes(&flipped), None, "bit {bit}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for header in [
            Header { previous_end: 4_095, ..HEADER },
            Header { previous_end: 65_537, ..HEADER },
            Header { sequence: 0, ..HEADER },
        ] {
            assert_eq!(Header::from_bytes(&header.to_bytes()), None, "{header:?}");
        }
    }
}
