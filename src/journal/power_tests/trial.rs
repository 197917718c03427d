//! Runs writers on a simulated disk with faults, and checks the content of the journal after each of them.

use super::message::Message;
use super::model::{Fate, Model, Stop};
use super::reader::Reader;
use crate::journal::headers::{FIRST_OFFSET, read_headers};
use crate::journal::scan::{Scan, Step};
use crate::journal::segment::Header;
use crate::journal::simulated::{Call, Failures, Fault, Random, SimulatedDisk};
use crate::journal::writer::{Buffers, Writer};
use crate::limits::BATCH;
use nix::errno::Errno;

/// Short segments: the writer rotates often.
pub(super) const SHORT: Size = Size { segment_bytes: 128 * 1024, stretch_bytes: 24 * 1024 };

/// Long segments: they have many stretches, and more space after their records than a start scans.
pub(super) const LONG: Size = Size { segment_bytes: 512 * 1024, stretch_bytes: 8 * 1024 };

/// Segments of one stretch: the writer syncs only when a commit or a rotation requires it.
pub(super) const WHOLE: Size = Size { segment_bytes: 128 * 1024, stretch_bytes: 128 * 1024 };

/// The size of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) segment_bytes: u32,
    pub(super) stretch_bytes: u32,
}

/// The power cuts of each test. There are four tests for each mode.
pub(super) const CUTS: usize = 2_500;

/// Which messages are synced before they are acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    All,
    /// Messages of that priority and above.
    From(u8),
    None,
}

/// A journal, its model, and the faults that happen to it.
pub(super) struct Trial {
    pub(super) size: Size,
    pub(super) mode: Mode,
    pub(super) random: Random,
    pub(super) disk: SimulatedDisk,
    pub(super) model: Model,
    pub(super) reader: Reader,
    pub(super) cuts: usize,
    pub(super) flips: usize,
    /// Whether there are more faults than usual, and segments are full sooner.
    pub(super) is_rough: bool,
    /// Whether bits of records flip.
    pub(super) has_flips: bool,
}

impl Trial {
    pub(super) fn new(mode: Mode, seed: u64) -> Self {
        Self::of_size(SHORT, mode, seed)
    }

    pub(super) fn of_size(size: Size, mode: Mode, seed: u64) -> Self {
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

    /// Runs writers until this many power cuts have happened.
    pub(super) fn run(&mut self, cuts: usize) -> Result<(), String> {
        let mut buffers = Box::new(Buffers::new());
        let mut stop = Stop::PowerCut;
        while self.cuts < cuts {
            if self.has_flips && self.random.once_in(3) {
                self.flip_bit()?;
            }
            if self.random.once_in(4) {
                self.plan_faults();
            }
            if let Some(mut writer) = self.open(&mut buffers, stop)? {
                self.plan_faults();
                self.model.closed_id = None;
                self.write_groups(&mut writer);
                self.end_run(&mut writer);
                stop = Stop::Kill;
            }
            if self.disk.is_off() || !self.random.once_in(4) {
                self.disk.cut();
                self.cuts += 1;
                stop = Stop::PowerCut;
            }
        }
        Ok(())
    }

    /// Shuts down in order once in four times.
    fn end_run(&mut self, writer: &mut Writer<'_, SimulatedDisk>) {
        if self.random.once_in(4) {
            self.disk.enter(Call::Close);
            let before = self.disk.failures();
            let closed = writer.close();
            self.note_call(writer, before);
            if closed.is_ok() && writer.is_writable() && self.disk.failures() == before {
                // Without any syncs, earlier segments may still be lost.
                if self.mode != Mode::None {
                    self.model.note_synced();
                }
                self.model.closed_id = (self.model.void == 0).then_some(writer.next_id());
            }
        }
    }

    /// Flips a bit of a record. Only that record may be lost.
    fn flip_bit(&mut self) -> Result<(), String> {
        let headers = read_headers(&self.disk.fault_free(), self.size.segment_bytes)
            .map_err(|errno| errno.to_string())?;
        let used: Vec<(usize, Header)> =
            headers.iter().enumerate().filter_map(|(segment, header)| Some((segment, (*header)?))).collect();
        if used.is_empty() {
            return Ok(());
        }
        // In two of three cases the record is in the newest segment.
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
            entry.fate = Fate::Unknown;
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

    /// Opens the journal after a stop, and checks it. Returns `None` if it cannot be opened now.
    pub(super) fn open<'a>(
        &mut self,
        buffers: &'a mut Buffers,
        stop: Stop,
    ) -> Result<Option<Writer<'a, SimulatedDisk>>, String> {
        let before = self.disk.failures();
        self.disk.enter(Call::Open);
        let Size { segment_bytes, stretch_bytes } = self.size;
        let opened = Writer::open_with(self.disk.clone(), segment_bytes, stretch_bytes, buffers);
        let Ok((writer, recovery)) = opened else {
            self.model.note_failures(self.disk.failures().since(before));
            return Ok(None);
        };
        let (headers, end) = writer.extent();
        self.model.note_sequence(headers);
        self.model.note_failures(self.disk.failures().since(before));
        let seen = self.reader.read(&self.disk, headers, end)?;
        let checked = self.model.check(&seen, &recovery, self.size.segment_bytes, stop);
        checked.map_err(|what| format!("{what}; after {} cuts, the last stop a {stop:?}", self.cuts))?;
        Ok(Some(writer))
    }

    fn write_groups(&mut self, writer: &mut Writer<'_, SimulatedDisk>) {
        for _ in 0..1 + self.random.below(20) {
            if !writer.is_writable() && self.random.once_in(3) {
                self.disk.enter(Call::Reopen);
                let before = self.disk.failures();
                // If that fails, the next commit fails too.
                let _ = writer.reopen_segment();
                self.note_call(writer, before);
            }
            self.write_group(writer);
            if self.disk.is_off() {
                return;
            }
            if matches!(self.mode, Mode::From(_)) && self.random.once_in(6) {
                self.disk.enter(Call::SyncCommitted);
                let before = self.disk.failures();
                let result = writer.sync_committed();
                self.note_call(writer, before);
                if result.is_ok() {
                    self.model.note_synced();
                }
            }
        }
    }

    /// Records the journal's state after a call. `before` says how many writes and syncs had failed before it.
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

    /// Writes some messages, and returns whether one of them has to be synced.
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
