//! Reads what a journal shows.

use super::message::Message;
use crate::journal::disk::Source;
use crate::journal::headers::{FIRST_OFFSET, Headers};
use crate::journal::scan::{Scan, Step, Window};
use crate::journal::segment::Header;
use crate::journal::simulated::SimulatedDisk;
use crate::limits::{JOURNAL_READ_BYTES, JOURNAL_SEGMENTS};

/// The IDs and serial numbers that were read.
type Seen = Vec<(u64, u64)>;

/// Reads the messages of the journal. It caches each segment until the segment changes.
pub(super) struct Reader {
    known: [Option<(Part, Seen)>; JOURNAL_SEGMENTS],
    pub(super) window: Box<Window>,
}

/// The version of a segment's content.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Part {
    version: u64,
    pub(super) sequence: u64,
    pub(super) end: u32,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self { known: [const { None }; JOURNAL_SEGMENTS], window: Box::new([0; JOURNAL_READ_BYTES]) }
    }

    /// IDs and serial numbers in the order of the segments.
    pub(super) fn read(&mut self, disk: &SimulatedDisk, headers: &Headers, end: u32) -> Result<Seen, String> {
        let mut seen = Vec::new();
        for (segment, end) in order(headers, end) {
            let sequence = headers[segment].map_or(0, |header| header.sequence);
            let part = Part { version: disk.version(segment), sequence, end };
            if self.known[segment].as_ref().is_none_or(|(known, _)| *known != part) {
                let read = self.read_segment(&disk.fault_free(), headers, segment, end)?;
                self.known[segment] = Some((part, read));
            }
            seen.extend(self.known[segment].iter().flat_map(|(_, read)| read));
        }
        Ok(seen)
    }

    fn read_segment(
        &mut self,
        disk: &impl Source,
        headers: &Headers,
        segment: usize,
        end: u32,
    ) -> Result<Seen, String> {
        let key = headers[segment].unwrap().key;
        let mut scan = Scan::new(segment, key, FIRST_OFFSET..end, &mut self.window);
        let mut read = Vec::new();
        loop {
            match scan.next(disk).map_err(|errno| format!("segment {segment}: {errno}"))? {
                Step::Record(record) if record != Message::new(record.time_ms).record(record.id) => {
                    return Err(format!("{record:?} was never written"));
                }
                Step::Record(record) => read.push((record.id, record.time_ms)),
                Step::Damage(_) => {}
                Step::End => return Ok(read),
            }
        }
    }
}

/// The segments in the order of their sequence, and where the valid records of each end.
pub(super) fn order(headers: &Headers, last_end: u32) -> Vec<(usize, u32)> {
    let mut used: Vec<_> =
        (0..JOURNAL_SEGMENTS).filter_map(|at| headers[at].map(|header| (header, at))).collect();
    used.sort_by_key(|(header, _)| header.sequence);
    let last = used.last().map(|(header, _)| header.sequence);
    let end = |header: &Header| {
        let next = used.iter().find(|(next, _)| next.sequence == header.sequence + 1);
        let end = next.map_or(header.records_end(), |(next, _)| next.previous_end);
        if last == Some(header.sequence) { last_end } else { end }
    };
    used.iter().map(|(header, segment)| (*segment, end(header))).collect()
}
