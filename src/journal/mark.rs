//! A mark: what a segment says of the IDs that were given, where its records alone do not tell. Numbers are little-endian.
//!
//! | offset | bytes | |
//! | ---: | ---: | --- |
//! | 0 | 4 | the checksum: CRC-32 (IEEE) of the segment's salt and mark, and of the bytes that follow |
//! | 4 | 4 | zeroes |
//! | 8 | 8 | its number: of two, the one with the higher number counts |
//! | 16 | 8 | all IDs below that may have been given |
//! | 24 | 8 | 1: and so may as many more as find room in the segment, for they were not synced before their ACK; 0: and no more |
//!
//! An ID whose message is acknowledged before it is synced may be on no disk after a power cut. It must not be given again all the
//! same. So before the first such ACK in a segment, the segment says that there are some: in its header if it is known when the segment
//! begins, else in a mark. An end in order writes a mark that has the next ID. A start after another end skips as many IDs as may have
//! been given: no more than the smallest messages that find room behind the last one that is on the disk.
//!
//! Two pages at the end of the segment take turns, so a torn mark leaves the one before it. The salt of the segment is in the checksum,
//! so a mark of a former use is none.
//!
//! If a file was cut short, its last mark is gone. So the start that brings it to its length leaves a trace in that place: then IDs may have
//! been given as if they had not been synced.

use super::disk::{Disk, Source};
use super::number::number;
use super::record::ALIGNMENT;
use super::segment::{Header, SegmentKey};
use crate::limits::{BATCH, JOURNAL_BATCHES_MAX, PAGE_BYTES, RECORD_HEADER_BYTES, SEGMENT_MARKS_BYTES};
use nix::errno::Errno;

/// The length of a mark without the rest of its page.
pub const MARK_BYTES: usize = 32;

/// What stands in place of the last mark where bytes at the end of the segment were missing at a start.
const CUT: &[u8] = b"cut off";

/// The last page of a segment whose last bytes were missing: any ID that finds room in it may have been given. The next mark overwrites
/// it, for it is in the place of the first one, and of the later one where an earlier is left.
pub fn cut_page() -> [u8; PAGE_BYTES] {
    let mut page = [0; PAGE_BYTES];
    page[..CUT.len()].copy_from_slice(CUT);
    page
}

/// The smallest record, in bytes.
const RECORD_BYTES_MIN: usize = RECORD_HEADER_BYTES.next_multiple_of(ALIGNMENT);

/// What was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// All IDs below that may have been given.
    pub next_id: u64,
    /// And so may as many more as find room in the segment.
    pub is_unsynced: bool,
}

impl Given {
    /// What a header alone says.
    pub fn of_header(header: &Header) -> Self {
        let is_unsynced = header.origin.is_some_and(|origin| origin.is_unsynced);
        Self { next_id: header.first_id, is_unsynced }
    }

    /// The next ID that was not given for sure, where the records of a segment end at `end`, with that ID next by them.
    pub fn next_id(self, header: &Header, end: u32, by_records: u64) -> u64 {
        let next_id = self.next_id.max(by_records);
        if self.is_unsynced { next_id.saturating_add(ids_in(header, end)) } else { next_id }
    }
}

/// How many IDs may have been given behind that place of a segment. One commit may have failed in it, whose IDs were printed.
pub fn ids_in(header: &Header, end: u32) -> u64 {
    let room = header.records_end().saturating_sub(end) as usize;
    (room / RECORD_BYTES_MIN + JOURNAL_BATCHES_MAX * BATCH) as u64
}

/// The marks of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// The number of the last one; 0: there is none.
    number: u64,
    /// What holds.
    given: Given,
}

impl Marks {
    /// Those of a segment with that header, to which none was written.
    pub fn of_header(header: &Header) -> Self {
        Self { number: 0, given: Given::of_header(header) }
    }

    /// Those of a segment with that header. Version 1 has none, but may be cut short.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn read(disk: &impl Source, segment: usize, header: &Header) -> Result<Self, Errno> {
        let mut marks = Self::of_header(header);
        let mut is_cut = false;
        for page in 0..2 {
            let mut bytes = [0; MARK_BYTES];
            disk.read(segment, offset(header, page), &mut bytes)?;
            is_cut |= bytes.starts_with(CUT);
            if let Some(mark) =
                Self::from_bytes(&bytes, &header.key).filter(|mark| mark.number > marks.number)
            {
                marks = mark;
            }
        }
        marks.given.is_unsynced |= is_cut;
        Ok(marks)
    }

    /// What holds.
    pub fn given(&self) -> Given {
        self.given
    }

    /// Writes that this holds now. It must be synced.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn write(
        &mut self,
        disk: &mut impl Disk,
        segment: usize,
        header: &Header,
        page: &mut [u8; PAGE_BYTES],
        given: Given,
    ) -> Result<(), Errno> {
        let mark = Self { number: self.number + 1, given };
        mark.rewrite(disk, segment, header, page)?;
        *self = mark;
        Ok(())
    }

    /// Writes the last mark to its place once more, which changes nothing. It must be synced.
    ///
    /// # Errors
    /// Those of the disk; `ENODEV`: version 1 has no marks.
    pub fn rewrite(
        &self,
        disk: &mut impl Disk,
        segment: usize,
        header: &Header,
        page: &mut [u8; PAGE_BYTES],
    ) -> Result<(), Errno> {
        if header.origin.is_none() {
            return Err(Errno::ENODEV);
        }
        page.fill(0);
        page[..MARK_BYTES].copy_from_slice(&self.to_bytes(&header.key));
        disk.write(segment, offset(header, self.number % 2), page)
    }

    fn to_bytes(self, key: &SegmentKey) -> [u8; MARK_BYTES] {
        let mut bytes = [0; MARK_BYTES];
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.given.next_id.to_le_bytes());
        bytes[24..32].copy_from_slice(&u64::from(self.given.is_unsynced).to_le_bytes());
        let checksum = key.checksum(&bytes[4..]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; MARK_BYTES], key: &SegmentKey) -> Option<Self> {
        if number(&bytes[..4]) != key.checksum(&bytes[4..]).into() {
            return None;
        }
        let given = Given { next_id: number(&bytes[16..24]), is_unsynced: number(&bytes[24..32]) != 0 };
        Some(Self { number: number(&bytes[8..16]), given })
    }
}

/// Where the mark in that page stands, of the last two.
fn offset(header: &Header, page: u64) -> u32 {
    header.segment_bytes.saturating_sub(SEGMENT_MARKS_BYTES as u32) + (page * PAGE_BYTES as u64) as u32
}

const _: () = assert!(SEGMENT_MARKS_BYTES == 2 * PAGE_BYTES, "two marks take turns");

#[cfg(test)]
mod tests {
    use super::*;

    const SEAL: SegmentKey = SegmentKey { mark: 1, salt: 2 };

    #[test]
    fn what_was_written_is_read_and_every_flipped_bit_is_noticed() {
        let mark = Marks { number: 3, given: Given { next_id: 77, is_unsynced: true } };
        let bytes = mark.to_bytes(&SEAL);
        assert_eq!(Marks::from_bytes(&bytes, &SEAL), Some(mark));
        assert_eq!(Marks::from_bytes(&bytes, &SegmentKey { salt: 3, ..SEAL }), None, "a former use's");
        for bit in 0..8 * MARK_BYTES {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Marks::from_bytes(&flipped, &SEAL), None, "bit {bit}");
        }
    }

    #[test]
    fn no_more_ids_are_skipped_than_find_room() {
        use crate::journal::segment::{Identity, Origin};
        let origin = Some(Origin { identity: Identity(1), is_unsynced: true, oldest: 1, attempt: 0 });
        let header = Header {
            segment_bytes: 131_072,
            sequence: 1,
            key: SEAL,
            previous_end: 4_096,
            first_id: 5,
            origin,
        };
        let slack = (JOURNAL_BATCHES_MAX * BATCH) as u64;
        let given = Given::of_header(&header);
        assert_eq!(given.next_id(&header, 4_096, 5), 5 + (131_072 - 3 * 4_096) / 32 + slack);
        assert_eq!(given.next_id(&header, header.records_end(), 90), 90 + slack);
        // What operations.md says, for 1M and 64M.
        let of_8_mib = Header { segment_bytes: 8 << 20, ..header };
        assert_eq!((ids_in(&header, 4_096), ids_in(&of_8_mib, 4_096)), (4_736, 262_784));
        let synced = Given { next_id: 100, is_unsynced: false };
        assert_eq!((synced.next_id(&header, 4_096, 5), synced.next_id(&header, 4_096, 200)), (100, 200));
    }
}
