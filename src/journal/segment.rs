//! A segment: one file of the journal, and what stands in its first page. Numbers are little-endian.
//!
//! | offset | bytes | |
//! | ---: | ---: | --- |
//! | 0 | 8 | `firstlnJ` |
//! | 8 | 4 | the version of the format: 2 |
//! | 12 | 4 | the length of the file |
//! | 16 | 8 | the sequence: 1 for the first use of a segment, and one more for each next one |
//! | 24 | 8 | the salt of its checksums |
//! | 32 | 4 | the mark of its records |
//! | 36 | 4 | where what counts of the segment before it ends: what stands behind that was refused or is torn |
//! | 40 | 8 | the least ID that a message in it may have |
//! | 48 | 8 | the journal's identity: a random number, made with it |
//! | 56 | 4 | 1: from its first message on, IDs may have been acknowledged before their messages were synced; else 0 |
//! | 60 | 8 | the sequence of the oldest segment that counts: what is older was given up |
//! | 68 | 4 | how many headers with the same sequence could not be written before, each to another file |
//! | 72 | 4 | the checksum: CRC-32 (IEEE) of these 72 bytes |
//!
//! The header stands at 1,024 and again at 3,072, in other sectors. It has the first 4,096 bytes for itself, so that nobody writes to
//! its page again; records follow. All files have one length from the start, filled with zeroes. The next use of the oldest begins
//! with a new header, and makes all that is in it void. So the journal takes no more room while it runs than at its start, and a
//! sync has nothing to write but the data. The last two pages of the file are for [`marks`](super::mark).
//!
//! If a header cannot be written, the segment gives up its file, and begins in another one. The disk may hold either header then, or what
//! the file held before. So the header says what no longer counts, whatever the other files show: a segment that is older than the
//! oldest, and one with the same sequence that was tried before.
//!
//! Version 1 is read too, and never written: its header stands at 0 and at 2,048, ends with the checksum at 48, and its records may go
//! up to the end of the file.
//!
//! At 0 stands a *guard*: a header of version 1 with a length that no segment has, 4,097. Programs that know version 1 alone take it
//! for a journal of another size, and refuse it, whatever size they are asked for. Its field at 40 has the version of the format, so
//! programs learn from bytes with a checksum that a journal is too new for them.

use super::number::number;
use crate::limits::{PAGE_BYTES, SEGMENT_HEADER_BYTES, SEGMENT_MARKS_BYTES};
use core::fmt;

/// What each segment begins with.
const MAGIC: &[u8; 8] = b"firstlnJ";
/// The version of what is written here.
pub const VERSION: u64 = 2;
/// The length of a header of that version.
pub const HEADER_BYTES: usize = 76;
/// Where it stands.
pub const HEADER_OFFSETS: [usize; 2] = [1024, 3072];
/// The same of version 1.
const FIRST_HEADER_BYTES: usize = 52;
const FIRST_HEADER_OFFSETS: [usize; 2] = [0, 2048];
/// The length of a segment that is a guard: no segment's, which is whole pages.
const GUARD_SEGMENT_BYTES: u32 = PAGE_BYTES as u32 + 1;

/// The first page of a segment.
pub type HeaderPage = [u8; SEGMENT_HEADER_BYTES];

/// Two random numbers that only the records of one segment have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentKey {
    /// Stands in each record.
    pub mark: u32,
    /// Is in each checksum.
    pub salt: u64,
}

impl SegmentKey {
    /// The checksum of these bytes in this segment.
    pub fn checksum(&self, bytes: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.salt.to_le_bytes());
        hasher.update(&self.mark.to_le_bytes());
        hasher.update(bytes);
        hasher.finalize()
    }
}

/// Tells a journal from all others, for as long as there is a segment of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity(pub u64);

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a segment of version 2 says besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The journal that it belongs to.
    pub identity: Identity,
    /// Whether IDs may have been acknowledged before their messages were synced, from the first on.
    pub is_unsynced: bool,
    /// The sequence of the oldest segment that counts.
    pub oldest: u64,
    /// How many headers with this sequence could not be written before.
    pub attempt: u32,
}

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The length of the file, in bytes.
    pub segment_bytes: u32,
    /// The number of this use of a segment.
    pub sequence: u64,
    /// How its records are told from others.
    pub key: SegmentKey,
    /// Where what counts of the segment before it ends.
    pub previous_end: u32,
    /// The least ID that a message in it may have.
    pub first_id: u64,
    /// None: it is of version 1, which does not say.
    pub origin: Option<Origin>,
}

impl Header {
    /// Where its records end at the latest.
    pub fn records_end(&self) -> u32 {
        match self.origin {
            Some(_) => self.segment_bytes.saturating_sub(SEGMENT_MARKS_BYTES as u32),
            None => self.segment_bytes,
        }
    }

    /// The journal that it belongs to, if it says so.
    pub fn identity(&self) -> Option<Identity> {
        self.origin.map(|origin| origin.identity)
    }

    /// The sequence of the oldest segment that counts, as far as it says so.
    pub fn oldest(&self) -> u64 {
        self.origin.map_or(0, |origin| origin.oldest)
    }

    /// Its sequence and its attempt: of two segments of one journal, the one with the greater turn is the later one.
    pub fn turn(&self) -> (u64, u32) {
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

    /// What keeps programs away from its segment that do not know its version.
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
        bytes[32..36].copy_from_slice(&self.key.mark.to_le_bytes());
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

    /// The headers of a segment that begins with that page, each if it is whole: both are the same, unless the page is torn.
    ///
    /// # Errors
    /// It is of that version, which is not known here.
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

    /// The header that these bytes begin with. None: there is none, or it is damaged, or of another version, or says what cannot be.
    fn parse(bytes: &[u8], version: u64, length: usize) -> Option<Self> {
        let bytes = bytes.get(..length)?;
        let field = |offset: usize, length: usize| number(&bytes[offset..offset + length]);
        let is_ours = bytes[..8] == *MAGIC && field(8, 4) == version;
        if !is_ours || field(length - 4, 4) != crc32fast::hash(&bytes[..length - 4]).into() {
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
            key: SegmentKey { salt: field(24, 8), mark: field(32, 4) as u32 },
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
        key: SegmentKey { mark: 5, salt: 6 },
        previous_end: 8_192,
        first_id: 77,
        origin: None,
    };
    const ORIGIN: Origin = Origin { identity: Identity(8), is_unsynced: true, oldest: 2, attempt: 1 };
    const SECOND: Header = Header { origin: Some(ORIGIN), ..FIRST };

    #[test]
    fn what_was_written_is_read_and_every_flipped_bit_is_noticed() {
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
    fn a_damaged_guard_changes_nothing_for_who_knows_the_version() {
        let page = SECOND.to_page();
        for bit in 0..8 * FIRST_HEADER_BYTES {
            let mut flipped = page;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::from_page(&flipped), Ok([Some(SECOND); 2]), "bit {bit}");
        }
    }

    #[test]
    fn whoever_knows_version_1_alone_finds_a_journal_of_a_size_that_cannot_be() {
        let page = SECOND.to_page();
        let guard = Header::parse(&page, 1, FIRST_HEADER_BYTES).unwrap();
        assert!(!(guard.segment_bytes as usize).is_multiple_of(PAGE_BYTES));
        assert_eq!(Header::parse(&page[FIRST_HEADER_OFFSETS[1]..], 1, FIRST_HEADER_BYTES), None);
    }

    #[test]
    fn a_later_version_is_told_and_damage_is_not_taken_for_one() {
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
    fn a_torn_page_shows_what_was_written_last_or_what_was_there_before() {
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
            let expected = match () {
                () if is_written(2) || is_written(6) => 9,
                () if is_written(0) && is_written(4) => 0,
                () => 3,
            };
            assert_eq!(sequences.into_iter().max(), Some(expected), "{sectors:b}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for header in [FIRST, SECOND] {
            for header in [
                Header { previous_end: 4_095, ..header },
                Header { previous_end: 65_537, ..header },
                Header { sequence: 0, ..header },
            ] {
                assert_eq!(Header::from_page(&header.to_page()), Ok([None; 2]), "{header:?}");
            }
        }
        let younger_than_the_oldest = Header { sequence: ORIGIN.oldest - 1, ..SECOND };
        assert_eq!(Header::from_page(&younger_than_the_oldest.to_page()), Ok([None; 2]));
    }
}
