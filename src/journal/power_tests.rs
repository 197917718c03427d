//! Power cuts, kills and failures of the disk, by the thousand, and what the journal promises for each way to sync.
//!
//! A model keeps the model of what was acknowledged and what was refused. After each cut the journal is opened again,
//! all of it is read, and compared with the model; then it goes on, so that what went wrong before piles up.

use super::disk::Source;
use super::headers::{FIRST_OFFSET, Headers, read_headers};
use super::mark::ids_in;
use super::record::Record;
use super::recovery::Recovery;
use super::scan::{Scan, Step, Window};
use super::segment::{HEADER_BYTES, Header, SegmentKey};
use super::simulated::{Call, Failures, Fault, Random, SimulatedDisk, Target};
use super::writer::{Buffers, Writer};
use crate::limits::{BATCH, FROM_BYTES_MAX, JOURNAL_READ_BYTES, JOURNAL_SEGMENTS, TEXT_BYTES};
use crate::protocol::Priority;
use core::ops::Range;
use nix::errno::Errno;

/// The writer rotates often if segments are small.
const SHORT: Size = Size { segment_bytes: 128 * 1024, stretch_bytes: 24 * 1024 };

/// Longer ones have many stretches, and more room behind their end than a start looks through.
const LONG: Size = Size { segment_bytes: 512 * 1024, stretch_bytes: 8 * 1024 };

/// Without stretches, nothing is synced that nobody asked for.
const WHOLE: Size = Size { segment_bytes: 128 * 1024, stretch_bytes: 128 * 1024 };

/// The size of a segment.
#[derive(Clone, Copy, Debug)]
struct Size {
    segment_bytes: u32,
    stretch_bytes: u32,
}

/// Power cuts that each test lives through; there are four for each mode.
const CUTS: usize = 2_500;

/// What is synced before it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    All,
    /// Messages of that priority and above.
    From(u8),
    None,
}

/// A message that stands for its serial number, which is its time. So whatever is read can be told.
struct Message {
    serial: u64,
    priority: Priority,
    from: Vec<u8>,
    text: Vec<u8>,
}

impl Message {
    fn new(serial: u64) -> Self {
        let mut random = Random(serial);
        let priority = Priority::new(random.below(Priority::COUNT) as u8).unwrap();
        // Eight at a time: messages are made anew for each look at them, and that took a fifth of all.
        let mut bytes = |count: usize| -> Vec<u8> {
            let mut bytes = Vec::with_capacity(count + 8);
            while bytes.len() < count {
                bytes.extend_from_slice(&random.next().to_le_bytes());
            }
            bytes.truncate(count);
            bytes
        };
        let length = match serial % 8 {
            0 => 0,
            1 => TEXT_BYTES,
            _ => usize::from(bytes(1)[0]) * TEXT_BYTES / 255,
        };
        let from = bytes(serial as usize % (FROM_BYTES_MAX + 1));
        Self { serial, priority, from, text: bytes(length) }
    }

    fn record(&self, id: u64) -> Record<'_> {
        Record { id, time_ms: self.serial, priority: self.priority, from: &self.from, text: &self.text }
    }
}

/// What is known of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It was acknowledged and synced, or shown after a start: it must be there.
    Kept,
    /// It was acknowledged: it must be there, unless the power goes.
    Acknowledged,
    /// It may be there.
    Open,
    /// It was refused, or was not there once: it must not be there.
    Gone,
}

/// An entry of the model.
#[derive(Debug)]
struct Entry {
    serial: u64,
    id: u64,
    /// The use of a segment that it was written in.
    sequence: u64,
    fate: Fate,
}

/// What ended the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Kill,
    Cut,
}

/// The model.
#[derive(Default)]
struct Model {
    /// By serial number; those that the ring may have dropped are left out.
    entries: Vec<Entry>,
    next_serial: u64,
    /// Refused, though no header on the disk says so yet.
    refused: Vec<u64>,
    /// The latest use of a segment, as a header that was written says it.
    known_sequence: u64,
    /// The lowest use of a segment that must be there.
    first_sequence: u64,
    /// Files that hold nothing that must be there, for their headers could not be written.
    void: u64,
    /// The highest ID that somebody may have seen and that is not to be forgotten.
    top_id: u64,
    /// The highest ID that was acknowledged, whatever became of its message: it must not be given again.
    acknowledged_id: u64,
    /// The next ID at the last start.
    started_id: u64,
    /// The next ID at an end in order: no ID is skipped after that.
    closed_id: Option<u64>,
}

impl Model {
    fn change(&mut self, from: Fate, to: Fate) {
        self.entries.iter_mut().filter(|entry| entry.fate == from).for_each(|entry| entry.fate = to);
    }

    fn note_written(&mut self, id: u64) {
        let (serial, sequence) = (self.next_serial, self.known_sequence);
        self.entries.push(Entry { serial, id, sequence, fate: Fate::Open });
        self.next_serial += 1;
    }

    /// The messages from that entry on were committed together.
    fn note_commit(&mut self, first: usize, is_synced: bool, result: Result<(), Errno>) {
        let entries = &mut self.entries[first..];
        if result.is_err() {
            self.refused.extend(entries.iter().map(|entry| entry.serial));
            return;
        }
        entries.iter_mut().for_each(|entry| entry.fate = Fate::Acknowledged);
        self.acknowledged_id = entries.iter().map(|entry| entry.id).fold(self.acknowledged_id, u64::max);
        if is_synced {
            self.note_synced();
        }
    }

    fn note_synced(&mut self) {
        self.change(Fate::Acknowledged, Fate::Kept);
        let kept = self.entries.iter().filter(|entry| entry.fate == Fate::Kept);
        self.top_id = kept.map(|entry| entry.id).fold(self.top_id, u64::max);
    }

    /// Records how many writes and syncs failed in a call: what that call should have synced may be lost.
    fn note_failures(&mut self, failed: Failures) {
        if failed.syncs > 0 {
            self.change(Fate::Acknowledged, Fate::Open);
        }
        self.note_void(self.void.max(failed.headers));
    }

    /// Each file whose header cannot be written costs what it held.
    fn note_void(&mut self, void: u64) {
        self.void = void;
        if void > 0 {
            // A header that is torn may be that of the newest segment, as far as a start knows.
            self.closed_id = None;
        }
        let first = (self.known_sequence + 1 + void).saturating_sub(JOURNAL_SEGMENTS as u64);
        self.first_sequence = self.first_sequence.max(first);
    }

    /// The header of the next segment is on the disk: what was refused is gone.
    fn note_refused(&mut self) {
        let refused = core::mem::take(&mut self.refused);
        let is_refused = |entry: &&mut Entry| refused.binary_search(&entry.serial).is_ok();
        self.entries.iter_mut().filter(is_refused).for_each(|entry| entry.fate = Fate::Gone);
    }

    /// The last segment that was begun. It took a void file, if there was one: those are tried first.
    fn note_sequence(&mut self, headers: &Headers) {
        let sequence = headers.iter().flatten().map(|header| header.sequence).max().unwrap_or(0);
        let void = self.void.saturating_sub(u64::from(sequence > self.known_sequence));
        self.known_sequence = sequence;
        self.note_void(void);
    }

    /// Compares what was read after a blow with what must be there, and takes it over.
    fn check(&mut self, seen: &[(u64, u64)], found: &Recovery, size: Size, blow: Stop) -> Result<(), String> {
        let does_rise = |pair: &[(u64, u64)]| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1;
        if let Some(pair) = seen.windows(2).find(|pair| !does_rise(pair)) {
            return Err(format!("IDs do not rise: {pair:?}"));
        }
        let first = self.first_sequence;
        self.entries.retain(|entry| entry.sequence >= first);
        for entry in &mut self.entries {
            let found = seen.binary_search_by_key(&entry.serial, |(_, serial)| *serial).ok();
            match (found.map(|at| seen[at].0), entry.fate) {
                (Some(id), _) if id != entry.id => return Err(format!("{entry:?} has the ID {id}")),
                (Some(_), Fate::Gone) => return Err(format!("{entry:?} is back")),
                (None, Fate::Kept) => return Err(format!("{entry:?} is lost")),
                (None, Fate::Acknowledged) if blow == Stop::Kill => return Err(format!("{entry:?} is lost")),
                (None, _) => entry.fate = Fate::Gone,
                (Some(_), _) => entry.fate = Fate::Kept,
            }
        }
        self.top_id = seen.iter().map(|(id, _)| *id).fold(self.top_id, u64::max);
        self.refused.clear();
        let (given, next_id) = (self.top_id.max(self.acknowledged_id), found.next_id);
        if next_id <= given {
            return Err(format!("the next ID is {next_id}, and {given} was given"));
        }
        let bound = (given + 1).max(self.started_id) + ids_skipped_max(size, found.lost_segments);
        self.started_id = next_id;
        if next_id > bound {
            return Err(format!("the next ID is {next_id}, more than {bound}"));
        }
        match self.closed_id {
            Some(closed_id) if closed_id != next_id => {
                Err(format!("the next ID is {next_id}, and the journal was closed at {closed_id}"))
            }
            _ => Ok(()),
        }
    }
}

/// The most IDs that a start may skip where so many headers are torn: those that were given, and those that stood in
/// a torn end.
fn ids_skipped_max(size: Size, lost_segments: u64) -> u64 {
    let header = Header {
        segment_bytes: size.segment_bytes,
        sequence: 1,
        key: SegmentKey { tag: 0, salt: 0 },
        previous_end: FIRST_OFFSET,
        first_id: 1,
        origin: None,
    };
    (2 + lost_segments) * ids_in(&header, FIRST_OFFSET)
}

/// IDs and serial numbers, as they were read.
type Seen = Vec<(u64, u64)>;

/// Reads what the journal shows, and remembers what has not changed since.
struct Reader {
    known: [Option<(Part, Seen)>; JOURNAL_SEGMENTS],
    window: Box<Window>,
}

/// A part of a segment that is read.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Part {
    version: u64,
    sequence: u64,
    end: u32,
}

impl Reader {
    fn new() -> Self {
        Self { known: [const { None }; JOURNAL_SEGMENTS], window: Box::new([0; JOURNAL_READ_BYTES]) }
    }

    /// IDs and serial numbers in the order of the segments.
    fn read(&mut self, disk: &SimulatedDisk, headers: &Headers, end: u32) -> Result<Seen, String> {
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

/// The segments in the order of their use, and up to where each is believed.
fn order(headers: &Headers, last_end: u32) -> Vec<(usize, u32)> {
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

/// A journal, the model about it, and what happens to it.
struct Trial {
    size: Size,
    mode: Mode,
    random: Random,
    disk: SimulatedDisk,
    model: Model,
    reader: Reader,
    cuts: usize,
    flips: usize,
    /// Whether more goes wrong than usual, and segments are full sooner.
    is_rough: bool,
    /// Whether bits of records change by themselves.
    has_flips: bool,
}

impl Trial {
    fn new(mode: Mode, seed: u64) -> Self {
        Self::of_size(SHORT, mode, seed)
    }

    fn of_size(size: Size, mode: Mode, seed: u64) -> Self {
        let disk = SimulatedDisk::new(size.segment_bytes, !seed);
        Self {
            size,
            mode,
            random: Random(seed),
            disk,
            model: Model::default(),
            reader: Reader::new(),
            cuts: 0,
            flips: 0,
            is_rough: false,
            has_flips: false,
        }
    }

    /// Lives through so many power cuts.
    fn run(&mut self, cuts: usize) -> Result<(), String> {
        let mut buffers = Box::new(Buffers::new());
        let mut blow = Stop::Cut;
        while self.cuts < cuts {
            if self.has_flips && self.random.once_in(3) {
                self.flip_bit()?;
            }
            if self.random.once_in(4) {
                self.plan_faults();
            }
            if let Some(mut writer) = self.open(&mut buffers, blow)? {
                self.plan_faults();
                self.model.closed_id = None;
                self.write_groups(&mut writer);
                self.end_run(&mut writer);
                blow = Stop::Kill;
            }
            if self.disk.is_off() || !self.random.once_in(4) {
                self.disk.cut();
                self.cuts += 1;
                blow = Stop::Cut;
            }
        }
        Ok(())
    }

    /// Ends in order, sometimes.
    fn end_run(&mut self, writer: &mut Writer<'_, SimulatedDisk>) {
        if self.random.once_in(4) {
            self.disk.enter(Call::Close);
            let before = self.disk.failures();
            let closed = writer.close();
            self.note_call(writer, before);
            if closed.is_ok() && writer.is_writable() && self.disk.failures() == before {
                // Without any syncs, former segments may be lost still.
                if self.mode != Mode::None {
                    self.model.note_synced();
                }
                self.model.closed_id = (self.model.void == 0).then_some(writer.next_id());
            }
        }
    }

    /// Flips a bit of some record, which may be lost then, and nothing else.
    fn flip_bit(&mut self) -> Result<(), String> {
        let headers = read_headers(&self.disk.fault_free(), self.size.segment_bytes)
            .map_err(|errno| errno.to_string())?;
        let used: Vec<(usize, Header)> =
            headers.iter().enumerate().filter_map(|(segment, header)| Some((segment, (*header)?))).collect();
        if used.is_empty() {
            return Ok(());
        }
        // In the newest one more often than not.
        let newest = *used.iter().max_by_key(|(_, header)| header.sequence).unwrap();
        let (segment, header) =
            if self.random.once_in(3) { used[self.random.below(used.len())] } else { newest };
        let part = FIRST_OFFSET..header.records_end();
        let mut scan = Scan::new(segment, header.key, part, &mut self.reader.window);
        let mut places = Vec::new();
        loop {
            match scan.next(&self.disk.fault_free()).map_err(|errno| errno.to_string())? {
                Step::Record(record) => {
                    let (serial, bytes) = (record.time_ms, record.bytes() as u32);
                    places.push((serial, scan.at() - bytes..scan.at()));
                }
                Step::Damage(_) => {}
                Step::End => break,
            }
        }
        if places.is_empty() {
            return Ok(());
        }
        let (serial, part) = places.swap_remove(self.random.below(places.len()));
        let bit = 8 * part.start as usize + self.random.below(8 * part.len());
        self.disk.flip(segment, bit);
        let entry = self.model.entries.iter_mut().find(|entry| entry.serial == serial);
        if let Some(entry) = entry.filter(|entry| entry.fate != Fate::Gone) {
            entry.fate = Fate::Open;
        }
        self.model.closed_id = None;
        self.flips += 1;
        Ok(())
    }

    fn plan_faults(&mut self) {
        let random = &mut self.random;
        let (often, operations) = if self.is_rough { (1, 30) } else { (3, 60) };
        if random.once_in(often) {
            for _ in 0..1 + random.below(3) {
                let fault = match random.below(4) {
                    0 => Fault::Write(Errno::EIO),
                    1 => Fault::Write(Errno::ENOSPC),
                    2 => Fault::Sync,
                    _ => Fault::Outage(1 + random.below(operations / 2) as u64),
                };
                self.disk.fail_after(random.below(operations) as u64, fault);
            }
        }
        if random.once_in(2) {
            self.disk.fail_after(random.below(operations) as u64, Fault::Off);
        }
    }

    /// Opens the journal after a blow, and checks it. None: it cannot be opened now.
    fn open<'a>(
        &mut self,
        buffers: &'a mut Buffers,
        blow: Stop,
    ) -> Result<Option<Writer<'a, SimulatedDisk>>, String> {
        let before = self.disk.failures();
        self.disk.enter(Call::Open);
        let Size { segment_bytes, stretch_bytes } = self.size;
        let opened = Writer::open_with(self.disk.clone(), segment_bytes, stretch_bytes, buffers);
        let Ok((writer, found)) = opened else {
            self.model.note_failures(self.disk.failures().since(before));
            return Ok(None);
        };
        let (headers, end) = writer.extent();
        self.model.note_sequence(headers);
        self.model.note_failures(self.disk.failures().since(before));
        let seen = self.reader.read(&self.disk, headers, end)?;
        let checked = self.model.check(&seen, &found, self.size, blow);
        checked.map_err(|what| format!("{what}; after {} cuts, the last blow a {blow:?}", self.cuts))?;
        Ok(Some(writer))
    }

    fn write_groups(&mut self, writer: &mut Writer<'_, SimulatedDisk>) {
        for _ in 0..1 + self.random.below(20) {
            if !writer.is_writable() && self.random.once_in(3) {
                self.disk.enter(Call::Reopen);
                let before = self.disk.failures();
                // That it fails shows when it is written to.
                let _ = writer.reopen_segment();
                self.note_call(writer, before);
            }
            self.write_group(writer);
            if self.disk.is_off() {
                return;
            }
            if matches!(self.mode, Mode::From(_)) && self.random.once_in(6) {
                self.disk.enter(Call::SyncRest);
                let before = self.disk.failures();
                let result = writer.sync_committed();
                self.note_call(writer, before);
                if result.is_ok() {
                    self.model.note_synced();
                }
            }
        }
    }

    /// Records the journal's state after a call; the argument says how many writes and syncs had failed before it.
    fn note_call(&mut self, writer: &Writer<'_, SimulatedDisk>, before: Failures) {
        self.model.note_sequence(writer.extent().0);
        self.model.note_failures(self.disk.failures().since(before));
        if writer.is_writable() {
            self.model.note_refused();
        }
    }

    fn write_group(&mut self, writer: &mut Writer<'_, SimulatedDisk>) {
        self.disk.enter(Call::BeginGroup);
        let before = self.disk.failures();
        writer.begin_group(self.mode != Mode::None);
        self.note_call(writer, before);
        let first = self.model.entries.len();
        self.disk.enter(Call::Commit);
        let before = self.disk.failures();
        let mut is_synced = self.write_batch(writer);
        while writer.has_room() && self.random.once_in(4) {
            writer.flush();
            is_synced |= self.write_batch(writer);
        }
        let result = writer.commit(is_synced);
        self.model.note_commit(first, is_synced, result);
        self.note_call(writer, before);
    }

    /// Writes some messages, and says whether one of them has to be synced.
    fn write_batch(&mut self, writer: &mut Writer<'_, SimulatedDisk>) -> bool {
        let many = if self.is_rough { 2 } else { 8 };
        let count = if self.random.once_in(many) { BATCH } else { 1 + self.random.below(6) };
        let mut is_synced = false;
        for _ in 0..count {
            let (message, id) = (Message::new(self.model.next_serial), writer.next_id());
            is_synced |= match self.mode {
                Mode::All => true,
                Mode::From(least) => message.priority.number() >= least,
                Mode::None => false,
            };
            writer.append(&message.record(id));
            self.model.note_written(id);
        }
        is_synced
    }
}

/// Lives through power cuts with one seed.
fn check_cuts(mode: Mode, seed: u64) {
    let mut trial = Trial::new(mode, seed);
    if let Err(what) = trial.run(CUTS) {
        panic!("{mode:?}, seed {seed}: {what}");
    }
    // Otherwise there was nothing to check.
    assert!(
        trial.model.top_id > CUTS as u64 && trial.model.known_sequence > CUTS as u64 / 20,
        "{mode:?}, seed {seed}"
    );
}

#[test]
fn cuts_with_each_message_synced_1() {
    check_cuts(Mode::All, 1);
}

#[test]
fn cuts_with_each_message_synced_2() {
    check_cuts(Mode::All, 2);
}

#[test]
fn cuts_with_each_message_synced_3() {
    check_cuts(Mode::All, 3);
}

#[test]
fn cuts_with_each_message_synced_4() {
    check_cuts(Mode::All, 107);
}

#[test]
fn cuts_with_urgent_messages_synced_1() {
    check_cuts(Mode::From(9), 5);
}

#[test]
fn cuts_with_urgent_messages_synced_2() {
    check_cuts(Mode::From(9), 6);
}

#[test]
fn cuts_with_urgent_messages_synced_3() {
    check_cuts(Mode::From(7), 7);
}

#[test]
fn cuts_with_urgent_messages_synced_4() {
    check_cuts(Mode::From(7), 8);
}

#[test]
fn cuts_with_no_message_synced_1() {
    check_cuts(Mode::None, 9);
}

#[test]
fn cuts_with_no_message_synced_2() {
    check_cuts(Mode::None, 10);
}

#[test]
fn cuts_with_no_message_synced_3() {
    check_cuts(Mode::None, 11);
}

#[test]
fn cuts_with_no_message_synced_4() {
    check_cuts(Mode::None, 12);
}

/// The same where bits flip besides.
fn check_flips(size: Size, mode: Mode, seed: u64) {
    let mut trial = Trial::of_size(size, mode, seed);
    trial.has_flips = true;
    if let Err(what) = trial.run(CUTS) {
        panic!("{size:?}, {mode:?}, seed {seed}, {} flips: {what}", trial.flips);
    }
    assert!(trial.flips > CUTS / 10 && trial.model.top_id > CUTS as u64, "{} flips", trial.flips);
}

#[test]
fn cuts_and_flipped_bits_with_each_message_synced() {
    check_flips(SHORT, Mode::All, 13);
    check_flips(LONG, Mode::All, 14);
}

#[test]
fn cuts_and_flipped_bits_with_urgent_messages_synced() {
    check_flips(SHORT, Mode::From(9), 15);
    check_flips(LONG, Mode::From(7), 16);
}

#[test]
fn cuts_and_flipped_bits_with_no_message_synced() {
    check_flips(SHORT, Mode::None, 17);
    check_flips(LONG, Mode::None, 18);
}

/// The same where the first page of a segment cannot be written.
fn check_bad_page(mode: Mode, seed: u64) {
    let mut trial = Trial::new(mode, seed);
    trial.disk.break_header_page(3);
    if let Err(what) = trial.run(CUTS) {
        panic!("{mode:?}, seed {seed}: {what}");
    }
    assert!(trial.model.known_sequence > CUTS as u64 / 20, "{mode:?}, seed {seed}");
}

#[test]
fn cuts_with_a_first_page_that_cannot_be_written() {
    check_bad_page(Mode::All, 19);
    check_bad_page(Mode::From(9), 20);
    check_bad_page(Mode::None, 21);
}

/// Commits messages of one batch at a time, and says whether each batch was committed.
fn write_batches(
    writer: &mut Writer<'_, SimulatedDisk>,
    serials: Range<u64>,
    is_synced: bool,
) -> Result<(), Errno> {
    let serials: Vec<u64> = serials.collect();
    serials.chunks(BATCH).try_for_each(|batch| {
        writer.begin_group(is_synced);
        batch.iter().for_each(|serial| writer.append(&Message::new(*serial).record(writer.next_id())));
        writer.commit(is_synced)
    })
}

/// Messages in the small journal, after which the writer has rotated to each segment several times.
const MANY: u64 = 1_500;

#[test]
fn file_whose_first_page_cannot_be_written_costs_no_message() {
    let disk = SimulatedDisk::new(SMALL_BYTES, 1);
    let mut buffers = Box::new(Buffers::new());
    let (mut writer, _) = Writer::open(disk.clone(), SMALL_BYTES, &mut buffers).unwrap();
    // One is never used, and one is in use already.
    disk.break_header_page(5);
    write_batches(&mut writer, 0..MANY, true).unwrap();
    disk.break_header_page(2);
    write_batches(&mut writer, MANY..2 * MANY, true).unwrap();
    assert_eq!(writer.stats().failures, 0);
    assert_eq!(writer.extent().0.iter().flatten().count(), JOURNAL_SEGMENTS - 2);
    drop(writer);
    disk.cut();
    let (ids, found) = start(&disk);
    assert_eq!((found.next_id, found.skipped, found.unreadable_segments), (2 * MANY + 1, 0, 0), "{found:?}");
    assert_eq!(found.segments, JOURNAL_SEGMENTS - 2);
    assert!(ids.iter().copied().eq(ids[0]..=2 * MANY), "{ids:?}");
}

#[test]
fn outage_costs_the_oldest_segment_and_rarely_one_more() {
    let disk = SimulatedDisk::new(SMALL_BYTES, 1);
    let mut buffers = Box::new(Buffers::new());
    let (mut writer, _) = Writer::open(disk.clone(), SMALL_BYTES, &mut buffers).unwrap();
    write_batches(&mut writer, 0..MANY, true).unwrap();
    drop(writer);
    // However long it lasts, and so in whatever it ends.
    let costs = (200..300).map(|operations| {
        let disk = disk.copy();
        let (mut writer, _) = Writer::open(disk.clone(), SMALL_BYTES, &mut buffers).unwrap();
        let before = writer.extent().0.map(|header| header.unwrap().first_id);
        disk.fail_after(0, Fault::Outage(operations));
        write_batches(&mut writer, MANY..MANY + 1, true).unwrap_err();
        while writer.reopen_segment().is_err() {}
        let (headers, end) = writer.extent();
        let first = Reader::new().read(&disk, headers, end).unwrap()[0].0;
        before.iter().filter(|id| **id < first).count()
    });
    let costs: Vec<usize> = costs.collect();
    assert!(costs.iter().all(|cost| (1..=2).contains(cost)), "{costs:?}");
    assert!(costs.contains(&1), "{costs:?}");
}

/// Whether the checks fail within so many cuts if these syncs do nothing but say `Ok`.
fn check_noticed(syncs: (Call, Target), mode: Mode, cuts: usize) {
    let fails = |seed: u64| {
        let mut trial = Trial::of_size(WHOLE, mode, seed);
        trial.is_rough = true;
        trial.disk.ignore(syncs);
        trial.run(CUTS).is_err()
    };
    let count = cuts.div_ceil(CUTS) as u64;
    assert!((100..100 + count).any(fails), "{syncs:?} can be left out, and nobody notices");
}

#[test]
fn a_sync_left_out_at_a_commit_is_noticed() {
    check_noticed((Call::Commit, Target::Records), Mode::All, 2_500);
    check_noticed((Call::Commit, Target::Records), Mode::From(9), 2_500);
}

#[test]
fn a_sync_left_out_after_a_failed_write_is_noticed() {
    check_noticed((Call::Commit, Target::Rest), Mode::From(9), 5_000);
}

#[test]
fn a_sync_left_out_of_the_header_after_a_failure_is_noticed() {
    check_noticed((Call::Commit, Target::Header), Mode::All, 5_000);
}

#[test]
fn a_sync_left_out_of_the_header_after_an_outage_is_noticed() {
    check_noticed((Call::Reopen, Target::Header), Mode::All, 25_000);
}

#[test]
fn a_sync_left_out_at_a_turn_over_is_noticed() {
    check_noticed((Call::BeginGroup, Target::Records), Mode::From(9), 5_000);
}

/// Whether IDs are given again after a power cut right behind a rotation in a full ring, where the messages in the
/// last segment are acknowledged without a sync. They are so short that they have more IDs than find room in the rest
/// of the segment before.
fn are_ids_given_again(seed: u64, ignored: Option<(Call, Target)>) -> bool {
    let Size { segment_bytes, stretch_bytes } = WHOLE;
    let disk = SimulatedDisk::new(segment_bytes, seed);
    ignored.into_iter().for_each(|syncs| disk.ignore(syncs));
    let mut buffers = Box::new(Buffers::new());
    let opened = Writer::open_with(disk.clone(), segment_bytes, stretch_bytes, &mut buffers);
    let (mut writer, _) = opened.unwrap();
    // From now on, the headers alone say that there are such messages.
    writer.append(&Record { id: 1, time_ms: 0, priority: Priority::LOW, from: b"", text: b"" });
    writer.commit(false).unwrap();
    for sequence in 1..=JOURNAL_SEGMENTS + 1 {
        let is_synced = sequence <= JOURNAL_SEGMENTS;
        disk.enter(Call::BeginGroup);
        writer.begin_group(is_synced);
        for id in (writer.next_id()..).take(3_000) {
            writer.append(&Record { id, time_ms: 0, priority: Priority::LOW, from: b"", text: b"" });
        }
        disk.enter(Call::Commit);
        writer.commit(is_synced).unwrap();
    }
    let given = writer.next_id();
    disk.cut();
    let opened = Writer::open_with(disk, segment_bytes, stretch_bytes, &mut buffers);
    opened.unwrap().1.next_id < given
}

#[test]
fn a_sync_left_out_of_the_header_at_a_turn_over_is_noticed() {
    assert!(!(0..200).any(|seed| are_ids_given_again(seed, None)));
    let ignored = Some((Call::BeginGroup, Target::Header));
    assert!((0..200).any(|seed| are_ids_given_again(seed, ignored)), "nobody notices");
}

#[test]
fn a_sync_left_out_at_a_start_is_noticed() {
    check_noticed((Call::Open, Target::Former), Mode::All, 25_000);
}

/// Commits that fail where a start begins a segment, and the first page of the next file cannot be written.
fn failures_after_a_start(ignored: Option<(Call, Target)>) -> u64 {
    let disk = small_journal();
    let (segment, _, last) = places(&disk).pop().unwrap();
    disk.damage(segment, |bytes| bytes[last.start as usize + 9] ^= 1);
    disk.break_header_page(segment + 1);
    ignored.into_iter().for_each(|syncs| disk.ignore(syncs));
    disk.enter(Call::Open);
    let mut buffers = Box::new(Buffers::new());
    let (mut writer, found) = Writer::open(disk.clone(), SMALL_BYTES, &mut buffers).unwrap();
    assert!(found.torn_bytes > 0, "{found:?}");
    disk.enter(Call::Commit);
    let _ = write_batches(&mut writer, 24..25, true);
    writer.stats().failures
}

#[test]
fn a_sync_left_out_of_the_header_at_a_start_is_noticed() {
    // No power cut tells, for the first commit syncs the header as well. But that is too late for a header that
    // cannot be written.
    assert_eq!(failures_after_a_start(None), 0);
    assert_eq!(failures_after_a_start(Some((Call::Open, Target::Header))), 1, "nobody notices");
}

#[test]
fn a_sync_left_out_of_a_mark_is_noticed() {
    // That of a start may be lost: the next start skips the same IDs again, and no more.
    check_noticed((Call::Commit, Target::Records), Mode::None, 5_000);
    check_noticed((Call::Close, Target::Records), Mode::From(9), 5_000);
}

#[test]
fn a_sync_left_out_of_what_was_due_is_noticed() {
    check_noticed((Call::SyncRest, Target::Records), Mode::From(9), 2_500);
}

/// A small journal of three segments with a few dozen records, all of them synced; the last segment is the third.
fn small_journal() -> SimulatedDisk {
    let disk = SimulatedDisk::new(SMALL_BYTES, 1);
    let mut buffers = Box::new(Buffers::new());
    let (mut writer, _) = Writer::open(disk.clone(), SMALL_BYTES, &mut buffers).unwrap();
    for serial in 0..24 {
        writer.begin_group(true);
        writer.append(&Message::new(serial).record(serial + 1));
        writer.commit(true).unwrap();
        // A failure begins the next one without filling this one.
        if serial % 8 == 7 && serial < 23 {
            disk.fail_after(0, Fault::Write(Errno::EIO));
            writer.begin_group(true);
            writer.append(&Message::new(1_000).record(serial + 2));
            writer.commit(true).unwrap_err();
        }
    }
    assert_eq!(writer.extent().0.iter().flatten().count(), 3);
    disk
}

const SMALL_BYTES: u32 = 56 * 1024;

/// What a journal shows after a start: IDs, the next ID, and what was damaged.
fn start(disk: &SimulatedDisk) -> (Vec<u64>, Recovery) {
    let mut buffers = Box::new(Buffers::new());
    let (writer, found) = Writer::open(disk.clone(), SMALL_BYTES, &mut buffers).unwrap();
    let (headers, end) = writer.extent();
    let seen = Reader::new().read(disk, headers, end).unwrap();
    assert!(seen.iter().all(|(id, serial)| *id == serial + 1), "{seen:?}");
    (seen.iter().map(|(id, _)| *id).collect(), found)
}

/// The IDs in each segment of the small journal, and where each record begins and ends.
fn places(disk: &SimulatedDisk) -> Vec<(usize, u64, Range<u32>)> {
    let headers = read_headers(&disk.fault_free(), SMALL_BYTES).unwrap();
    let mut places = Vec::new();
    for (segment, header) in headers.iter().enumerate().filter_map(|(at, header)| Some((at, (*header)?))) {
        let mut window = Box::new([0; JOURNAL_READ_BYTES]);
        let mut scan = Scan::new(segment, header.key, FIRST_OFFSET..SMALL_BYTES, &mut window);
        let mut begin = FIRST_OFFSET;
        while let Step::Record(record) = scan.next(&disk.fault_free()).unwrap() {
            let (id, serial) = (record.id, record.time_ms);
            if id == serial + 1 {
                places.push((segment, id, begin..scan.at()));
            }
            begin = scan.at();
        }
    }
    places
}

#[test]
fn every_flipped_bit_costs_one_record() {
    let disk = small_journal();
    let places = places(&disk);
    assert_eq!(places.len(), 24);
    let flip = |segment: usize, bit: u32| {
        let flipped = if segment == 2 { disk.copy() } else { disk.clone() };
        let damage = |bytes: &mut [u8]| bytes[bit as usize / 8] ^= 1 << (bit % 8);
        flipped.damage(segment, damage);
        let started = start(&flipped);
        flipped.damage(segment, damage);
        started
    };
    let all: Vec<u64> = (1..=24).collect();
    for (segment, id, part) in &places {
        for bit in 8 * part.start..8 * part.end {
            let (ids, found) = flip(*segment, bit);
            let is_padding = ids == all && bit >= 8 * (part.end - 7);
            let expected: Vec<u64> = all.iter().copied().filter(|kept| kept != id).collect();
            assert!(is_padding || ids == expected, "segment {segment}, ID {id}, bit {bit}: {ids:?}");
            assert!(found.next_id >= 25, "segment {segment}, ID {id}, bit {bit}: {found:?}");
            let is_found = *segment == 2 && !is_padding;
            let (is_last, length) = (*id == 24, part.end - part.start);
            let expected = |is_found: bool| if is_found { 1..=length } else { 0..=0 };
            assert!(expected(is_found && is_last).contains(&found.torn_bytes), "bit {bit}: {found:?}");
            assert!(expected(is_found && !is_last).contains(&found.damaged_bytes), "bit {bit}: {found:?}");
        }
    }
    for segment in 0..3 {
        for bit in 0..8 * FIRST_OFFSET {
            let (ids, found) = flip(segment, bit);
            assert!(ids == all && found.next_id == 25, "segment {segment}, bit {bit}: {ids:?}");
        }
    }
}

#[test]
fn a_segment_cut_off_at_every_byte_keeps_what_is_before() {
    let disk = small_journal();
    let places = places(&disk);
    for segment in 0..3 {
        let last_end =
            places.iter().filter(|(at, ..)| *at == segment).map(|(.., part)| part.end).max().unwrap();
        // Before that, the second header is gone as well.
        for length in FIRST_OFFSET / 2 + HEADER_BYTES as u32..=last_end {
            let (cut, mut changed) = (disk.copy(), Vec::new());
            cut.damage(segment, |bytes| {
                let tail = &mut bytes[length as usize..];
                // What was zero already is not lost.
                changed.extend((length..).zip(&*tail).filter(|(_, byte)| **byte != 0).map(|(at, _)| at));
                tail.fill(0);
            });
            let (ids, found) = start(&cut);
            let is_kept =
                |at: usize, part: &Range<u32>| at != segment || !changed.iter().any(|at| part.contains(at));
            let kept = places.iter().filter(|(at, _, part)| is_kept(*at, part)).map(|(_, id, _)| *id);
            let kept: Vec<u64> = kept.collect();
            assert_eq!(ids, kept, "segment {segment}, {length} bytes");
            assert!(found.next_id > *ids.last().unwrap(), "segment {segment}, {length} bytes: {found:?}");
        }
    }
}

#[test]
fn without_its_header_no_segment_has_ids_given_again_and_they_are_skipped_once() {
    let disk = small_journal();
    for segment in 0..3 {
        let headless = disk.copy();
        headless.damage(segment, |bytes| bytes[..FIRST_OFFSET as usize].fill(0));
        let (ids, found) = start(&headless);
        assert_eq!((ids.len(), found.unreadable_segments), (16, 1), "segment {segment}");
        assert!(found.next_id >= 25, "segment {segment}: {found:?}");
        // What is missing between others, or before them, is known.
        assert_eq!(found.skipped > 0, segment == 2, "segment {segment}: {found:?}");
        let (_, again) = start(&headless);
        assert_eq!((again.next_id, again.skipped), (found.next_id, 0), "segment {segment}");
    }
}

#[test]
fn wherever_the_power_goes_while_version_1_is_taken_over_nothing_is_lost() {
    let disk = small_journal();
    let headers = read_headers(&disk.fault_free(), SMALL_BYTES).unwrap();
    for (segment, header) in headers.iter().enumerate().filter_map(|(at, header)| Some((at, (*header)?))) {
        let page = Header { origin: None, ..header }.to_page();
        disk.damage(segment, |bytes| bytes[..FIRST_OFFSET as usize].copy_from_slice(&page));
    }
    let open = |disk: &SimulatedDisk| {
        let mut buffers = Box::new(Buffers::new());
        Writer::open(disk.clone(), SMALL_BYTES, &mut buffers).is_ok()
    };
    let mut is_taken_over = false;
    for operations in 0.. {
        let cut = disk.copy();
        cut.fail_after(operations, Fault::Off);
        is_taken_over = open(&cut);
        cut.cut();
        let (ids, found) = start(&cut);
        assert!(ids.into_iter().eq(1..=24), "after {operations} operations");
        assert_eq!((found.next_id, found.skipped), (25, 0), "after {operations} operations");
        let headers = read_headers(&cut.fault_free(), SMALL_BYTES).unwrap();
        assert_eq!(headers.iter().flatten().filter(|header| header.origin.is_some()).count(), 1);
        if is_taken_over {
            break;
        }
    }
    assert!(is_taken_over);
}
