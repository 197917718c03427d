//! Reads a part of a segment record by record. What is damaged in it costs itself alone: the scan goes on with the next
//! whole record.

use super::catalog::{Extent, Span};
use super::disk::Source;
use super::record::{ALIGNMENT, Absence, Record, is_marked};
use super::segment::SegmentKey;
use crate::limits::{
    JOURNAL_BATCH_BYTES, JOURNAL_PROBE_BYTES, JOURNAL_READ_BYTES, JOURNAL_STRETCH_BYTES, PAGE_BYTES,
    RECORD_BYTES_MAX,
};
use core::ops::Range;
use nix::errno::Errno;

/// What a scan reads into.
pub type Window = [u8; JOURNAL_READ_BYTES];

/// How far a scan has come in its segment, for one that goes on later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Behind what came last.
    at: u32,
    /// Up to where it was looked for a record in vain.
    sought: u32,
    /// The end of what has the segment's mark among that: there was a record.
    damage_end: Option<u32>,
}

impl Position {
    /// At that offset, where a record begins.
    pub fn new(at: u32) -> Self {
        Self { at, sought: at, damage_end: None }
    }

    /// Behind what came last.
    pub fn at(&self) -> u32 {
        self.at
    }
}

/// Where a record begins, and its ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Landmark {
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
    /// In an open extent, this many bytes without a record are the end.
    gap_bytes_max: u32,
    window: &'a mut Window,
    /// What of the segment is in the window.
    loaded: Range<u32>,
    /// Where in the window the record is that came last.
    record: usize,
}

/// What comes next in a scan.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A record.
    Record(Record<'a>),
    /// So many bytes that are no whole record, though there was one.
    Damage(u32),
    /// Nothing of this use of the segment comes any more.
    End,
}

/// The same, and the record stays in the window.
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
    /// A scan of that part of a segment, where a record begins.
    pub fn new(segment: usize, key: SegmentKey, part: Range<u32>, window: &'a mut Window) -> Self {
        let (position, extent) = (Position::new(part.start), Extent::Open(part.end));
        let gap_bytes_max = silence_bytes(JOURNAL_STRETCH_BYTES);
        Self { segment, key, position, extent, gap_bytes_max, window, loaded: 0..0, record: 0 }
    }

    /// The same scan, but in an open extent only this many bytes without a record are the end.
    pub fn with_gap_bytes_max(self, bytes: u32) -> Self {
        Self { gap_bytes_max: bytes, ..self }
    }

    /// Goes on in that use of a segment, or in the same read anew.
    pub fn go_to(&mut self, span: &Span, position: Position) {
        self.loaded = 0..0;
        (self.segment, self.key, self.extent) = (span.segment, span.header.key, span.extent);
        self.position = position;
    }

    /// Goes back to a position it had in this segment.
    pub fn go_back(&mut self, position: Position) {
        self.position = position;
    }

    /// A record from which the scan can go on to find the message with that ID and all that come after it: it has that ID or a
    /// lower one, and few records are between. None: no such record is found, and the scan has to begin where it is.
    ///
    /// IDs rise with the offsets, so this is a binary search. It reads [`JOURNAL_PROBE_BYTES`] at a time, which are counted down
    /// from `budget`, and no more than 32 times. Damage makes the result less close, and never wrong.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn seek(&mut self, disk: &impl Source, id: u64, budget: &mut u32) -> Result<Option<Landmark>, Errno> {
        let (mut low, mut high) = (self.position.at, self.extent.end());
        let mut found = None;
        while high.saturating_sub(low) > JOURNAL_PROBE_BYTES as u32 {
            let middle = low + ((high - low) / 2).next_multiple_of(ALIGNMENT as u32);
            match self.probe(disk, middle, budget)?.filter(|landmark| landmark.id <= id) {
                Some(landmark) => (low, found) = (landmark.offset, Some(landmark)),
                None => high = middle,
            }
        }
        match found {
            // Those before the first probe were passed over.
            None => Ok(self.probe(disk, low, budget)?.filter(|landmark| landmark.id <= id)),
            _ => Ok(found),
        }
    }

    /// The first whole record that begins at that offset or less than the longest record behind it. Counts what it reads down from
    /// `budget`.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn probe(
        &mut self,
        disk: &impl Source,
        at: u32,
        budget: &mut u32,
    ) -> Result<Option<Landmark>, Errno> {
        *budget = budget.saturating_sub(JOURNAL_PROBE_BYTES as u32);
        let end = self.extent.end().min(at.saturating_add(JOURNAL_PROBE_BYTES as u32));
        self.fill(disk, at..end)?;
        let mut offsets = (at..end).step_by(ALIGNMENT);
        let is_record = |offset: &u32| Record::check(&self.key, self.view(*offset)).is_ok();
        let Some(offset) = offsets.find(is_record) else { return Ok(None) };
        Ok(Record::fields(self.view(offset)).map(|record| Landmark { offset, id: record.id }))
    }

    /// Where it has come to: behind what came last.
    pub fn at(&self) -> u32 {
        self.position.at
    }

    /// The same, with what is needed to go on.
    pub fn position(&self) -> Position {
        self.position
    }

    /// What comes next.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn next(&mut self, disk: &impl Source) -> Result<Step<'_>, Errno> {
        // A segment has no more bytes than that.
        let mut budget = u32::MAX;
        let ahead = self.advance(disk, &mut budget)?;
        Ok(match ahead {
            Some(Ahead::Record) => self.record().map_or(Step::End, Step::Record),
            Some(Ahead::Damage(bytes)) => Step::Damage(bytes),
            Some(Ahead::End) | None => Step::End,
        })
    }

    /// What comes next, as far as it is found within so many bytes, which are counted down. None: they are used up, and the
    /// search goes on next time.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn advance(&mut self, disk: &impl Source, budget: &mut u32) -> Result<Option<Ahead>, Errno> {
        let at = self.position.at;
        if self.position.sought == at {
            match self.take(disk, budget)? {
                Ok(record) => return Ok(Some(record)),
                Err(Absence::Unmarked) => {}
                // Also one whose mark alone is damaged.
                Err(_) => {
                    let behind = at.saturating_add(ALIGNMENT as u32);
                    self.position.damage_end = Some(behind.min(self.extent.end()));
                }
            }
        }
        self.resynchronise(disk, budget)
    }

    /// What stands where it has come to, if that is a record.
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

    /// The record that came last.
    pub fn record(&self) -> Option<Record<'_>> {
        Record::fields(&self.window[self.record..])
    }

    /// Looks for the next whole record.
    fn resynchronise(&mut self, disk: &impl Source, budget: &mut u32) -> Result<Option<Ahead>, Errno> {
        let end = match self.extent {
            Extent::Known(end) => end,
            Extent::Open(end) => end.min(self.position.at.saturating_add(self.gap_bytes_max)),
        };
        while self.position.sought < end {
            if *budget == 0 {
                return Ok(None);
            }
            let sought = self.position.sought;
            self.load(disk, sought)?;
            let behind = sought.saturating_add(ALIGNMENT as u32).min(end);
            if is_marked(&self.key, self.view(sought)) {
                if Record::check(&self.key, self.view(sought)).is_ok() {
                    // What is before it was written before it, but may have been read before that.
                    self.loaded = 0..0;
                    let taken = self.take(disk, budget)?;
                    return Ok(Some(taken.unwrap_or_else(|_| self.damage_up_to(sought))));
                }
                self.position.damage_end = Some(behind);
            }
            self.position.sought = behind;
            *budget = budget.saturating_sub(ALIGNMENT as u32);
        }
        let damage_end = match self.extent {
            // There were records up to there.
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

    /// Has in the window what a record at that place takes, or what is left.
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
        // Until it is read, nothing is in it.
        self.loaded = 0..0;
        disk.read(self.segment, part.start, &mut self.window[..part.len()])?;
        self.loaded = part;
        Ok(())
    }

    /// What of the window stands at that place and behind it.
    fn view(&self, at: u32) -> &[u8] {
        let start = at.saturating_sub(self.loaded.start) as usize;
        self.window.get(start..self.loaded.len()).unwrap_or(&[])
    }
}

/// How many bytes without a whole record show that no record follows, if the writer has at most `stretch_bytes` and one batch unsynced.
///
/// A [tail](super::tail) looks into each stretch, from the end backwards. The look behind the last record that it finds is a stretch away
/// at most, and found nothing: so nothing behind the end of that look was synced. The writer wrote at most a stretch and a batch behind
/// what it had synced, in whole pages.
pub const fn silence_bytes(stretch_bytes: u32) -> u32 {
    2 * stretch_bytes + (JOURNAL_PROBE_BYTES + JOURNAL_BATCH_BYTES + 2 * PAGE_BYTES) as u32
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::protocol::Priority;
    use core::cell::Cell;

    const SEAL: SegmentKey = SegmentKey { mark: 0x5eed, salt: 7 };
    const RECORDS: u64 = 4 * JOURNAL_READ_BYTES as u64 / 400;

    /// A file to which all that is in it was written right after it was read for the first time.
    struct Growing {
        bytes: std::vec::Vec<u8>,
        is_read: Cell<bool>,
    }

    impl Source for Growing {
        fn read(&self, _: usize, offset: u32, buffer: &mut [u8]) -> Result<(), Errno> {
            match self.is_read.replace(true) {
                true => buffer.copy_from_slice(&self.bytes[offset as usize..][..buffer.len()]),
                false => buffer.fill(0),
            }
            Ok(())
        }
    }

    #[test]
    fn what_was_written_between_two_reads_is_no_damage() {
        let mut bytes = std::vec::Vec::new();
        for id in 1..=RECORDS {
            let record =
                Record { id, time_ms: 0, priority: Priority::NORMAL, from: b"a", text: &[b'x'; 350] };
            let start = bytes.len();
            bytes.resize(start + record.bytes(), 0);
            record.write(&SEAL, &mut bytes[start..]).unwrap();
        }
        let mut window = [0; JOURNAL_READ_BYTES];
        let mut scan = Scan::new(0, SEAL, 0..bytes.len() as u32, &mut window);
        let file = Growing { bytes, is_read: Cell::new(false) };
        for expected in 1..=RECORDS {
            let step = scan.next(&file).unwrap();
            assert!(matches!(&step, Step::Record(record) if record.id == expected), "{expected}: {step:?}");
        }
        assert_eq!(scan.next(&file), Ok(Step::End));
    }

    /// A segment in memory.
    struct File(std::vec::Vec<u8>);

    impl Source for File {
        fn read(&self, _: usize, offset: u32, buffer: &mut [u8]) -> Result<(), Errno> {
            buffer.copy_from_slice(&self.0[offset as usize..][..buffer.len()]);
            Ok(())
        }
    }

    /// A segment with every second ID up to twice that number, in records of all lengths, and room for as much again. With where each
    /// begins.
    fn segment(records: u64) -> (File, std::vec::Vec<u32>) {
        let (mut bytes, mut offsets) = (std::vec::Vec::new(), std::vec::Vec::new());
        for index in 1..=records {
            let text = [b'x'; crate::limits::TEXT_BYTES];
            let text = &text[..(index * index) as usize % text.len()];
            let record = Record { id: 2 * index, time_ms: 0, priority: Priority::NORMAL, from: b"a", text };
            offsets.push(bytes.len() as u32);
            bytes.resize(bytes.len() + record.bytes(), 0);
            record.write(&SEAL, &mut bytes[*offsets.last().unwrap() as usize..]).unwrap();
        }
        bytes.resize(2 * bytes.len() + 2 * JOURNAL_PROBE_BYTES, 0);
        (File(bytes), offsets)
    }

    /// What is found when that ID is sought, after it was checked that nothing that is wanted stands before it.
    fn sought(file: &File, id: u64) -> Option<Landmark> {
        let mut window = [0; JOURNAL_READ_BYTES];
        let mut scan = Scan::new(0, SEAL, 0..file.0.len() as u32, &mut window);
        let mut budget = 32 * JOURNAL_PROBE_BYTES as u32;
        let landmark = scan.seek(file, id, &mut budget).unwrap();
        assert!(budget > 0, "it takes 32 probes at most");
        assert!(landmark.is_none_or(|landmark| landmark.id <= id));
        landmark
    }

    #[test]
    fn each_message_is_sought_in_few_probes_and_no_record_before_it_is_read_in_vain() {
        for count in [1, 2, 3, 10, 1_000] {
            let (file, offsets) = segment(count);
            for id in 0..=2 * count + 1 {
                let expected = (id / 2).checked_sub(1).map(|index| offsets[index as usize]);
                let landmark = sought(&file, id);
                assert_eq!(landmark.is_some(), expected.is_some(), "{id} of {count}");
                if let (Some(landmark), Some(expected)) = (landmark, expected) {
                    assert_eq!(landmark.offset, offsets[landmark.id as usize / 2 - 1]);
                    assert!(expected - landmark.offset <= JOURNAL_PROBE_BYTES as u32, "{id} of {count}");
                }
            }
        }
    }

    #[test]
    fn a_hole_makes_what_is_sought_less_close_and_never_wrong() {
        let (whole, offsets) = segment(300);
        let end = offsets[299] as usize;
        for start in (0..end).step_by(1_600) {
            let mut file = File(whole.0.clone());
            file.0[start..start + 20_000].fill(0xa5);
            for id in (1..601).step_by(7) {
                if let Some(landmark) = sought(&file, id) {
                    assert_eq!(
                        landmark.offset,
                        offsets[landmark.id as usize / 2 - 1],
                        "{id}, hole at {start}"
                    );
                }
            }
        }
    }

    #[test]
    fn nothing_is_sought_in_nothing() {
        assert_eq!(sought(&File(vec![0; 100_000]), 5), None);
        assert_eq!(sought(&File(vec![0; 8]), 5), None);
        assert_eq!(sought(&File(vec![]), 5), None);
    }
}
