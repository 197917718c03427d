//! What a segment contains, according to a check.

use crate::clock::Utc;
use crate::counted::Counted;
use crate::journal::catalog::{Extent, Span};
use crate::journal::disk::Source;
use crate::journal::names::NAMES;
use crate::journal::record::Record;
use crate::journal::scan::{Position, Scan, Step};
use nix::errno::Errno;
use std::fmt::{self, Display};

/// The messages of a segment.
pub struct Content {
    /// The index of the file.
    pub segment: usize,
    /// How many records it has.
    pub records: u64,
    /// The first and the last ID.
    pub ids: (u64, u64),
    /// The first and the last time, in milliseconds since 1970.
    times_ms: (u64, u64),
    /// Bytes behind the valid records that were records too.
    quarantined_bytes: u32,
    /// How many whole records are in them.
    quarantined_records: u64,
}

impl Content {
    /// An empty segment.
    pub fn new(segment: usize) -> Self {
        let (ids, times_ms) = ((0, 0), (0, 0));
        Self { segment, records: 0, ids, times_ms, quarantined_bytes: 0, quarantined_records: 0 }
    }

    /// Adds the next record.
    pub fn add(&mut self, record: &Record<'_>) {
        if self.records == 0 {
            (self.ids.0, self.times_ms.0) = (record.id, record.time_ms);
        }
        (self.ids.1, self.times_ms.1) = (record.id, record.time_ms);
        self.records += 1;
    }

    /// Counts the bytes and records that follow the valid records, which end at `end`. The writer rolled them back, or
    /// a power cut tore them. No reader shows them.
    ///
    /// # Errors
    /// The disk's.
    pub fn count_quarantined(
        &mut self,
        files: &impl Source,
        span: &Span,
        end: u32,
        mut scan: Scan<'_>,
    ) -> Result<(), Errno> {
        let extent = Extent::Open(span.header.records_end());
        scan.go_to(&Span { extent, ..*span }, Position::new(end));
        loop {
            match scan.next(files)? {
                Step::Record(_) => self.quarantined_records += 1,
                Step::Damage(_) => {}
                Step::End => break,
            }
        }
        self.quarantined_bytes = scan.at() - end;
        Ok(())
    }
}

impl Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segment, records, ids, times_ms, quarantined_bytes, quarantined_records } = *self;
        let name = NAMES[segment];
        if records == 0 {
            write!(f, "{name}: no messages")?;
        } else {
            let (from, to) = (Utc(times_ms.0), Utc(times_ms.1));
            let messages = Counted(records, "message");
            write!(f, "{name}: {messages}, IDs {} to {}, {from} to {to}", ids.0, ids.1)?;
        }
        if quarantined_bytes > 0 {
            let records = Counted(quarantined_records, "whole record");
            write!(f, "; {quarantined_bytes} bytes after them are set aside, with {records}")?;
        }
        Ok(())
    }
}
