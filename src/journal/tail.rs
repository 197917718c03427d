//! Where the records of a segment end, found in a time that does not grow with the segment.
//!
//! What was synced has no holes. What was written behind that may have some after a power cut, for the system writes in any order; but
//! the writer has no more than a *stretch* unsynced, and one batch. So there is a look into each stretch of the segment, from its end on
//! backwards, for a whole record. From the last one that is found all is read, until there is none for so long that nothing can follow:
//! [`silence_bytes`](super::scan::silence_bytes).
//!
//! A record that is damaged costs itself. Those behind it are whole, and count: they were acknowledged, or may have been on their way
//! when the power failed, and then it does no harm to keep them. Only what has the mark of the segment behind the last whole record is
//! torn.

use super::catalog::{Extent, Span};
use super::disk::Source;
use super::headers::FIRST_OFFSET;
use super::scan::{Position, Scan, Step, Window, silence_bytes};
use super::segment::Header;
use crate::limits::RECORD_HEADER_BYTES;
use nix::errno::Errno;

/// What the last segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Where its records end.
    pub end: u32,
    /// The ID that comes next.
    pub next_id: u64,
    /// Bytes before the end that are no whole records, as far as it was read.
    pub damaged_bytes: u32,
    /// Bytes behind the end that show that there was more.
    pub torn_bytes: u32,
}

impl Tail {
    /// Finds it in a segment of which no more than `stretch_bytes` were written without a sync, and one batch.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn read(
        disk: &impl Source,
        segment: usize,
        header: &Header,
        stretch_bytes: u32,
        window: &mut Window,
    ) -> Result<Self, Errno> {
        let span = Span { segment, header: *header, extent: Extent::Open(header.records_end()) };
        let scan = Scan::new(segment, header.key, 0..0, window);
        let mut scan = scan.with_gap_bytes_max(silence_bytes(stretch_bytes));
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
        // So many messages may have stood there, and their IDs are taken.
        let torn = tail.torn_bytes.div_ceil(RECORD_HEADER_BYTES as u32);
        tail.next_id = tail.next_id.saturating_add(torn.into());
        Ok(tail)
    }
}

/// Where a record begins behind which all others are: the first one that is found in the last stretch that shows one.
fn last_stretch(
    disk: &impl Source,
    scan: &mut Scan<'_>,
    span: &Span,
    stretch_bytes: u32,
) -> Result<u32, Errno> {
    // A start may read as much as that takes.
    let mut budget = u32::MAX;
    let stretches = span.extent.end().saturating_sub(FIRST_OFFSET) / stretch_bytes;
    for stretch in (1..=stretches).rev() {
        let start = FIRST_OFFSET + stretch * stretch_bytes;
        scan.go_to(span, Position::new(start));
        if let Some(landmark) = scan.probe(disk, start, &mut budget)? {
            return Ok(landmark.offset);
        }
    }
    Ok(FIRST_OFFSET)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::record::Record;
    use crate::journal::segment::SegmentKey;
    use crate::limits::{JOURNAL_BATCH_BYTES, JOURNAL_READ_BYTES, JOURNAL_STRETCH_BYTES};
    use crate::protocol::Priority;
    use std::cell::Cell;

    const SEAL: SegmentKey = SegmentKey { mark: 3, salt: 4 };

    /// A segment in memory, and how much of it was read.
    struct Memory(Vec<u8>, Cell<u64>);

    impl Source for Memory {
        fn read(&self, _: usize, offset: u32, bytes: &mut [u8]) -> Result<(), Errno> {
            self.1.set(self.1.get() + bytes.len() as u64);
            bytes.copy_from_slice(&self.0[offset as usize..][..bytes.len()]);
            Ok(())
        }
    }

    fn header(segment_bytes: u32) -> Header {
        Header {
            segment_bytes,
            sequence: 1,
            key: SEAL,
            previous_end: FIRST_OFFSET,
            first_id: 1,
            origin: None,
        }
    }

    /// A segment of that length with records up to some place, and where each of them begins.
    fn filled(bytes: u32, up_to: u32) -> (Memory, Vec<u32>) {
        let (mut file, mut at, mut places) = (vec![0; bytes as usize], FIRST_OFFSET as usize, Vec::new());
        while at < up_to as usize {
            let id = places.len() as u64 + 1;
            let record =
                Record { id, time_ms: 0, priority: Priority::NORMAL, from: b"a", text: &[b'x'; 400] };
            places.push(at as u32);
            at += record.write(&SEAL, &mut file[at..]).unwrap();
        }
        places.push(at as u32);
        (Memory(file, Cell::new(0)), places)
    }

    fn read(memory: &Memory, stretch_bytes: u32) -> Tail {
        let mut window = Box::new([0; JOURNAL_READ_BYTES]);
        Tail::read(memory, 0, &header(memory.0.len() as u32), stretch_bytes, &mut window).unwrap()
    }

    #[test]
    fn the_end_is_found_wherever_it_is_and_little_is_read_for_that() {
        const BYTES: u32 = 128 * 1024 * 1024;
        for up_to in [FIRST_OFFSET, 40_000, 9 << 20, 64 << 20, (127 << 20) + 77_777] {
            let (memory, places) = filled(BYTES, up_to);
            let tail = read(&memory, JOURNAL_STRETCH_BYTES);
            let (end, next_id) = (*places.last().unwrap(), places.len() as u64);
            assert_eq!(tail, Tail { end, next_id, damaged_bytes: 0, torn_bytes: 0 });
            let most = u64::from(silence_bytes(JOURNAL_STRETCH_BYTES) + JOURNAL_STRETCH_BYTES) + (1 << 20);
            assert!(memory.1.get() < most, "{} of {BYTES}", memory.1.get());
        }
    }

    #[test]
    fn holes_that_a_power_cut_can_leave_hide_nothing_that_was_written() {
        const STRETCH: u32 = 64 * 1024;
        const BYTES: u32 = 2 * 1024 * 1024;
        // All was written up to there, and synced up to a stretch and a batch before.
        for up_to in (8..30).map(|step| step * STRETCH + 5_000) {
            let (memory, places) = filled(BYTES, up_to);
            let synced = places.last().unwrap() - STRETCH - JOURNAL_BATCH_BYTES as u32;
            let last = places[places.len() - 2];
            for kept in [last, places[places.len() - 20]] {
                let mut torn = Memory(memory.0.clone(), Cell::new(0));
                // One record alone came to the disk of what was not synced.
                torn.0[synced as usize..kept as usize].fill(0);
                let behind = places[places.iter().position(|place| *place == kept).unwrap() + 1];
                torn.0[behind as usize..].fill(0);
                assert_eq!(read(&torn, STRETCH).end, behind, "{up_to}");
            }
        }
    }

    #[test]
    fn damage_in_the_middle_is_told_from_a_torn_end() {
        let (memory, places) = filled(1 << 20, 500_000);
        let last = places.len() - 2;
        for damaged in [0, 1, 500, last - 1, last] {
            let mut flipped = Memory(memory.0.clone(), Cell::new(0));
            flipped.0[places[damaged] as usize + 9] ^= 1;
            let tail = read(&flipped, JOURNAL_STRETCH_BYTES);
            let bytes = places[damaged + 1] - places[damaged];
            let expected = match damaged == last {
                true => Tail { end: places[last], damaged_bytes: 0, ..tail },
                false => Tail {
                    end: places[last + 1],
                    next_id: last as u64 + 2,
                    damaged_bytes: bytes,
                    torn_bytes: 0,
                },
            };
            assert_eq!(tail, expected);
            assert_eq!(tail.torn_bytes > 0, damaged == last);
            assert!(tail.next_id > last as u64 + 1);
        }
    }
}
