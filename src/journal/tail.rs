//! Finds where the records of a segment end, in a time that does not grow with the segment.
//!
//! Synced records have no gaps. After them a power cut may leave gaps, because the system writes pages in any order.
//! But the writer leaves at most a *stretch* and one batch unsynced. So the search looks for a whole record in each
//! stretch of the segment, from its end backwards. It scans from the first record that it finds. The scan ends at a gap
//! so long that no record can follow it: [`end_gap_bytes`].
//!
//! A damaged record is lost. The whole records after it are valid: either the server acknowledged them, or they were
//! being written when the power failed, and then keeping them does no harm. Bytes are torn only if they have the tag of
//! the segment and follow its last whole record.

use super::catalog::{Extent, Span};
use super::disk::Source;
use super::headers::FIRST_OFFSET;
use super::mark::Marks;
use super::scan::{Position, Scan, Step, Window, end_gap_bytes};
use super::segment::Header;
use crate::limits::{JOURNAL_STRETCH_BYTES, RECORD_HEADER_BYTES};
use nix::errno::Errno;

/// The end of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The end of its records.
    pub end: u32,
    /// The next ID according to its whole records.
    pub next_id: u64,
    /// Damaged bytes before the end, in the part that was scanned.
    pub damaged_bytes: u32,
    /// Bytes after the end that show that there were more records.
    pub torn_bytes: u32,
}

impl Tail {
    /// Finds the end of a segment in which the writer left at most `stretch_bytes` and one batch unsynced.
    ///
    /// # Errors
    /// The disk's.
    pub fn read(
        disk: &impl Source,
        segment: usize,
        header: &Header,
        stretch_bytes: u32,
        window: &mut Window,
    ) -> Result<Self, Errno> {
        let span = Span { segment, header: *header, extent: Extent::Open(header.records_end()) };
        let scan = Scan::new(segment, header.key, 0..0, window);
        let mut scan = scan.with_gap_bytes_max(end_gap_bytes(stretch_bytes));
        let start = last_stretch(disk, &mut scan, &span, stretch_bytes)?;
        scan.go_to(&span, Position::new(start));
        let mut tail = Self { end: start, next_id: header.first_id, damaged_bytes: 0, torn_bytes: 0 };
        loop {
            match scan.next(disk)? {
                Step::Record(record) => {
                    tail.next_id = tail.next_id.max(record.id.saturating_add(1));
                    tail.damaged_bytes += core::mem::take(&mut tail.torn_bytes);
                    tail.end = scan.at();
                }
                Step::Damage(_) => tail.torn_bytes = scan.at().saturating_sub(tail.end),
                Step::End => break,
            }
        }
        Ok(tail)
    }

    /// The next ID according to the records and the torn bytes, if all IDs below `issued` were issued before. At most
    /// as many messages were torn as fit in these bytes. They may be newer than the mark that says what was issued.
    pub fn next_id_after(&self, issued: u64) -> u64 {
        let torn = self.torn_bytes.div_ceil(RECORD_HEADER_BYTES as u32);
        self.next_id.max(issued).saturating_add(torn.into())
    }
}

/// The offset of the first record in the last stretch in which a probe finds one. No record before it matters for the
/// end.
fn last_stretch(
    disk: &impl Source,
    scan: &mut Scan<'_>,
    span: &Span,
    stretch_bytes: u32,
) -> Result<u32, Errno> {
    // A start may read as much as it needs.
    let mut budget = u32::MAX;
    let stretches = span.extent.end().saturating_sub(FIRST_OFFSET) / stretch_bytes;
    for stretch in (1..=stretches).rev() {
        let start = FIRST_OFFSET + stretch * stretch_bytes;
        scan.go_to(span, Position::new(start));
        if let Some(location) = scan.probe(disk, start, &mut budget)? {
            return Ok(location.offset);
        }
    }
    Ok(FIRST_OFFSET)
}

/// The next ID of a journal whose last segment is this one, as far as a reader can know it.
///
/// # Errors
/// The disk's.
pub fn read_next_id(
    disk: &impl Source,
    segment: usize,
    header: &Header,
    window: &mut Window,
) -> Result<u64, Errno> {
    let tail = Tail::read(disk, segment, header, JOURNAL_STRETCH_BYTES, window)?;
    let issued = Marks::read(disk, segment, header)?.issued();
    Ok(tail.next_id_after(issued.next_id).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::record::Record;
    use crate::journal::segment::SegmentKey;
    use crate::limits::{JOURNAL_BATCH_BYTES, JOURNAL_READ_BYTES};
    use crate::protocol::Priority;
    use std::cell::Cell;

    const KEY: SegmentKey = SegmentKey { tag: 3, salt: 4 };

    /// A segment in memory, and how many bytes were read.
    struct Memory(Vec<u8>, Cell<u64>);

    impl Source for Memory {
        fn read(&self, _: usize, offset: u32, bytes: &mut [u8]) -> Result<(), Errno> {
            self.1.set(self.1.get() + bytes.len() as u64);
            bytes.copy_from_slice(&self.0[offset as usize..][..bytes.len()]);
            Ok(())
        }
    }

    fn header(segment_bytes: u32) -> Header {
        Header { segment_bytes, sequence: 1, key: KEY, previous_end: FIRST_OFFSET, first_id: 1, origin: None }
    }

    /// A segment of that length with records up to that offset, the offset of each record, and the end of the last
    /// one.
    fn filled(bytes: u32, up_to: u32) -> (Memory, Vec<u32>) {
        let (mut file, mut at, mut offsets) = (vec![0; bytes as usize], FIRST_OFFSET as usize, Vec::new());
        while at < up_to as usize {
            let id = offsets.len() as u64 + 1;
            let record =
                Record { id, time_ms: 0, priority: Priority::NORMAL, from: b"a", text: &[b'x'; 400] };
            offsets.push(at as u32);
            at += record.write(&KEY, &mut file[at..]).unwrap();
        }
        offsets.push(at as u32);
        (Memory(file, Cell::new(0)), offsets)
    }

    fn read(memory: &Memory, stretch_bytes: u32) -> Tail {
        let mut window = Box::new([0; JOURNAL_READ_BYTES]);
        Tail::read(memory, 0, &header(memory.0.len() as u32), stretch_bytes, &mut window).unwrap()
    }

    #[test]
    fn end_is_found_at_any_offset_with_few_reads() {
        const BYTES: u32 = 128 * 1024 * 1024;
        for up_to in [FIRST_OFFSET, 40_000, 9 << 20, 64 << 20, (127 << 20) + 77_777] {
            let (memory, offsets) = filled(BYTES, up_to);
            let tail = read(&memory, JOURNAL_STRETCH_BYTES);
            let (end, next_id) = (*offsets.last().unwrap(), offsets.len() as u64);
            assert_eq!(tail, Tail { end, next_id, damaged_bytes: 0, torn_bytes: 0 });
            let most = u64::from(end_gap_bytes(JOURNAL_STRETCH_BYTES) + JOURNAL_STRETCH_BYTES) + (1 << 20);
            assert!(memory.1.get() < most, "{} of {BYTES}", memory.1.get());
        }
    }

    #[test]
    fn gaps_left_by_a_power_cut_hide_no_record_behind_them() {
        const STRETCH: u32 = 64 * 1024;
        const BYTES: u32 = 2 * 1024 * 1024;
        // The writer wrote up to there, and synced all but the last stretch and batch.
        for up_to in (8..30).map(|step| step * STRETCH + 5_000) {
            let (memory, offsets) = filled(BYTES, up_to);
            let synced = offsets.last().unwrap() - STRETCH - JOURNAL_BATCH_BYTES as u32;
            let last = offsets[offsets.len() - 2];
            for kept in [last, offsets[offsets.len() - 20]] {
                let mut torn = Memory(memory.0.clone(), Cell::new(0));
                // Of the unsynced records only one reached the disk.
                torn.0[synced as usize..kept as usize].fill(0);
                let behind = offsets[offsets.iter().position(|offset| *offset == kept).unwrap() + 1];
                torn.0[behind as usize..].fill(0);
                assert_eq!(read(&torn, STRETCH).end, behind, "{up_to}");
            }
        }
    }

    #[test]
    fn damage_in_the_middle_differs_from_a_torn_end() {
        let (memory, offsets) = filled(1 << 20, 500_000);
        let last = offsets.len() - 2;
        for damaged in [0, 1, 500, last - 1, last] {
            let mut flipped = Memory(memory.0.clone(), Cell::new(0));
            flipped.0[offsets[damaged] as usize + 9] ^= 1;
            let tail = read(&flipped, JOURNAL_STRETCH_BYTES);
            let bytes = offsets[damaged + 1] - offsets[damaged];
            let expected = match damaged == last {
                true => Tail { end: offsets[last], damaged_bytes: 0, ..tail },
                false => Tail {
                    end: offsets[last + 1],
                    next_id: last as u64 + 2,
                    damaged_bytes: bytes,
                    torn_bytes: 0,
                },
            };
            assert_eq!(tail, expected);
            assert_eq!(tail.torn_bytes > 0, damaged == last);
            assert!(tail.next_id_after(0) > last as u64 + 1);
        }
    }
}
