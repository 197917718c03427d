//! A place in the history that can be kept, and gone on from: the next message with that ID or a higher one.
//!
//! A cursor is read with a [`Catalog`] of that moment. The writer may rotate to the oldest segment at any time, also
//! while it is read. The text of another use is never taken for that of this one, for their checksums are salted; and what looks
//! damaged is believed to be so only if the header is still the same after that.
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

/// Bytes in the history that are no whole record, though there was one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub segment: usize,
    /// Where they begin.
    pub offset: u32,
    /// How many they are.
    pub bytes: u32,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A message.
    Record(Record<'a>),
    /// So many IDs are not in the journal any more, or never were. What comes next is behind them.
    Lost(u64),
    /// Something damaged. What it was shows in the IDs that are [`Step::Lost`] next.
    Damage(Damage),
    /// The messages from that ID on that came last were written and then refused, because the disk failed: others have these
    /// IDs, and come next. Only for one who reads while another process writes: it sees what is not committed.
    RolledBack(u64),
    /// The writer rotated to the segment while it was read. Go on with a new catalog.
    Overwritten,
    /// What comes next is no whole record: it may be on its way from the writer at this moment. Wait a little, and go on with a
    /// new catalog; it is told for sure then.
    Incomplete,
    /// As much was read as was to be read in one go.
    Pause,
    /// That is all for now. There may be more later, with a new catalog.
    End,
}

/// A place in the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The ID that was asked for.
    asked: u64,
    /// The ID that comes next. None: whatever is the oldest.
    next_id: Option<u64>,
    /// Where that is looked for, if that is known.
    place: Option<Place>,
}

/// A place in one use of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    sequence: u64,
    key: SegmentKey,
    position: Position,
    /// All of the segment was searched behind its records, and there was nothing: more comes right behind them.
    is_searched: bool,
    /// Where there was no whole record, the last time.
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
    /// At the oldest message there is.
    pub fn oldest() -> Self {
        Self { asked: 0, next_id: None, place: None }
    }

    /// At the first message with that ID or a higher one.
    pub fn since(id: u64) -> Self {
        // There is no message 0 that could be lost.
        let id = id.max(1);
        Self { asked: id, next_id: Some(id), place: None }
    }

    /// The ID that comes next. None: the oldest there is.
    pub fn next_id(&self) -> Option<u64> {
        self.next_id
    }

    /// Reads on from here, so many bytes at most until [`Step::Pause`]. The segments are of the length that their headers say,
    /// and `window` may be shared with others.
    pub fn read<'a>(&'a mut self, catalog: &'a Catalog, window: &'a mut Window, bytes: u32) -> Reading<'a> {
        let scan = Scan::new(0, SegmentKey { mark: 0, salt: 0 }, 0..0, window);
        Reading { cursor: self, catalog, scan, span: None, budget: bytes }
    }
}

/// A cursor that is being read.
pub struct Reading<'a> {
    cursor: &'a mut Cursor,
    catalog: &'a Catalog,
    scan: Scan<'a>,
    /// What the scan is in.
    span: Option<Span>,
    budget: u32,
}

/// What came of a part of the way.
enum Leg {
    /// Nothing to tell; it goes on.
    GoOn,
    /// A record, in the scan.
    Record,
    Tell(Step<'static>),
}

impl Reading<'_> {
    /// The ID that comes next; 0: the oldest there is.
    pub fn next_id(&self) -> u64 {
        self.cursor.next_id.unwrap_or(0)
    }

    /// What comes next.
    ///
    /// # Errors
    /// Those of the disk. The cursor stays where it is.
    pub fn next(&mut self, source: &impl Source) -> Result<Step<'_>, Errno> {
        loop {
            match self.go(source)? {
                Leg::GoOn => {}
                Leg::Record => break,
                Leg::Tell(step) => return Ok(step),
            }
        }
        Ok(self.scan.record().map_or(Step::End, Step::Record))
    }

    /// Goes to what comes next in the segment, or to the next segment.
    fn go(&mut self, source: &impl Source) -> Result<Leg, Errno> {
        let Some((span, place)) = self.enter(source)? else { return Ok(Leg::Tell(Step::End)) };
        if self.budget == 0 {
            return Ok(Leg::Tell(Step::Pause));
        }
        // More of an open segment comes right behind what it had. To look through all of it each time would be much.
        let is_polled = place.is_searched && matches!(span.extent, Extent::Open(_));
        let limit = if is_polled { self.budget.min(JOURNAL_READ_BYTES as u32) } else { self.budget };
        let mut left = limit;
        let ahead = self.scan.advance(source, &mut left)?;
        self.budget -= limit - left;
        match ahead {
            Some(Ahead::Record) => Ok(self.record(place)),
            Some(Ahead::Damage(bytes)) => self.damage(source, span, place, bytes),
            Some(Ahead::End) => Ok(self.end_of_span(span, place)),
            None if is_polled => Ok(self.end_for_now(place)),
            None => {
                self.keep(place);
                Ok(Leg::Tell(Step::Pause))
            }
        }
    }

    /// Has the scan where the cursor is; none: there is nothing to be read.
    fn enter(&mut self, source: &impl Source) -> Result<Option<(Span, Place)>, Errno> {
        if let (Some(span), Some(place)) = (self.span, self.cursor.place) {
            return Ok(Some((span, place)));
        }
        let kept = self.cursor.place;
        let kept = kept.and_then(|place| Some((*self.catalog.find(place.sequence, place.key)?, place)));
        let found = match kept {
            Some(_) => kept,
            None => self.find_place(source)?,
        };
        let Some((span, place)) = found else { return Ok(None) };
        self.cursor.place = Some(place);
        self.span = Some(span);
        self.scan.go_to(&span, place.position);
        Ok(Some((span, place)))
    }

    /// Finds a place from which the message that comes next can be read, close before it; none: there is nothing to be read.
    fn find_place(&mut self, source: &impl Source) -> Result<Option<(Span, Place)>, Errno> {
        let next_id = self.cursor.next_id.unwrap_or(0);
        let Some(span) = self.catalog.holding(next_id) else { return Ok(None) };
        let mut place = Place::start_of(span);
        self.scan.go_to(span, place.position);
        if next_id > span.header.first_id
            && let Some(landmark) = self.scan.seek(source, next_id, &mut self.budget)?
        {
            place.position = Position::new(landmark.offset);
        }
        Ok(Some((*span, place)))
    }

    /// Keeps how far the scan has come.
    fn keep(&mut self, place: Place) {
        self.cursor.place = Some(Place { position: self.scan.position(), ..place });
    }

    /// Keeps a place, and reads anew from there.
    fn return_to(&mut self, place: Place) {
        self.cursor.place = Some(Place { position: Position::new(place.position.at()), ..place });
        self.span = None;
    }

    fn record(&mut self, place: Place) -> Leg {
        let Some(id) = self.scan.record().map(|record| record.id) else { return Leg::GoOn };
        let wanted = self.cursor.next_id.unwrap_or(id);
        if id > wanted {
            self.cursor.next_id = Some(id);
            self.scan.go_back(place.position);
            return Leg::Tell(Step::Lost(id - wanted));
        }
        self.keep(place);
        if id < wanted {
            return Leg::GoOn;
        }
        self.cursor.next_id = Some(id.saturating_add(1));
        Leg::Record
    }

    /// What looks damaged from that place on is so only if the writer has not rotated to the segment, and the writer is not just there.
    fn damage(&mut self, source: &impl Source, span: Span, place: Place, bytes: u32) -> Result<Leg, Errno> {
        let header = read_header(source, span.segment, span.header.segment_bytes)?;
        // None is damaged too: a header is written twice, and one of the two is whole at any time.
        if header.is_some_and(|header| header != span.header) {
            (self.cursor.place, self.span) = (None, None);
            return Ok(Leg::Tell(Step::Overwritten));
        }
        let offset = place.position.at();
        let may_be_written = matches!(span.extent, Extent::Open(_)) && self.is_last(&span);
        if may_be_written && place.suspect != Some(offset) {
            self.return_to(Place { suspect: Some(offset), ..place });
            return Ok(Leg::Tell(Step::Incomplete));
        }
        self.keep(place);
        Ok(Leg::Tell(Step::Damage(Damage { segment: span.segment, offset, bytes })))
    }

    fn is_last(&self, span: &Span) -> bool {
        self.catalog.after(span.header.sequence).is_none()
    }

    fn end_of_span(&mut self, span: Span, place: Place) -> Leg {
        match self.catalog.after(span.header.sequence).copied() {
            Some(next) => self.cross(&span, &next),
            None => self.end_for_now(Place { is_searched: true, ..place }),
        }
    }

    /// At the end of what there is so far.
    fn end_for_now(&mut self, place: Place) -> Leg {
        self.return_to(place);
        Leg::Tell(Step::End)
    }

    /// Goes to the next segment. What was read of this one behind where it counts is taken back.
    fn cross(&mut self, span: &Span, next: &Span) -> Leg {
        let is_successor = span.header.sequence.checked_add(1) == Some(next.header.sequence);
        let is_behind = is_successor && self.scan.at() > next.header.previous_end;
        self.cursor.place = Some(Place::start_of(next));
        self.span = None;
        let first = next.header.first_id.max(self.cursor.asked);
        match self.cursor.next_id {
            Some(next_id) if is_behind && next_id > first => {
                self.cursor.next_id = Some(first);
                Leg::Tell(Step::RolledBack(first))
            }
            _ => Leg::GoOn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::disk::Disk;
    use crate::journal::headers::read_headers;
    use crate::journal::writer::{Buffers, Writer};
    use crate::limits::{JOURNAL_PROBE_BYTES, JOURNAL_SEGMENTS, RECORD_BYTES_MAX};
    use crate::protocol::Priority;
    use std::cell::{Cell, RefCell};

    const FILE: u32 = 128 * 1024;

    /// A disk in memory, which two may use.
    struct Memory {
        files: RefCell<Vec<Vec<u8>>>,
        /// Syncs fail.
        is_broken: Cell<bool>,
        /// Bytes that were read.
        read: Cell<u64>,
    }

    impl Memory {
        fn new() -> Self {
            let files = RefCell::new(vec![vec![0; FILE as usize]; JOURNAL_SEGMENTS]);
            Self { files, is_broken: Cell::new(false), read: Cell::new(0) }
        }

        fn catalog(&self) -> Catalog {
            Catalog::new(&read_headers(&self, FILE).unwrap(), None)
        }

        fn change(&self, damage: Damage, change: impl Fn(&mut [u8])) {
            let range = damage.offset as usize..(damage.offset + damage.bytes) as usize;
            change(&mut self.files.borrow_mut()[damage.segment][range]);
        }

        /// Where the text of that message stands.
        fn find(&self, id: u64) -> Damage {
            let text = text(id);
            for (segment, file) in self.files.borrow().iter().enumerate() {
                if let Some(offset) = memchr::memmem::find(file, &text) {
                    return Damage { segment, offset: offset as u32, bytes: text.len() as u32 };
                }
            }
            panic!("{id} is not there");
        }
    }

    impl Source for &Memory {
        fn read(&self, segment: usize, offset: u32, bytes: &mut [u8]) -> Result<(), Errno> {
            self.read.set(self.read.get() + bytes.len() as u64);
            let files = self.files.borrow();
            let range = offset as usize..offset as usize + bytes.len();
            bytes.copy_from_slice(files[segment].get(range).ok_or(Errno::ENODATA)?);
            Ok(())
        }
    }

    impl Disk for &Memory {
        fn write(&mut self, segment: usize, offset: u32, bytes: &[u8]) -> Result<(), Errno> {
            let range = offset as usize..offset as usize + bytes.len();
            self.files.borrow_mut()[segment][range].copy_from_slice(bytes);
            Ok(())
        }

        fn sync(&mut self, _: usize) -> Result<(), Errno> {
            if self.is_broken.get() { Err(Errno::EIO) } else { Ok(()) }
        }

        fn settle(&mut self, segment: usize) -> Result<(), Errno> {
            self.sync(segment)
        }

        fn reopen(&mut self) -> Result<(), Errno> {
            Ok(())
        }
    }

    fn text(id: u64) -> Vec<u8> {
        format!("<message {id:06} {}>", "x".repeat(200 + id as usize % 100)).into_bytes()
    }

    fn open<'a>(memory: &'a Memory, buffers: &'a mut Buffers) -> Writer<'a, &'a Memory> {
        Writer::open(memory, FILE, buffers).unwrap().0
    }

    fn write(writer: &mut Writer<'_, &Memory>, ids: core::ops::Range<u64>) {
        for id in ids {
            writer.begin_group(true);
            let text = text(id);
            writer.append(&Record {
                id,
                time_ms: id,
                priority: Priority::NORMAL,
                from: b"test",
                text: &text,
            });
            let _ = writer.commit(true);
        }
    }

    /// What was told, with nothing of the texts but that they are right.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Told {
        Id(u64),
        Lost(u64),
        Damage(Damage),
        RolledBack(u64),
        Overwritten,
        Incomplete,
        Pause,
    }

    fn told(step: Step<'_>) -> Option<Told> {
        Some(match step {
            Step::Record(record) => {
                assert_eq!(record.text, text(record.id), "the wrong text");
                Told::Id(record.id)
            }
            Step::Lost(count) => Told::Lost(count),
            Step::Damage(damage) => Told::Damage(damage),
            Step::RolledBack(id) => Told::RolledBack(id),
            Step::Overwritten => Told::Overwritten,
            Step::Incomplete => Told::Incomplete,
            Step::Pause => Told::Pause,
            Step::End => return None,
        })
    }

    fn read_with(cursor: &mut Cursor, memory: &Memory, catalog: &Catalog, bytes: u32) -> Vec<Told> {
        let mut window = [0; JOURNAL_READ_BYTES];
        let mut all = Vec::new();
        let mut reading = cursor.read(catalog, &mut window, bytes);
        while let Some(next) = told(reading.next(&memory).unwrap()) {
            all.push(next);
            if matches!(next, Told::Overwritten | Told::Incomplete | Told::Pause) {
                break;
            }
        }
        all
    }

    /// All that one who knows the files alone is told until now.
    fn read(cursor: &mut Cursor, memory: &Memory) -> Vec<Told> {
        read_with(cursor, memory, &memory.catalog(), u32::MAX)
    }

    fn ids(ids: core::ops::Range<u64>) -> Vec<Told> {
        ids.map(Told::Id).collect()
    }

    #[test]
    fn it_is_kept_and_gone_on_from() {
        let (memory, mut buffers) = (Memory::new(), Buffers::new());
        let (mut cursor, mut later) = (Cursor::oldest(), Cursor::since(40));
        assert_eq!(read(&mut cursor, &memory), [], "there is nothing yet");
        let mut writer = open(&memory, &mut buffers);
        assert_eq!(read(&mut cursor, &memory), []);
        write(&mut writer, 1..31);
        assert_eq!(read(&mut cursor, &memory), ids(1..31));
        assert_eq!(read(&mut cursor, &memory), []);
        assert_eq!(read(&mut later, &memory), []);
        write(&mut writer, 31..1_001);
        assert_eq!(read(&mut cursor, &memory), ids(31..1_001));
        assert_eq!(read(&mut later, &memory), ids(40..1_001));
        assert_eq!(cursor.next_id(), Some(1_001));
        for id in [0, 1, 499, 500, 1_000] {
            assert_eq!(read(&mut Cursor::since(id), &memory), ids(id.max(1)..1_001), "{id}");
        }
    }

    #[test]
    fn what_the_ring_overtook_is_told() {
        let (memory, mut buffers) = (Memory::new(), Buffers::new());
        let mut writer = open(&memory, &mut buffers);
        write(&mut writer, 1..11);
        let mut cursor = Cursor::oldest();
        assert_eq!(read(&mut cursor, &memory), ids(1..11));
        write(&mut writer, 11..9_001);
        let oldest = memory.catalog().spans()[0].header.first_id;
        assert!(oldest > 100, "{oldest}");
        for (mut cursor, lost) in [(cursor, oldest - 11), (Cursor::since(100), oldest - 100)] {
            let told = read(&mut cursor, &memory);
            assert_eq!(told[0], Told::Lost(lost));
            assert_eq!(told[1..], ids(oldest..9_001));
        }
        assert_eq!(
            read(&mut Cursor::oldest(), &memory),
            ids(oldest..9_001),
            "nothing was asked for that is gone"
        );
    }

    #[test]
    fn a_segment_may_be_turned_over_while_it_is_read() {
        let (memory, mut buffers) = (Memory::new(), Buffers::new());
        let mut writer = open(&memory, &mut buffers);
        write(&mut writer, 1..3_001);
        let (mut cursor, mut window) = (Cursor::oldest(), [0; JOURNAL_READ_BYTES]);
        let catalog = memory.catalog();
        let oldest = catalog.spans()[0].header.first_id;
        let mut reading = cursor.read(&catalog, &mut window, u32::MAX);
        for id in oldest..oldest + 50 {
            assert_eq!(told(reading.next(&&memory).unwrap()), Some(Told::Id(id)));
        }
        write(&mut writer, 3_001..3_501);
        let mut next = oldest + 50;
        let last = loop {
            match told(reading.next(&&memory).unwrap()) {
                Some(Told::Id(id)) => assert_eq!(id, next),
                other => break other,
            }
            next += 1;
        };
        assert_eq!(last, Some(Told::Overwritten));
        let oldest = memory.catalog().spans()[0].header.first_id;
        let told = read(&mut cursor, &memory);
        assert_eq!(told[0], Told::Lost(oldest - next));
        assert_eq!(told[1..], ids(oldest..3_501));
    }

    #[test]
    fn damage_costs_itself_alone() {
        let (memory, mut buffers) = (Memory::new(), Buffers::new());
        let mut writer = open(&memory, &mut buffers);
        write(&mut writer, 1..1_001);
        let text = memory.find(20);
        memory.change(text, |bytes| bytes[5] ^= 1);
        let told = read(&mut Cursor::oldest(), &memory);
        assert_eq!(told[..19], ids(1..20));
        let Told::Damage(damage) = told[19] else { panic!("{:?}", told[19]) };
        assert!(damage.segment == text.segment && damage.offset < text.offset);
        assert!(damage.offset + damage.bytes >= text.offset + text.bytes);
        assert_eq!(told[20], Told::Lost(1));
        assert_eq!(told[21..], ids(21..1_001));
    }

    #[test]
    fn the_end_of_an_older_segment_is_missed_where_it_is_gone_without_a_trace() {
        let (memory, mut buffers) = (Memory::new(), Buffers::new());
        let mut writer = open(&memory, &mut buffers);
        write(&mut writer, 1..1_001);
        let catalog = memory.catalog();
        let (span, second) = (catalog.spans()[0], catalog.spans()[1].header.first_id);
        let offset = memory.find(10).offset;
        let rest = Damage { segment: span.segment, offset, bytes: span.extent.end() - offset };
        memory.change(rest, |bytes| bytes.fill(0));
        let told = read(&mut Cursor::oldest(), &memory);
        assert_eq!(told[..9], ids(1..10));
        assert!(matches!(told[9], Told::Damage(damage) if damage.offset + damage.bytes == span.extent.end()));
        assert_eq!(told[10], Told::Lost(second - 10));
        assert_eq!(told[11..], ids(second..1_001));
    }

    #[test]
    fn a_whole_segment_that_is_gone_is_missed() {
        let (memory, mut buffers) = (Memory::new(), Buffers::new());
        let mut writer = open(&memory, &mut buffers);
        write(&mut writer, 1..2_001);
        let spans = memory.catalog();
        let [first, second, third] = [0, 1, 2].map(|index| spans.spans()[index].header);
        let segment = spans.spans()[1].segment;
        memory.change(Damage { segment, offset: 0, bytes: 4_096 }, |bytes| bytes.fill(0));
        let told = read(&mut Cursor::oldest(), &memory);
        let kept = (second.first_id - first.first_id) as usize;
        assert_eq!(told[..kept], ids(first.first_id..second.first_id));
        assert_eq!(told[kept], Told::Lost(third.first_id - second.first_id));
        assert_eq!(told[kept + 1..], ids(third.first_id..2_001));
    }

    #[test]
    fn what_is_on_its_way_is_waited_for_and_damage_at_the_end_is_told_then() {
        let (memory, mut buffers) = (Memory::new(), Buffers::new());
        let mut writer = open(&memory, &mut buffers);
        write(&mut writer, 1..21);
        for is_seen_before in [false, true] {
            let mut cursor = Cursor::since(20);
            if is_seen_before {
                assert_eq!(read(&mut cursor, &memory), ids(20..21));
            }
            let text = memory.find(20);
            let (mut waiting, next) = (Cursor::since(20), memory.find(20).offset + text.bytes);
            memory.change(text, |bytes| bytes[7] ^= 1);
            assert_eq!(read(&mut waiting, &memory), [Told::Incomplete]);
            let mut patient = waiting.clone();
            let told = read(&mut patient, &memory);
            assert!(
                matches!(told[..], [Told::Damage(damage)] if damage.offset < next && damage.segment == text.segment),
                "{told:?}"
            );
            memory.change(text, |bytes| bytes[7] ^= 1);
            assert_eq!(read(&mut waiting, &memory), ids(20..21));
            assert_eq!(read(&mut waiting, &memory), []);
        }
    }

    #[test]
    fn one_who_waits_at_the_end_sees_damage_before_what_came_later() {
        let (memory, mut buffers) = (Memory::new(), Buffers::new());
        let mut writer = open(&memory, &mut buffers);
        write(&mut writer, 1..21);
        let mut cursor = Cursor::since(20);
        assert_eq!(read(&mut cursor, &memory), ids(20..21));
        write(&mut writer, 21..24);
        memory.change(memory.find(21), |bytes| bytes[7] ^= 1);
        assert_eq!(read(&mut cursor, &memory), [Told::Incomplete]);
        let told = read(&mut cursor, &memory);
        assert!(matches!(told[0], Told::Damage(_)), "{told:?}");
        assert_eq!(told[1..], [Told::Lost(1), Told::Id(22), Told::Id(23)]);
    }

    #[test]
    fn what_was_refused_after_it_was_seen_is_taken_back() {
        let (memory, mut buffers) = (Memory::new(), Buffers::new());
        let mut writer = open(&memory, &mut buffers);
        write(&mut writer, 1..21);
        let mut inside = Cursor::since(20);
        let [mut seen, mut only_new] = [20, 22].map(Cursor::since);
        memory.is_broken.set(true);
        writer.begin_group(true);
        for id in 21..24 {
            let text = text(id);
            writer.append(&Record { id, time_ms: 0, priority: Priority::NORMAL, from: b"", text: &text });
        }
        writer.flush();
        assert_eq!(read(&mut seen, &memory), ids(20..24), "it cannot know");
        assert_eq!(read(&mut only_new, &memory), ids(22..24));
        let known = |writer: &Writer<'_, &Memory>| {
            let (headers, end) = writer.extent();
            Catalog::new(headers, Some(end))
        };
        let catalog = known(&writer);
        assert_eq!(read_with(&mut inside, &memory, &catalog, u32::MAX), ids(20..21), "the writer does");
        assert!(writer.commit(true).is_err());
        memory.is_broken.set(false);
        writer.reopen_segment().unwrap();
        write(&mut writer, 21..25);
        let told = read(&mut seen, &memory);
        assert_eq!((told[0], &told[1..]), (Told::RolledBack(21), &ids(21..25)[..]));
        let told = read(&mut only_new, &memory);
        assert_eq!((told[0], &told[1..]), (Told::RolledBack(22), &ids(22..25)[..]));
        let catalog = known(&writer);
        assert_eq!(read_with(&mut inside, &memory, &catalog, u32::MAX), ids(21..25));
    }

    #[test]
    fn a_call_reads_no_more_than_it_may_and_comes_to_the_end_all_the_same() {
        const AT_A_TIME: u32 = 1_000;
        let (memory, mut buffers) = (Memory::new(), Buffers::new());
        let mut writer = open(&memory, &mut buffers);
        write(&mut writer, 1..1_001);
        let start = memory.find(100);
        memory.change(Damage { bytes: 40_000, ..start }, |bytes| bytes.fill(7));
        let (catalog, mut cursor, mut told) = (memory.catalog(), Cursor::oldest(), Vec::new());
        loop {
            let before = memory.read.get();
            let part = read_with(&mut cursor, &memory, &catalog, AT_A_TIME);
            let read = memory.read.get() - before;
            assert!(read <= 3 * JOURNAL_READ_BYTES as u64, "{read}");
            assert!(part.len() <= AT_A_TIME as usize / 200 + 3, "{}", part.len());
            told.extend(part.iter().filter(|told| **told != Told::Pause));
            if part.last() != Some(&Told::Pause) {
                break;
            }
        }
        let lost = told.iter().filter_map(|told| match told {
            Told::Lost(count) => Some(*count),
            _ => None,
        });
        let (lost, damages) =
            (lost.sum::<u64>(), told.iter().filter(|told| matches!(told, Told::Damage(_))).count());
        let kept = told.iter().filter(|told| matches!(told, Told::Id(_))).count();
        assert!(lost > 100 && damages == 1 && kept as u64 + lost == 1_000, "{lost} {damages} {kept}");
        assert!(40_000 + RECORD_BYTES_MAX > lost as usize * 200);
    }

    #[test]
    fn what_is_asked_for_is_found_without_what_is_before_it() {
        let (memory, mut buffers) = (Memory::new(), Buffers::new());
        let mut writer = open(&memory, &mut buffers);
        write(&mut writer, 1..2_001);
        let catalog = memory.catalog();
        for id in 1..2_001 {
            let before = memory.read.get();
            let mut window = [0; JOURNAL_READ_BYTES];
            let mut cursor = Cursor::since(id);
            let mut reading = cursor.read(&catalog, &mut window, u32::MAX);
            assert_eq!(told(reading.next(&&memory).unwrap()), Some(Told::Id(id)));
            let read = memory.read.get() - before;
            assert!(read <= (32 * JOURNAL_PROBE_BYTES + JOURNAL_READ_BYTES) as u64, "{id}: {read}");
        }
    }

    #[test]
    fn waiting_at_the_end_costs_little() {
        let (memory, mut buffers) = (Memory::new(), Buffers::new());
        let mut writer = open(&memory, &mut buffers);
        write(&mut writer, 1..21);
        let mut cursor = Cursor::oldest();
        let catalog = memory.catalog();
        assert_eq!(read_with(&mut cursor, &memory, &catalog, u32::MAX), ids(1..21));
        let before = memory.read.get();
        assert_eq!(read_with(&mut cursor, &memory, &catalog, u32::MAX), []);
        assert!(memory.read.get() - before <= 2 * JOURNAL_READ_BYTES as u64);
    }

    #[test]
    fn an_error_leaves_the_cursor_where_it_is() {
        let (memory, mut buffers) = (Memory::new(), Buffers::new());
        let mut writer = open(&memory, &mut buffers);
        write(&mut writer, 1..21);
        let catalog = memory.catalog();
        let mut cursor = Cursor::oldest();
        let files = memory.files.replace(vec![Vec::new(); JOURNAL_SEGMENTS]);
        let mut window = [0; JOURNAL_READ_BYTES];
        assert_eq!(cursor.read(&catalog, &mut window, u32::MAX).next(&&memory), Err(Errno::ENODATA));
        memory.files.replace(files);
        assert_eq!(read(&mut cursor, &memory), ids(1..21));
    }
}
