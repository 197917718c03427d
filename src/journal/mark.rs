//! A mark: which IDs the server may have issued in a segment, where the records do not show it. Numbers are
//! little-endian.
//!
//! | offset | bytes | |
//! | ---: | ---: | --- |
//! | 0 | 4 | the checksum: CRC-32 (IEEE) of the segment's salt and tag, and of the bytes that follow |
//! | 4 | 4 | zeroes |
//! | 8 | 8 | the number of the mark: of two marks, the one with the higher number is valid |
//! | 16 | 8 | the server may have issued all IDs below this one |
//! | 24 | 8 | 1: it may also have issued as many more as fit in the segment, because it acknowledged them before a sync; 0: no more |
//!
//! If the server acknowledges a message before it syncs it, a power cut may remove the message from the disk. The
//! server must not issue its ID again even then. So before the first such ACK in a segment, the segment records that
//! unsynced IDs exist: in its header if the writer knows it when the segment begins, else in a mark. An orderly
//! shutdown writes a mark with the next ID. A start after any other end skips as many IDs as the server may have
//! issued: at most one for each of the smallest messages that fit after the last record on the disk, and those of one
//! failed commit.
//!
//! The marks of a segment alternate between the two pages at its end. So a torn mark leaves the previous one intact.
//! The checksum covers the segment's salt, so a mark of an earlier segment in the same file is not valid.
//!
//! If somebody truncated a file, its last mark is gone. The start that extends the file to its length leaves a trace in
//! place of the mark. The trace means that the server may also have issued unsynced IDs.

use super::disk::{Disk, Source};
use super::number::number;
use super::record::ALIGNMENT;
use super::segment::{Header, SegmentKey};
use crate::limits::{BATCH, JOURNAL_BATCHES_MAX, PAGE_BYTES, RECORD_HEADER_BYTES, SEGMENT_MARKS_BYTES};
use nix::errno::Errno;

/// The length of a mark without the rest of its page.
pub const MARK_BYTES: usize = 32;

/// The trace that replaces the last mark if bytes at the end of the file were missing at a start.
const CUT: &[u8] = b"cut off";

/// The last page of a segment whose last bytes were missing: the server may have issued any ID that fits in the
/// segment. The next mark overwrites the page: the first mark of a segment goes there, and so does the mark that
/// follows one in the other page.
pub static CUT_PAGE: [u8; PAGE_BYTES] = {
    let mut page = [0; PAGE_BYTES];
    page.split_at_mut(CUT.len()).0.copy_from_slice(CUT);
    page
};

/// The smallest record, in bytes.
const RECORD_BYTES_MIN: usize = RECORD_HEADER_BYTES.next_multiple_of(ALIGNMENT);

/// Which IDs the server may have issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IssuedIds {
    /// The server may have issued all IDs below this one.
    pub next_id: u64,
    /// Whether it may also have issued as many more as fit in the segment.
    pub is_unsynced: bool,
}

impl IssuedIds {
    /// According to a header alone.
    pub fn of_header(header: &Header) -> Self {
        let is_unsynced = header.origin.is_some_and(|origin| origin.is_unsynced);
        Self { next_id: header.first_id, is_unsynced }
    }

    /// The least ID that the server has certainly not issued. The records of the segment end at `end`; `by_records` is
    /// the next ID according to them.
    pub fn next_id(self, header: &Header, end: u32, by_records: u64) -> u64 {
        let next_id = self.next_id.max(by_records);
        if self.is_unsynced { next_id.saturating_add(ids_in(header, end)) } else { next_id }
    }
}

/// How many IDs the server may have issued for the part of a segment that begins at `end`. That includes one failed
/// commit, whose IDs `--print` may have shown.
pub fn ids_in(header: &Header, end: u32) -> u64 {
    let room = header.records_end().saturating_sub(end) as usize;
    (room / RECORD_BYTES_MIN + JOURNAL_BATCHES_MAX * BATCH) as u64
}

/// The marks of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// The number of the last mark, or 0 if the segment has none.
    number: u64,
    /// The issued IDs according to the last mark, or else to the header.
    issued: IssuedIds,
}

impl Marks {
    /// The marks of a new segment with that header: it has none yet.
    pub fn of_header(header: &Header) -> Self {
        Self { number: 0, issued: IssuedIds::of_header(header) }
    }

    /// Reads the marks of a segment with that header. Version 1 has none, but its files may be truncated too.
    ///
    /// # Errors
    /// The disk's.
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
        marks.issued.is_unsynced |= is_cut;
        Ok(marks)
    }

    /// Which IDs the server may have issued.
    pub fn issued(&self) -> IssuedIds {
        self.issued
    }

    /// Writes the next mark. The caller must sync it.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(
        &mut self,
        disk: &mut impl Disk,
        segment: usize,
        header: &Header,
        page: &mut [u8; PAGE_BYTES],
        issued: IssuedIds,
    ) -> Result<(), Errno> {
        let mark = Self { number: self.number + 1, issued };
        mark.rewrite(disk, segment, header, page)?;
        *self = mark;
        Ok(())
    }

    /// Writes the last mark to its place again, which changes nothing. The caller must sync it.
    ///
    /// # Errors
    /// The disk's; `ENODEV`: version 1 has no marks.
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
        bytes[16..24].copy_from_slice(&self.issued.next_id.to_le_bytes());
        bytes[24..32].copy_from_slice(&u64::from(self.issued.is_unsynced).to_le_bytes());
        let checksum = key.checksum(&bytes[4..]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; MARK_BYTES], key: &SegmentKey) -> Option<Self> {
        if number(&bytes[..4]) != u64::from(key.checksum(&bytes[4..])) {
            return None;
        }
        let issued = IssuedIds { next_id: number(&bytes[16..24]), is_unsynced: number(&bytes[24..32]) != 0 };
        Some(Self { number: number(&bytes[8..16]), issued })
    }
}

/// The offset of the mark in the first (0) or the second (1) of the last two pages.
fn offset(header: &Header, page: u64) -> u32 {
    header.segment_bytes.saturating_sub(SEGMENT_MARKS_BYTES as u32) + (page * PAGE_BYTES as u64) as u32
}

const _: () = assert!(SEGMENT_MARKS_BYTES == 2 * PAGE_BYTES, "the marks alternate between two pages");

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: SegmentKey = SegmentKey { tag: 1, salt: 2 };

    #[test]
    fn mark_survives_round_trip_and_every_flipped_bit_is_detected() {
        let mark = Marks { number: 3, issued: IssuedIds { next_id: 77, is_unsynced: true } };
        let bytes = mark.to_bytes(&KEY);
        assert_eq!(Marks::from_bytes(&bytes, &KEY), Some(mark));
        assert_eq!(
            Marks::from_bytes(&bytes, &SegmentKey { salt: 3, ..KEY }),
            None,
            "that of an earlier segment"
        );
        for bit in 0..8 * MARK_BYTES {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Marks::from_bytes(&flipped, &KEY), None, "bit {bit}");
        }
    }

    #[test]
    fn skipped_ids_are_those_that_fit_in_the_segment() {
        use crate::journal::segment::{Identity, Origin};
        let origin = Some(Origin { identity: Identity(1), is_unsynced: true, oldest: 1, attempt: 0 });
        let header = Header {
            segment_bytes: 131_072,
            sequence: 1,
            key: KEY,
            previous_end: 4_096,
            first_id: 5,
            origin,
        };
        let slack = (JOURNAL_BATCHES_MAX * BATCH) as u64;
        let issued = IssuedIds::of_header(&header);
        assert_eq!(issued.next_id(&header, 4_096, 5), 5 + (131_072 - 3 * 4_096) / 32 + slack);
        assert_eq!(issued.next_id(&header, header.records_end(), 90), 90 + slack);
        // The numbers in operations.md, for 1M and 64M.
        let of_8_mib = Header { segment_bytes: 8 << 20, ..header };
        assert_eq!((ids_in(&header, 4_096), ids_in(&of_8_mib, 4_096)), (4_736, 262_784));
        let synced = IssuedIds { next_id: 100, is_unsynced: false };
        assert_eq!((synced.next_id(&header, 4_096, 5), synced.next_id(&header, 4_096, 200)), (100, 200));
    }
}
