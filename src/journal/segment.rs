//! A segment: one file of the journal, and the layout of its first page. Numbers are little-endian.
//!
//! | offset | bytes | |
//! | ---: | ---: | --- |
//! | 0 | 8 | `firstlnJ` |
//! | 8 | 4 | the version of the format: 2 |
//! | 12 | 4 | the length of the file |
//! | 16 | 8 | the sequence: 1 for the first segment of a journal, and one more for each rotation |
//! | 24 | 8 | the salt of its checksums |
//! | 32 | 4 | the tag of its records |
//! | 36 | 4 | the end of the valid records in the previous segment: later bytes were rolled back or are torn |
//! | 40 | 8 | the least ID that a message in it may have |
//! | 48 | 8 | the journal's identity: a random number, drawn when the journal is created |
//! | 56 | 4 | 1: from its first message on, the writer may have acknowledged IDs before it synced their messages; else 0 |
//! | 60 | 8 | the sequence of the oldest valid segment: the journal no longer contains anything older |
//! | 68 | 4 | the attempt: how many headers with the same sequence the disk refused before, each in another file |
//! | 72 | 4 | the checksum: CRC-32 (IEEE) of these 72 bytes |
//!
//! The header is written twice, at 1,024 and at 3,072, which are in different sectors. Nothing else is in the first
//! 4,096 bytes, so later records never touch the header's page. Records follow. All files have their full length from
//! the start, filled with zeroes. A rotation writes a new header to the file of the oldest segment, which makes
//! everything in that file invalid. So the journal takes no more room while it runs than at its start, and a sync
//! writes only data. The last two pages of the file hold [`marks`](super::mark).
//!
//! If the disk refuses a header, the segment begins in another file. The first file may then hold the refused header,
//! or its former content. So, whatever the other files contain, the header says which segments are no longer valid:
//! those older than the oldest valid one, and those with the same sequence and a lower attempt.
//!
//! Version 1 is read, but never written. Its header is at 0 and at 2,048, it ends with the checksum at 48, and its
//! records may extend to the end of the file.
//!
//! At 0 is a *guard*: a header of version 1 with a length that no segment has, 4,097. A program that only knows version
//! 1 takes the file for part of a journal of another size, and refuses it, whatever size it expects. The guard's field
//! at 40 holds the version of the format. So a program can tell from bytes with a valid checksum that the journal is
//! too new for it.

use super::number::number;
use crate::limits::{PAGE_BYTES, SEGMENT_HEADER_BYTES, SEGMENT_MARKS_BYTES};
use core::fmt;

/// The first bytes of each header.
const MAGIC: &[u8; 8] = b"firstlnJ";
/// The version of the format that this program writes.
pub const VERSION: u64 = 2;
/// The length of a header of that version.
pub const HEADER_BYTES: usize = 76;
/// The offsets of its two copies.
pub const HEADER_OFFSETS: [usize; 2] = [1024, 3072];
/// The length of a header of version 1.
const FIRST_HEADER_BYTES: usize = 52;
/// The offsets of its two copies.
const FIRST_HEADER_OFFSETS: [usize; 2] = [0, 2048];
/// The length of a file according to a guard. No segment has it, because segments are whole pages.
const GUARD_SEGMENT_BYTES: u32 = PAGE_BYTES as u32 + 1;

/// The first page of a segment.
pub type HeaderPage = [u8; SEGMENT_HEADER_BYTES];

/// Two random numbers that identify the records of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentKey {
    /// Each record contains it.
    pub tag: u32,
    /// Each checksum covers it.
    pub salt: u64,
}

impl SegmentKey {
    /// The checksum of these bytes in this segment.
    pub fn checksum(&self, bytes: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.salt.to_le_bytes());
        hasher.update(&self.tag.to_le_bytes());
        hasher.update(bytes);
        hasher.finalize()
    }
}

/// Identifies a journal for as long as any segment of it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity(pub u64);

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The fields that version 2 adds to a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The journal that the segment belongs to.
    pub identity: Identity,
    /// Whether the writer may have acknowledged IDs before it synced their messages, from the first message on.
    pub is_unsynced: bool,
    /// The sequence of the oldest valid segment.
    pub oldest: u64,
    /// How many headers with this sequence the disk refused before.
    pub attempt: u32,
}

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The length of the file, in bytes.
    pub segment_bytes: u32,
    /// The number of the segment: each rotation adds one.
    pub sequence: u64,
    /// Identifies its records.
    pub key: SegmentKey,
    /// The end of the valid records in the previous segment.
    pub previous_end: u32,
    /// The least ID that a message in it may have.
    pub first_id: u64,
    /// `None` if the header is of version 1, which has no such fields.
    pub origin: Option<Origin>,
}

impl Header {
    /// The last offset at which its records may end.
    pub fn records_end(&self) -> u32 {
        match self.origin {
            Some(_) => self.segment_bytes.saturating_sub(SEGMENT_MARKS_BYTES as u32),
            None => self.segment_bytes,
        }
    }

    /// The journal that it belongs to; `None` for version 1.
    pub fn identity(&self) -> Option<Identity> {
        self.origin.map(|origin| origin.identity)
    }

    /// The sequence of the oldest valid segment; 0 for version 1.
    pub fn oldest(&self) -> u64 {
        self.origin.map_or(0, |origin| origin.oldest)
    }

    /// Its sequence and its attempt. Of two segments of one journal, the segment with the greater generation is the
    /// later one.
    pub fn generation(&self) -> (u64, u32) {
        (self.sequence, self.origin.map_or(0, |origin| origin.attempt))
    }

    /// The first page of its segment.
    pub fn to_page(&self) -> HeaderPage {
        let mut page = [0; SEGMENT_HEADER_BYTES];
        if self.origin.is_some() {
            self.guard().put(&mut page, FIRST_HEADER_OFFSETS[0]);
        }
        let offsets = if self.origin.is_some() { HEADER_OFFSETS } else { FIRST_HEADER_OFFSETS };
        offsets.iter().for_each(|offset| self.put(&mut page, *offset));
        page
    }

    /// The guard that makes programs refuse the segment if they do not know its version.
    fn guard(&self) -> Self {
        let segment_bytes = GUARD_SEGMENT_BYTES;
        Self { segment_bytes, previous_end: PAGE_BYTES as u32, first_id: VERSION, origin: None, ..*self }
    }

    /// Puts a header at that offset of a page.
    fn put(&self, page: &mut HeaderPage, offset: usize) {
        let bytes = &mut page[offset..offset + HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&if self.origin.is_some() { VERSION as u32 } else { 1 }.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.segment_bytes.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.key.salt.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.key.tag.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.previous_end.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.first_id.to_le_bytes());
        let mut end = FIRST_HEADER_BYTES - 4;
        if let Some(origin) = self.origin {
            bytes[48..56].copy_from_slice(&origin.identity.0.to_le_bytes());
            bytes[56..60].copy_from_slice(&u32::from(origin.is_unsynced).to_le_bytes());
            bytes[60..68].copy_from_slice(&origin.oldest.to_le_bytes());
            bytes[68..72].copy_from_slice(&origin.attempt.to_le_bytes());
            end = HEADER_BYTES - 4;
        }
        let checksum = crc32fast::hash(&bytes[..end]);
        bytes[end..end + 4].copy_from_slice(&checksum.to_le_bytes());
    }

    /// The two copies of the header in the first page of a segment. A copy that is not whole is `None`. Whole copies
    /// are equal, unless the page is torn.
    ///
    /// # Errors
    /// The version of the segment, if this program does not know it.
    pub fn from_page(page: &HeaderPage) -> Result<[Option<Self>; 2], u64> {
        let first = FIRST_HEADER_OFFSETS.map(|offset| Self::parse(&page[offset..], 1, FIRST_HEADER_BYTES));
        let is_guard = |header: &Self| header.segment_bytes == GUARD_SEGMENT_BYTES;
        if let Some(guard) = first[0].filter(|first| is_guard(first) && first.first_id > VERSION) {
            return Err(guard.first_id);
        }
        let second = HEADER_OFFSETS.map(|offset| Self::parse(&page[offset..], VERSION, HEADER_BYTES));
        let is_second = second.iter().any(Option::is_some);
        Ok(if is_second { second } else { first.map(|header| header.filter(|header| !is_guard(header))) })
    }

    /// The header at the beginning of these bytes. Returns `None` if there is no header, or if it is damaged, of
    /// another version, or inconsistent.
    fn parse(bytes: &[u8], version: u64, length: usize) -> Option<Self> {
        let bytes = bytes.get(..length)?;
        let field = |offset: usize, length: usize| number(&bytes[offset..offset + length]);
        let is_of_version = bytes[..8] == *MAGIC && field(8, 4) == version;
        if !is_of_version || field(length - 4, 4) != u64::from(crc32fast::hash(&bytes[..length - 4])) {
            return None;
        }
        let origin = || Origin {
            identity: Identity(field(48, 8)),
            is_unsynced: field(56, 4) != 0,
            oldest: field(60, 8),
            attempt: field(68, 4) as u32,
        };
        let header = Self {
            segment_bytes: field(12, 4) as u32,
            sequence: field(16, 8),
            key: SegmentKey { salt: field(24, 8), tag: field(32, 4) as u32 },
            previous_end: field(36, 4) as u32,
            first_id: field(40, 8),
            origin: (version > 1).then(origin),
        };
        let ends = SEGMENT_HEADER_BYTES as u32..=header.segment_bytes;
        let sequences = header.oldest().max(1)..;
        (ends.contains(&header.previous_end) && sequences.contains(&header.sequence)).then_some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Header = Header {
        segment_bytes: 65_536,
        sequence: 3,
        key: SegmentKey { tag: 5, salt: 6 },
        previous_end: 8_192,
        first_id: 77,
        origin: None,
    };
    const ORIGIN: Origin = Origin { identity: Identity(8), is_unsynced: true, oldest: 2, attempt: 1 };
    const SECOND: Header = Header { origin: Some(ORIGIN), ..FIRST };

    #[test]
    fn header_survives_round_trip_and_every_flipped_bit_is_detected() {
        for (header, offsets) in [(FIRST, FIRST_HEADER_OFFSETS), (SECOND, HEADER_OFFSETS)] {
            let page = header.to_page();
            assert_eq!(Header::from_page(&page), Ok([Some(header); 2]));
            let length = if header == FIRST { FIRST_HEADER_BYTES } else { HEADER_BYTES };
            for (copy, offset) in offsets.into_iter().enumerate() {
                for bit in 8 * offset..8 * (offset + length) {
                    let mut flipped = page;
                    flipped[bit / 8] ^= 1 << (bit % 8);
                    let mut expected = [Some(header); 2];
                    expected[copy] = None;
                    assert_eq!(Header::from_page(&flipped), Ok(expected), "bit {bit}");
                }
            }
        }
    }

    #[test]
    fn damaged_guard_does_not_affect_header_of_known_version() {
        let page = SECOND.to_page();
        for bit in 0..8 * FIRST_HEADER_BYTES {
            let mut flipped = page;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::from_page(&flipped), Ok([Some(SECOND); 2]), "bit {bit}");
        }
    }

    #[test]
    fn guard_reads_as_version_1_with_an_impossible_length() {
        let page = SECOND.to_page();
        let guard = Header::parse(&page, 1, FIRST_HEADER_BYTES).unwrap();
        assert!(!(guard.segment_bytes as usize).is_multiple_of(PAGE_BYTES));
        assert_eq!(Header::parse(&page[FIRST_HEADER_OFFSETS[1]..], 1, FIRST_HEADER_BYTES), None);
    }

    #[test]
    fn later_version_is_reported_and_damage_is_not_mistaken_for_one() {
        let mut page = [0; SEGMENT_HEADER_BYTES];
        Header { first_id: VERSION + 1, ..SECOND.guard() }.put(&mut page, 0);
        assert_eq!(Header::from_page(&page), Err(VERSION + 1));
        for bit in 0..8 * FIRST_HEADER_BYTES {
            let mut flipped = page;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::from_page(&flipped), Ok([None; 2]), "bit {bit}");
        }
    }

    #[test]
    fn torn_page_yields_the_new_header_the_old_one_or_none() {
        let (former, later) = (FIRST.to_page(), Header { sequence: 9, ..SECOND }.to_page());
        for sectors in 0..1 << 8 {
            let mut torn = former;
            for sector in (0..8).filter(|sector| sectors & 1 << sector != 0) {
                let bytes = sector * 512..(sector + 1) * 512;
                torn[bytes.clone()].copy_from_slice(&later[bytes]);
            }
            let sequences =
                Header::from_page(&torn).unwrap().map(|header| header.map_or(0, |it| it.sequence));
            let is_written = |sector: u32| sectors & 1 << sector != 0;
            let expected = if is_written(2) || is_written(6) {
                9
            } else if is_written(0) && is_written(4) {
                0
            } else {
                3
            };
            assert_eq!(sequences.into_iter().max(), Some(expected), "{sectors:b}");
        }
    }

    #[test]
    fn contradictory_fields_are_refused() {
        for header in [FIRST, SECOND] {
            for header in [
                Header { previous_end: 4_095, ..header },
                Header { previous_end: 65_537, ..header },
                Header { sequence: 0, ..header },
            ] {
                assert_eq!(Header::from_page(&header.to_page()), Ok([None; 2]), "{header:?}");
            }
        }
        let before_the_oldest = Header { sequence: ORIGIN.oldest - 1, ..SECOND };
        assert_eq!(Header::from_page(&before_the_oldest.to_page()), Ok([None; 2]));
    }
}
