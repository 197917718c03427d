//! Reads a part of a segment record by record. What is damaged in it costs itself alone: the scan goes on with the next
//! whole record.

use super::disk::Source;
use super::record::{ALIGNMENT, Absence, Record, is_marked};
use super::segment::Seal;
use crate::limits::{JOURNAL_READ_BYTES, RECORD_BYTES_MAX};
use core::ops::Range;
use nix::errno::Errno;

/// What a scan reads into.
pub type Window = [u8; JOURNAL_READ_BYTES];

/// A scan of a part of a segment.
pub struct Scan<'a> {
    segment: usize,
    seal: Seal,
    /// Where it has come to, and where it ends.
    at: u32,
    end: u32,
    window: &'a mut Window,
    /// What of the segment is in the window.
    loaded: Range<u32>,
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

impl<'a> Scan<'a> {
    /// A scan of that part of a segment, where a record begins.
    pub fn new(segment: usize, seal: Seal, part: Range<u32>, window: &'a mut Window) -> Self {
        Self { segment, seal, at: part.start, end: part.end, window, loaded: 0..0 }
    }

    /// Where it has come to: behind what came last.
    pub fn at(&self) -> u32 {
        self.at
    }

    /// What comes next.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn next(&mut self, disk: &impl Source) -> Result<Step<'_>, Errno> {
        self.load(disk, self.at)?;
        let bytes = match Record::check(&self.seal, self.view(self.at)) {
            Ok(bytes) => bytes,
            Err(absence) => return self.resynchronise(disk, absence),
        };
        let start = (self.at - self.loaded.start) as usize;
        self.at += bytes as u32;
        Ok(Record::fields(&self.window[start..]).map_or(Step::End, Step::Record))
    }

    /// Looks for the next whole record.
    fn resynchronise(&mut self, disk: &impl Source, absence: Absence) -> Result<Step<'_>, Errno> {
        let from = self.at;
        let mut damage_end = (absence != Absence::Unmarked).then_some(from + ALIGNMENT as u32);
        for at in (from..self.end).step_by(ALIGNMENT) {
            self.load(disk, at)?;
            let view = self.view(at);
            if !is_marked(&self.seal, view) {
                continue;
            }
            if Record::check(&self.seal, view).is_ok() {
                self.at = at;
                return Ok(Step::Damage(at - from));
            }
            damage_end = Some(at + ALIGNMENT as u32);
        }
        Ok(match damage_end {
            Some(end) => {
                let end = end.min(self.end);
                self.at = end;
                Step::Damage(end - from)
            }
            None => Step::End,
        })
    }

    /// Has in the window what a record at that place takes, or what is left.
    fn load(&mut self, disk: &impl Source, at: u32) -> Result<(), Errno> {
        let needed = at..self.end.min(at + RECORD_BYTES_MAX.next_multiple_of(ALIGNMENT) as u32);
        if self.loaded.start <= needed.start && needed.end <= self.loaded.end {
            return Ok(());
        }
        let loaded = at..self.end.min(at + JOURNAL_READ_BYTES as u32);
        disk.read(self.segment, loaded.start, &mut self.window[..loaded.len()])?;
        self.loaded = loaded;
        Ok(())
    }

    fn view(&self, at: u32) -> &[u8] {
        &self.window[(at - self.loaded.start) as usize..self.loaded.len()]
    }
}
