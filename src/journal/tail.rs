//! Where the records of a segment end, found in a time that does not grow with the segment.
//!
//! What was synced has no holes. What was written behind that may have some after a power cut, for the system writes in any order; but
//! the writer has no more than a *stretch* unsynced, and one batch. So there is a look into each stretch of the segment, from its end on
//! backwards, for a whole record. From the last one that is found all is read, until there is none for so long that nothing can follow:
//! [`silence_bytes`].
//!
//! A record that is damaged costs itself. Those behind it are whole, and count: they were acknowledged, or may have been on their way
//! when the power failed, and then it does no harm to keep them. Only what has the mark of the segment behind the last whole record is
//! torn.

use super::catalog::{Extent, Span};
use super::disk::Source;
use super::scan::{Position, Scan, Step, Window};
use super::segment::Header;
use super::writer::FIRST_OFFSET;
use crate::limits::{JOURNAL_BATCH_BYTES, JOURNAL_PROBE_BYTES, PAGE_BYTES, RECORD_HEADER_BYTES};
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
        let scan = Scan::new(segment, header.seal, 0..0, window);
        let mut scan = scan.with_patience(silence_bytes(stretch_bytes));
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

/// So many bytes without a whole record are behind all records, wherever a look into each stretch found the last one.
///
/// From there it is a stretch, at most, to the next look, which found nothing: so no more was synced than up to the end of that look. And
/// no more was written than a stretch and a batch behind what was synced, in whole pages.
pub const fn silence_bytes(stretch_bytes: u32) -> u32 {
    2 * stretch_bytes + (JOURNAL_PROBE_BYTES + JOURNAL_BATCH_BYTES + 2 * PAGE_BYTES) as u32
}
