//! A cursor: a position in the history, from which reading can continue later. It is specified by an ID, and points
//! just before the first message that has that ID or a higher one.
//!
//! A reader reads a cursor with the current [`Catalog`]. The writer may overwrite the oldest segment at any time, even
//! during the read. The cursor never mistakes a record of another segment in the same file for one of this segment,
//! because the checksums are salted. It reports damage only if the header is still the same after it has seen the
//! damage.
//!
//! Nothing here allocates or panics, whatever the bytes are.

use super::catalog::{Catalog, Extent, Span};
use super::disk::Source;
use super::headers::{FIRST_OFFSET, read_header};
use super::record::Record;
use super::scan::{Ahead, Position, Scan, Window};
use super::segment::SegmentKey;
use crate::limits::JOURNAL_READ_BYTES;
use nix::errno::Errno;

/// Bytes of the history that contained a record, but contain no whole one now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The index of the file.
    pub segment: usize,
    /// The offset of the first byte.
    pub offset: u32,
    /// The number of bytes.
    pub bytes: u32,
}

/// A result of a read.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A message.
    Record(Record<'a>),
    /// This many IDs are no longer in the journal, or never were. The next message follows them.
    Lost(u64),
    /// Damage. The next [`Step::Lost`] tells which IDs it cost.
    Damage(Damage),
    /// The writer rolled back the messages from this ID on that the cursor has reported, because the disk failed. Other
    /// messages with these IDs follow. Only a reader in another process gets this, because it sees records that are not
    /// committed.
    RolledBack(u64),
    /// The writer overwrote the segment during the read. Continue with a new catalog.
    Overwritten,
    /// No whole record follows, but the writer may be writing one at this moment. Wait a little, and continue with a
    /// new catalog. Then the cursor reports either the record or damage.
    Incomplete,
    /// The budget is used up.
    Pause,
    /// The end of the history for now. A new catalog may have more.
    End,
}

/// A position in the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The requested ID.
    asked: u64,
    /// The next ID, or `None` for that of the oldest message.
    next_id: Option<u64>,
    /// Where the next record is, if the cursor knows it.
    place: Option<Place>,
}

/// A position in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    sequence: u64,
    key: SegmentKey,
    position: Position,
    /// Whether a search through the rest of the segment has found no more records. Then new ones follow directly after
    /// the old ones.
    is_searched: bool,
    /// The offset at which the last read saw no whole record.
    suspect: Option<u32>,
}

impl Place {
    fn start_of(span: &Span) -> Self {
        Self {
            sequence: span.header.sequence,
            key: span.header.key,
            position: Position::new(FIRST_OFFSET),
            is_searched: false,
            suspect: None,
        }
    }
}

impl Cursor {
    /// Before the oldest message.
    pub fn oldest() -> Self {
        Self { asked: 0, next_id: None, place: None }
    }

    /// Before the first message with that ID or a higher one.
    pub fn since(id: u64) -> Self {
        // No message has ID 0, so it cannot be lost.
        let id = id.max(1);
        Self { asked: id, next_id: Some(id), place: None }
    }

    /// The next ID, or `None` for that of the oldest message.
    pub fn next_id(&self) -> Option<u64> {
        self.next_id
    }

    /// Reads from here on, at most this many bytes until [`Step::Pause`]. The segments have the length in their
    /// headers. Other readers may use `window` between two reads.
    pub fn read<'a>(&'a mut self, catalog: &'a Catalog, window: &'a mut Window, bytes: u32) -> Reading<'a> {
        let scan = Scan::new(0, SegmentKey { tag: 0, salt: 0 }, 0..0, window);
        Reading { cursor: self, catalog, scan, span: None, budget: bytes }
    }
}

/// A cursor while it is read.
pub struct Reading<'a> {
    cursor: &'a mut Cursor,
    catalog: &'a Catalog,
    scan: Scan<'a>,
    /// The segment that the scan is in, or `None` if the scan has to go to the cursor's place first.
    span: Option<Span>,
    budget: u32,
}

/// What the reading does after a result of the scan.
enum Outcome {
    /// The reader gets nothing yet, and the reading continues.
    Continue,
    /// The reader gets the record in the scan.
    Record,
    /// The reader gets this.
    Report(Step<'static>),
}

impl Reading<'_> {
    /// The next ID, or 0 for that of the oldest message.
    pub fn next_id(&self) -> u64 {
        self.cursor.next_id.unwrap_or(0)
    }

    /// The next result.
    ///
    /// # Errors
    /// The disk's. The cursor stays where it is.
    pub fn next(&mut self, source: &impl Source) -> Result<Step<'_>, Errno> {
        loop {
            match self.advance(source)? {
                Outcome::Continue => {}
                Outcome::Record => break,
                Outcome::Report(step) => return Ok(step),
            }
        }
        Ok(self.scan.record().map_or(Step::End, Step::Record))
    }

    /// Advances the scan to its next result, and returns the outcome for the reader.
    fn advance(&mut self, source: &impl Source) -> Result<Outcome, Errno> {
        let Some((span, place)) = self.locate(source)? else { return Ok(Outcome::Report(Step::End)) };
        if self.budget == 0 {
            return Ok(Outcome::Report(Step::Pause));
        }
        // New records in an open segment follow directly after its old ones, so a second search through the whole
        // segment is not needed.
        let is_polling = place.is_searched && matches!(span.extent, Extent::Open(_));
        let limit = if is_polling { self.budget.min(JOURNAL_READ_BYTES as u32) } else { self.budget };
        let mut left = limit;
        let ahead = self.scan.advance(source, &mut left)?;
        self.budget -= limit - left;
        match ahead {
            Some(Ahead::Record) => Ok(self.on_record(place)),
            Some(Ahead::Damage(bytes)) => self.on_damage(source, span, place, bytes),
            Some(Ahead::End) => Ok(self.on_end_of_span(span, place)),
            None if is_polling => Ok(self.end_of_history(place)),
            None => {
                self.save_position(place);
                Ok(Outcome::Report(Step::Pause))
            }
        }
    }

    /// The segment and the place that the scan is at. If the scan has no place yet, it goes to the cursor's place, or
    /// else searches for one. Returns `None` if there is nothing to read.
    fn locate(&mut self, source: &impl Source) -> Result<Option<(Span, Place)>, Errno> {
        if let (Some(span), Some(place)) = (self.span, self.cursor.place) {
            return Ok(Some((span, place)));
        }
        let saved = self.cursor.place;
        let saved = saved.and_then(|place| Some((*self.catalog.find(place.sequence, place.key)?, place)));
        let located = match saved {
            Some(_) => saved,
            None => self.search_place(source)?,
        };
        let Some((span, place)) = located else { return Ok(None) };
        self.cursor.place = Some(place);
        self.span = Some(span);
        self.scan.go_to(&span, place.position);
        Ok(Some((span, place)))
    }

    /// Searches for a place shortly before the next message. Returns `None` if there is nothing to read.
    fn search_place(&mut self, source: &impl Source) -> Result<Option<(Span, Place)>, Errno> {
        let next_id = self.cursor.next_id.unwrap_or(0);
        let Some(span) = self.catalog.holding(next_id) else { return Ok(None) };
        let mut place = Place::start_of(span);
        self.scan.go_to(span, place.position);
        if next_id > span.header.first_id
            && let Some(location) = self.scan.seek(source, next_id, &mut self.budget)?
        {
            place.position = Position::new(location.offset);
        }
        Ok(Some((*span, place)))
    }

    /// Saves how far the scan has come.
    fn save_position(&mut self, place: Place) {
        self.cursor.place = Some(Place { position: self.scan.position(), ..place });
    }

    /// Goes back to a place. The next read reads from there again.
    fn return_to(&mut self, place: Place) {
        self.cursor.place = Some(Place { position: Position::new(place.position.at()), ..place });
        self.span = None;
    }

    fn on_record(&mut self, place: Place) -> Outcome {
        let Some(id) = self.scan.record().map(|record| record.id) else { return Outcome::Continue };
        let wanted = self.cursor.next_id.unwrap_or(id);
        if id > wanted {
            self.cursor.next_id = Some(id);
            self.scan.go_back(place.position);
            return Outcome::Report(Step::Lost(id - wanted));
        }
        self.save_position(place);
        if id < wanted {
            return Outcome::Continue;
        }
        self.cursor.next_id = Some(id.saturating_add(1));
        Outcome::Record
    }

    /// Reports damage, unless the writer has overwritten the segment or may be writing at that offset.
    fn on_damage(
        &mut self,
        source: &impl Source,
        span: Span,
        place: Place,
        bytes: u32,
    ) -> Result<Outcome, Errno> {
        let header = read_header(source, span.segment, span.header.segment_bytes)?;
        // A missing header is damage too: it is written twice, and one of the two copies is whole at any time.
        if header.is_some_and(|header| header != span.header) {
            (self.cursor.place, self.span) = (None, None);
            return Ok(Outcome::Report(Step::Overwritten));
        }
        let offset = place.position.at();
        let may_be_incomplete = matches!(span.extent, Extent::Open(_)) && self.is_last(&span);
        if may_be_incomplete && place.suspect != Some(offset) {
            self.return_to(Place { suspect: Some(offset), ..place });
            return Ok(Outcome::Report(Step::Incomplete));
        }
        self.save_position(place);
        Ok(Outcome::Report(Step::Damage(Damage { segment: span.segment, offset, bytes })))
    }

    fn is_last(&self, span: &Span) -> bool {
        self.catalog.after(span.header.sequence).is_none()
    }

    fn on_end_of_span(&mut self, span: Span, place: Place) -> Outcome {
        match self.catalog.after(span.header.sequence).copied() {
            Some(next) => self.enter_segment(&span, &next),
            None => self.end_of_history(Place { is_searched: true, ..place }),
        }
    }

    fn end_of_history(&mut self, place: Place) -> Outcome {
        self.return_to(place);
        Outcome::Report(Step::End)
    }

    /// Goes to the next segment. If the cursor has reported records after the end of this one, the writer has rolled
    /// them back.
    fn enter_segment(&mut self, span: &Span, next: &Span) -> Outcome {
        let is_successor = span.header.sequence.checked_add(1) == Some(next.header.sequence);
        let is_behind = is_successor && self.scan.at() > next.header.previous_end;
        self.cursor.place = Some(Place::start_of(next));
        self.span = None;
        let first = next.header.first_id.max(self.cursor.asked);
        match self.cursor.next_id {
            Some(next_id) if is_behind && next_id > first => {
                self.cursor.next_id = Some(first);
                Outcome::Report(Step::RolledBack(first))
            }
            _ => Outcome::Continue,
        }
    }
}

#[cfg(test)]
mod tests;
