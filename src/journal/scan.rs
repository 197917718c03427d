//! Scans a part of a segment record by record. Damage costs only the damaged records: the scan continues with the next
//! whole record.

use super::catalog::{Extent, Span};
use super::disk::Source;
use super::record::{ALIGNMENT, Absence, Record, is_tagged};
use super::segment::SegmentKey;
use crate::limits::{
    JOURNAL_BATCH_BYTES, JOURNAL_PROBE_BYTES, JOURNAL_READ_BYTES, JOURNAL_STRETCH_BYTES, PAGE_BYTES,
    RECORD_BYTES_MAX,
};
use core::ops::Range;
use nix::errno::Errno;

/// The buffer that a scan reads into.
pub type Window = [u8; JOURNAL_READ_BYTES];

/// How far a scan has come in its segment. Another scan can continue from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The end of the last result.
    at: u32,
    /// The scan has searched for a record up to there, and found none.
    searched: u32,
    /// The end of the last tagged bytes in the searched part, which show that there was a record.
    damage_end: Option<u32>,
}

impl Position {
    /// At that offset, where a record begins.
    pub fn new(at: u32) -> Self {
        Self { at, searched: at, damage_end: None }
    }

    /// The end of the last result.
    pub fn at(&self) -> u32 {
        self.at
    }
}

/// Where a record begins, and its ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordLocation {
    /// Its offset in the segment.
    pub offset: u32,
    /// The ID of its message.
    pub id: u64,
}

/// A scan of a part of a segment.
pub struct Scan<'a> {
    segment: usize,
    key: SegmentKey,
    position: Position,
    extent: Extent,
    /// In an open extent, this many bytes without a record end the scan.
    gap_bytes_max: u32,
    window: &'a mut Window,
    /// The part of the segment that is in the window.
    loaded: Range<u32>,
    /// The offset in the window of the last record.
    record: usize,
}

/// A result of a scan.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A record.
    Record(Record<'a>),
    /// This many bytes contained a record, but contain no whole one now.
    Damage(u32),
    /// The segment has no more records.
    End,
}

/// A result of a scan, but the record stays in the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ahead {
    /// A record: [`Scan::record`].
    Record,
    /// See [`Step::Damage`].
    Damage(u32),
    /// See [`Step::End`].
    End,
}

impl<'a> Scan<'a> {
    /// A scan of that part of a segment. A record begins at its start.
    pub fn new(segment: usize, key: SegmentKey, part: Range<u32>, window: &'a mut Window) -> Self {
        let (position, extent) = (Position::new(part.start), Extent::Open(part.end));
        let gap_bytes_max = end_gap_bytes(JOURNAL_STRETCH_BYTES);
        Self { segment, key, position, extent, gap_bytes_max, window, loaded: 0..0, record: 0 }
    }

    /// The same scan, but in an open extent only this many bytes without a record end it.
    pub fn with_gap_bytes_max(self, bytes: u32) -> Self {
        Self { gap_bytes_max: bytes, ..self }
    }

    /// Continues at a position in that segment, and reads it again.
    pub fn go_to(&mut self, span: &Span, position: Position) {
        self.loaded = 0..0;
        (self.segment, self.key, self.extent) = (span.segment, span.header.key, span.extent);
        self.position = position;
    }

    /// Goes back to an earlier position in the same segment.
    pub fn go_back(&mut self, position: Position) {
        self.position = position;
    }

    /// A record from which the scan can continue to find the message with that ID and all later ones: it has that ID or
    /// a lower one, and few records lie between. Returns `None` if there is no such record; then the scan has to begin
    /// at its current position.
    ///
    /// IDs rise with the offsets, so this is a binary search. It reads [`JOURNAL_PROBE_BYTES`] at a time, at most 32
    /// times, and subtracts them from `budget`. Damage makes the result less close, but never wrong.
    ///
    /// # Errors
    /// The disk's.
    pub fn seek(
        &mut self,
        disk: &impl Source,
        id: u64,
        budget: &mut u32,
    ) -> Result<Option<RecordLocation>, Errno> {
        let (mut low, mut high) = (self.position.at, self.extent.end());
        let mut closest = None;
        while high.saturating_sub(low) > JOURNAL_PROBE_BYTES as u32 {
            let middle = low + ((high - low) / 2).next_multiple_of(ALIGNMENT as u32);
            match self.probe(disk, middle, budget)?.filter(|location| location.id <= id) {
                Some(location) => (low, closest) = (location.offset, Some(location)),
                None => high = middle,
            }
        }
        match closest {
            // The search has not looked at the records before its first probe.
            None => Ok(self.probe(disk, low, budget)?.filter(|location| location.id <= id)),
            _ => Ok(closest),
        }
    }

    /// The first whole record that begins at `at`, or after it by less than the length of the longest record. Subtracts
    /// the bytes that it reads from `budget`.
    ///
    /// # Errors
    /// The disk's.
    pub fn probe(
        &mut self,
        disk: &impl Source,
        at: u32,
        budget: &mut u32,
    ) -> Result<Option<RecordLocation>, Errno> {
        *budget = budget.saturating_sub(JOURNAL_PROBE_BYTES as u32);
        let end = self.extent.end().min(at.saturating_add(JOURNAL_PROBE_BYTES as u32));
        self.fill(disk, at..end)?;
        let mut offsets = (at..end).step_by(ALIGNMENT);
        let is_record = |offset: &u32| Record::check(&self.key, self.view(*offset)).is_ok();
        let Some(offset) = offsets.find(is_record) else { return Ok(None) };
        Ok(Record::fields(self.view(offset)).map(|record| RecordLocation { offset, id: record.id }))
    }

    /// The end of the last result.
    pub fn at(&self) -> u32 {
        self.position.at
    }

    /// How far the scan has come.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The next result.
    ///
    /// # Errors
    /// The disk's.
    pub fn next(&mut self, disk: &impl Source) -> Result<Step<'_>, Errno> {
        // No segment is longer than that.
        let mut budget = u32::MAX;
        let ahead = self.advance(disk, &mut budget)?;
        Ok(match ahead {
            Some(Ahead::Record) => self.record().map_or(Step::End, Step::Record),
            Some(Ahead::Damage(bytes)) => Step::Damage(bytes),
            Some(Ahead::End) | None => Step::End,
        })
    }

    /// The next result, if the scan finds it within `budget` bytes. Subtracts the bytes that it reads. Returns `None`
    /// if the budget is used up; the next call continues.
    ///
    /// # Errors
    /// The disk's.
    pub fn advance(&mut self, disk: &impl Source, budget: &mut u32) -> Result<Option<Ahead>, Errno> {
        let at = self.position.at;
        if self.position.searched == at {
            match self.take(disk, budget)? {
                Ok(record) => return Ok(Some(record)),
                Err(Absence::Untagged) => {}
                // That includes a record whose tag alone is damaged.
                Err(_) => {
                    let behind = at.saturating_add(ALIGNMENT as u32);
                    self.position.damage_end = Some(behind.min(self.extent.end()));
                }
            }
        }
        self.resynchronise(disk, budget)
    }

    /// The record at the current position, if there is one.
    fn take(&mut self, disk: &impl Source, budget: &mut u32) -> Result<Result<Ahead, Absence>, Errno> {
        let at = self.position.at;
        self.load(disk, at)?;
        Ok(Record::check(&self.key, self.view(at)).map(|bytes| {
            self.record = (at - self.loaded.start) as usize;
            self.position = Position::new(at + bytes as u32);
            *budget = budget.saturating_sub(bytes as u32);
            Ahead::Record
        }))
    }

    /// The last record.
    pub fn record(&self) -> Option<Record<'_>> {
        Record::fields(&self.window[self.record..])
    }

    /// Searches for the next whole record.
    fn resynchronise(&mut self, disk: &impl Source, budget: &mut u32) -> Result<Option<Ahead>, Errno> {
        let end = match self.extent {
            Extent::Known(end) => end,
            Extent::Open(end) => end.min(self.position.at.saturating_add(self.gap_bytes_max)),
        };
        while self.position.searched < end {
            if *budget == 0 {
                return Ok(None);
            }
            let searched = self.position.searched;
            self.load(disk, searched)?;
            let behind = searched.saturating_add(ALIGNMENT as u32).min(end);
            if is_tagged(&self.key, self.view(searched)) {
                if Record::check(&self.key, self.view(searched)).is_ok() {
                    // The writer writes in order, so the bytes before this record are written by now. But the scan may
                    // have read them before they were written, so it reads them again.
                    self.loaded = 0..0;
                    let taken = self.take(disk, budget)?;
                    return Ok(Some(taken.unwrap_or_else(|_| self.damage_up_to(searched))));
                }
                self.position.damage_end = Some(behind);
            }
            self.position.searched = behind;
            *budget = budget.saturating_sub(ALIGNMENT as u32);
        }
        let damage_end = match self.extent {
            // There were records up to the end.
            Extent::Known(end) => Some(end).filter(|end| self.position.at < *end),
            Extent::Open(_) => self.position.damage_end,
        };
        Ok(Some(damage_end.map_or(Ahead::End, |end| self.damage_up_to(end))))
    }

    fn damage_up_to(&mut self, end: u32) -> Ahead {
        let bytes = end - self.position.at;
        self.position = Position::new(end);
        Ahead::Damage(bytes)
    }

    /// Makes sure that the window contains the longest possible record at that offset, or the rest of the extent.
    fn load(&mut self, disk: &impl Source, at: u32) -> Result<(), Errno> {
        let up_to = |bytes: usize| at.saturating_add(bytes as u32).min(self.extent.end());
        let needed = at..up_to(RECORD_BYTES_MAX.next_multiple_of(ALIGNMENT));
        if self.loaded.start <= needed.start && needed.end <= self.loaded.end {
            return Ok(());
        }
        self.fill(disk, at..up_to(JOURNAL_READ_BYTES))
    }

    /// Reads that part of the segment into the window.
    fn fill(&mut self, disk: &impl Source, part: Range<u32>) -> Result<(), Errno> {
        // If the read fails, the window contains nothing.
        self.loaded = 0..0;
        disk.read(self.segment, part.start, &mut self.window[..part.len()])?;
        self.loaded = part;
        Ok(())
    }

    /// The content of the window from that offset on.
    fn view(&self, at: u32) -> &[u8] {
        let start = at.saturating_sub(self.loaded.start) as usize;
        self.window.get(start..self.loaded.len()).unwrap_or(&[])
    }
}

/// How many bytes without a whole record show that no record follows, if the writer leaves at most `stretch_bytes`
/// and one batch unsynced.
///
/// A [tail](super::tail) probes each stretch, from the end backwards. The last probe before the one that finds a record
/// is at most a stretch further on, and has found nothing: so nothing from there on was synced. The writer has written
/// at most a stretch and a batch, in whole pages, after the synced records.
pub const fn end_gap_bytes(stretch_bytes: u32) -> u32 {
    2 * stretch_bytes + (JOURNAL_PROBE_BYTES + JOURNAL_BATCH_BYTES + 2 * PAGE_BYTES) as u32
}

#[cfg(test)]
mod tests;
