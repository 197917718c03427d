use super::*;
use crate::journal::disk::Disk;
use crate::journal::headers::read_headers;
use crate::journal::writer::{Buffers, Writer};
use crate::limits::{JOURNAL_PROBE_BYTES, JOURNAL_SEGMENTS, RECORD_BYTES_MAX};
use crate::protocol::Priority;
use std::cell::{Cell, RefCell};

const FILE: u32 = 128 * 1024;

/// A disk in memory, for a writer and its readers.
struct Memory {
    files: RefCell<Vec<Vec<u8>>>,
    /// Whether syncs fail.
    is_broken: Cell<bool>,
    /// How many bytes were read.
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

    /// The bytes of that message's text.
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

    fn sync_and_evict(&mut self, segment: usize) -> Result<(), Errno> {
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
        writer.append(&Record { id, time_ms: id, priority: Priority::NORMAL, from: b"test", text: &text });
        let _ = writer.commit(true);
    }
}

/// A result of a read, without the text of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Id(u64),
    Lost(u64),
    Damage(Damage),
    RolledBack(u64),
    Overwritten,
    Incomplete,
    Pause,
}

fn event(step: Step<'_>) -> Option<Event> {
    Some(match step {
        Step::Record(record) => {
            assert_eq!(record.text, text(record.id), "the text is another one");
            Event::Id(record.id)
        }
        Step::Lost(count) => Event::Lost(count),
        Step::Damage(damage) => Event::Damage(damage),
        Step::RolledBack(id) => Event::RolledBack(id),
        Step::Overwritten => Event::Overwritten,
        Step::Incomplete => Event::Incomplete,
        Step::Pause => Event::Pause,
        Step::End => return None,
    })
}

fn read_with(cursor: &mut Cursor, memory: &Memory, catalog: &Catalog, bytes: u32) -> Vec<Event> {
    let mut window = [0; JOURNAL_READ_BYTES];
    let mut all = Vec::new();
    let mut reading = cursor.read(catalog, &mut window, bytes);
    while let Some(next) = event(reading.next(&memory).unwrap()) {
        all.push(next);
        if matches!(next, Event::Overwritten | Event::Incomplete | Event::Pause) {
            break;
        }
    }
    all
}

/// The events for a reader that knows only the files, not the committed part of the journal.
fn read(cursor: &mut Cursor, memory: &Memory) -> Vec<Event> {
    read_with(cursor, memory, &memory.catalog(), u32::MAX)
}

fn ids(ids: core::ops::Range<u64>) -> Vec<Event> {
    ids.map(Event::Id).collect()
}

#[test]
fn cursor_continues_where_it_stopped() {
    let (memory, mut buffers) = (Memory::new(), Buffers::new());
    let (mut cursor, mut later) = (Cursor::oldest(), Cursor::since(40));
    assert_eq!(read(&mut cursor, &memory), [], "the journal is empty");
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
fn overwritten_messages_are_reported_as_lost() {
    let (memory, mut buffers) = (Memory::new(), Buffers::new());
    let mut writer = open(&memory, &mut buffers);
    write(&mut writer, 1..11);
    let mut cursor = Cursor::oldest();
    assert_eq!(read(&mut cursor, &memory), ids(1..11));
    write(&mut writer, 11..9_001);
    let oldest = memory.catalog().spans()[0].header.first_id;
    assert!(oldest > 100, "{oldest}");
    for (mut cursor, lost) in [(cursor, oldest - 11), (Cursor::since(100), oldest - 100)] {
        let events = read(&mut cursor, &memory);
        assert_eq!(events[0], Event::Lost(lost));
        assert_eq!(events[1..], ids(oldest..9_001));
    }
    assert_eq!(read(&mut Cursor::oldest(), &memory), ids(oldest..9_001), "no lost message was requested");
}

#[test]
fn writer_may_overwrite_a_segment_during_a_read() {
    let (memory, mut buffers) = (Memory::new(), Buffers::new());
    let mut writer = open(&memory, &mut buffers);
    write(&mut writer, 1..3_001);
    let (mut cursor, mut window) = (Cursor::oldest(), [0; JOURNAL_READ_BYTES]);
    let catalog = memory.catalog();
    let oldest = catalog.spans()[0].header.first_id;
    let mut reading = cursor.read(&catalog, &mut window, u32::MAX);
    for id in oldest..oldest + 50 {
        assert_eq!(event(reading.next(&&memory).unwrap()), Some(Event::Id(id)));
    }
    write(&mut writer, 3_001..3_501);
    let mut next = oldest + 50;
    let last = loop {
        match event(reading.next(&&memory).unwrap()) {
            Some(Event::Id(id)) => assert_eq!(id, next),
            other => break other,
        }
        next += 1;
    };
    assert_eq!(last, Some(Event::Overwritten));
    let oldest = memory.catalog().spans()[0].header.first_id;
    let events = read(&mut cursor, &memory);
    assert_eq!(events[0], Event::Lost(oldest - next));
    assert_eq!(events[1..], ids(oldest..3_501));
}

#[test]
fn damage_costs_only_the_damaged_record() {
    let (memory, mut buffers) = (Memory::new(), Buffers::new());
    let mut writer = open(&memory, &mut buffers);
    write(&mut writer, 1..1_001);
    let text = memory.find(20);
    memory.change(text, |bytes| bytes[5] ^= 1);
    let events = read(&mut Cursor::oldest(), &memory);
    assert_eq!(events[..19], ids(1..20));
    let Event::Damage(damage) = events[19] else { panic!("{:?}", events[19]) };
    assert!(damage.segment == text.segment && damage.offset < text.offset);
    assert!(damage.offset + damage.bytes >= text.offset + text.bytes);
    assert_eq!(events[20], Event::Lost(1));
    assert_eq!(events[21..], ids(21..1_001));
}

#[test]
fn missing_end_of_an_older_segment_is_reported() {
    let (memory, mut buffers) = (Memory::new(), Buffers::new());
    let mut writer = open(&memory, &mut buffers);
    write(&mut writer, 1..1_001);
    let catalog = memory.catalog();
    let (span, second) = (catalog.spans()[0], catalog.spans()[1].header.first_id);
    let offset = memory.find(10).offset;
    let rest = Damage { segment: span.segment, offset, bytes: span.extent.end() - offset };
    memory.change(rest, |bytes| bytes.fill(0));
    let events = read(&mut Cursor::oldest(), &memory);
    assert_eq!(events[..9], ids(1..10));
    assert!(matches!(events[9], Event::Damage(damage) if damage.offset + damage.bytes == span.extent.end()));
    assert_eq!(events[10], Event::Lost(second - 10));
    assert_eq!(events[11..], ids(second..1_001));
}

#[test]
fn missing_segment_is_reported_as_lost() {
    let (memory, mut buffers) = (Memory::new(), Buffers::new());
    let mut writer = open(&memory, &mut buffers);
    write(&mut writer, 1..2_001);
    let spans = memory.catalog();
    let [first, second, third] = [0, 1, 2].map(|index| spans.spans()[index].header);
    let segment = spans.spans()[1].segment;
    memory.change(Damage { segment, offset: 0, bytes: 4_096 }, |bytes| bytes.fill(0));
    let events = read(&mut Cursor::oldest(), &memory);
    let kept = (second.first_id - first.first_id) as usize;
    assert_eq!(events[..kept], ids(first.first_id..second.first_id));
    assert_eq!(events[kept], Event::Lost(third.first_id - second.first_id));
    assert_eq!(events[kept + 1..], ids(third.first_id..2_001));
}

#[test]
fn incomplete_record_is_waited_for_and_then_reported_as_damage() {
    let (memory, mut buffers) = (Memory::new(), Buffers::new());
    let mut writer = open(&memory, &mut buffers);
    write(&mut writer, 1..21);
    for is_read_before in [false, true] {
        let mut cursor = Cursor::since(20);
        if is_read_before {
            assert_eq!(read(&mut cursor, &memory), ids(20..21));
        }
        let text = memory.find(20);
        let (mut waiting, next) = (Cursor::since(20), memory.find(20).offset + text.bytes);
        memory.change(text, |bytes| bytes[7] ^= 1);
        assert_eq!(read(&mut waiting, &memory), [Event::Incomplete]);
        let mut second = waiting.clone();
        let events = read(&mut second, &memory);
        assert!(
            matches!(events[..], [Event::Damage(damage)] if damage.offset < next && damage.segment == text.segment),
            "{events:?}"
        );
        memory.change(text, |bytes| bytes[7] ^= 1);
        assert_eq!(read(&mut waiting, &memory), ids(20..21));
        assert_eq!(read(&mut waiting, &memory), []);
    }
}

#[test]
fn reader_at_the_end_gets_damage_before_later_messages() {
    let (memory, mut buffers) = (Memory::new(), Buffers::new());
    let mut writer = open(&memory, &mut buffers);
    write(&mut writer, 1..21);
    let mut cursor = Cursor::since(20);
    assert_eq!(read(&mut cursor, &memory), ids(20..21));
    write(&mut writer, 21..24);
    memory.change(memory.find(21), |bytes| bytes[7] ^= 1);
    assert_eq!(read(&mut cursor, &memory), [Event::Incomplete]);
    let events = read(&mut cursor, &memory);
    assert!(matches!(events[0], Event::Damage(_)), "{events:?}");
    assert_eq!(events[1..], [Event::Lost(1), Event::Id(22), Event::Id(23)]);
}

#[test]
fn messages_rolled_back_after_they_were_read_are_reported() {
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
    assert_eq!(read(&mut seen, &memory), ids(20..24), "the files do not show what is committed");
    assert_eq!(read(&mut only_new, &memory), ids(22..24));
    let known = |writer: &Writer<'_, &Memory>| {
        let (headers, end) = writer.extent();
        Catalog::new(headers, Some(end))
    };
    let catalog = known(&writer);
    assert_eq!(
        read_with(&mut inside, &memory, &catalog, u32::MAX),
        ids(20..21),
        "the writer knows what is committed"
    );
    assert!(writer.commit(true).is_err());
    memory.is_broken.set(false);
    writer.reopen_segment().unwrap();
    write(&mut writer, 21..25);
    let events = read(&mut seen, &memory);
    assert_eq!((events[0], &events[1..]), (Event::RolledBack(21), &ids(21..25)[..]));
    let events = read(&mut only_new, &memory);
    assert_eq!((events[0], &events[1..]), (Event::RolledBack(22), &ids(22..25)[..]));
    let catalog = known(&writer);
    assert_eq!(read_with(&mut inside, &memory, &catalog, u32::MAX), ids(21..25));
}

#[test]
fn read_keeps_its_budget_and_reaches_the_end() {
    const AT_A_TIME: u32 = 1_000;
    let (memory, mut buffers) = (Memory::new(), Buffers::new());
    let mut writer = open(&memory, &mut buffers);
    write(&mut writer, 1..1_001);
    let start = memory.find(100);
    memory.change(Damage { bytes: 40_000, ..start }, |bytes| bytes.fill(7));
    let (catalog, mut cursor, mut events) = (memory.catalog(), Cursor::oldest(), Vec::new());
    loop {
        let before = memory.read.get();
        let part = read_with(&mut cursor, &memory, &catalog, AT_A_TIME);
        let read = memory.read.get() - before;
        assert!(read <= 3 * JOURNAL_READ_BYTES as u64, "{read}");
        assert!(part.len() <= AT_A_TIME as usize / 200 + 3, "{}", part.len());
        events.extend(part.iter().filter(|event| **event != Event::Pause));
        if part.last() != Some(&Event::Pause) {
            break;
        }
    }
    let lost = events.iter().filter_map(|event| match event {
        Event::Lost(count) => Some(*count),
        _ => None,
    });
    let (lost, damages) =
        (lost.sum::<u64>(), events.iter().filter(|event| matches!(event, Event::Damage(_))).count());
    let kept = events.iter().filter(|event| matches!(event, Event::Id(_))).count();
    assert!(lost > 100 && damages == 1 && kept as u64 + lost == 1_000, "{lost} {damages} {kept}");
    assert!(40_000 + RECORD_BYTES_MAX > lost as usize * 200);
}

#[test]
fn requested_message_is_found_without_reading_those_before_it() {
    let (memory, mut buffers) = (Memory::new(), Buffers::new());
    let mut writer = open(&memory, &mut buffers);
    write(&mut writer, 1..2_001);
    let catalog = memory.catalog();
    for id in 1..2_001 {
        let before = memory.read.get();
        let mut window = [0; JOURNAL_READ_BYTES];
        let mut cursor = Cursor::since(id);
        let mut reading = cursor.read(&catalog, &mut window, u32::MAX);
        assert_eq!(event(reading.next(&&memory).unwrap()), Some(Event::Id(id)));
        let read = memory.read.get() - before;
        assert!(read <= (32 * JOURNAL_PROBE_BYTES + JOURNAL_READ_BYTES) as u64, "{id}: {read}");
    }
}

#[test]
fn polling_at_the_end_reads_little() {
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
fn error_leaves_the_cursor_where_it_is() {
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
