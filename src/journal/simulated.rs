//! A disk in memory, for tests: it forgets what was not synced when it loses power, tears sectors, and fails as Linux
//! does.
//!
//! What was written is in the cache. A sector of it reaches the disk when it is synced, or before that when the
//! system likes. A sync that fails leaves its sectors clean, on the disk or not, and the next one says `Ok` about
//! them: so does Linux.

use super::disk::{Disk, Source};
use crate::limits::{JOURNAL_SEGMENTS, SEGMENT_HEADER_BYTES};
use core::cell::RefCell;
use nix::errno::Errno;
use std::rc::Rc;

/// What a disk writes whole, as a rule.
pub const SECTOR_BYTES: usize = 512;
/// Sectors that the system may write together, though only one of them was touched.
const PAGE_SECTORS: usize = 8;

/// SplitMix64: the same numbers for the same seed, everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below that one.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// What goes wrong at an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The next write fails, after a part of it.
    Write(Errno),
    /// The next sync fails.
    Sync,
    /// Everything fails for so many operations.
    Outage(u64),
    /// The power goes: everything fails until [`SimulatedDisk::cut`].
    Off,
}

/// What the writer was asked for when it syncs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Open,
    BeginGroup,
    Commit,
    SyncRest,
    Reopen,
    Close,
}

/// What it syncs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// What another process left.
    Former,
    /// Records, with the header of their segment perhaps.
    Records,
    /// Records that were committed before, after another failure.
    Rest,
    /// Nothing but a header.
    Header,
}

/// What failed so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// Syncs of anything but a header alone.
    pub syncs: u64,
    /// Headers that could not be written, or not be synced.
    pub headers: u64,
}

impl Failures {
    /// What failed since that was all.
    pub fn since(self, before: Self) -> Self {
        Self { syncs: self.syncs - before.syncs, headers: self.headers - before.headers }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sector {
    Clean,
    /// The cache is newer, and a sync writes it.
    Dirty,
    /// A sync failed: the cache is newer perhaps, and no sync writes it.
    Unsyncable,
}

#[derive(Clone)]
struct Segment {
    durable: Vec<u8>,
    cached: Vec<u8>,
    sectors: Vec<Sector>,
    /// Whether records were written since its last header.
    has_records: bool,
    /// Whether its first page stays as it is on the disk, whatever is written.
    has_bad_header_page: bool,
    /// How often what a reader sees may have changed.
    version: u64,
}

struct State {
    segments: Vec<Segment>,
    random: Random,
    operations: u64,
    /// At which operation what goes wrong.
    faults: Vec<(u64, Fault)>,
    outage_end: u64,
    is_off: bool,
    failures: Failures,
    call: Call,
    has_failed_in_call: bool,
    /// The syncs that do nothing.
    ignored: Option<(Call, Target)>,
}

/// The disk; clones are the same one.
#[derive(Clone)]
pub struct SimulatedDisk(Rc<RefCell<State>>);

impl SimulatedDisk {
    /// One whose segments are all zeroes.
    pub fn new(segment_bytes: u32, seed: u64) -> Self {
        let bytes = vec![0; segment_bytes as usize];
        let sectors = vec![Sector::Clean; bytes.len() / SECTOR_BYTES];
        let segment = Segment {
            durable: bytes.clone(),
            cached: bytes,
            sectors,
            has_records: false,
            has_bad_header_page: false,
            version: 0,
        };
        Self(Rc::new(RefCell::new(State {
            segments: vec![segment; JOURNAL_SEGMENTS],
            random: Random(seed),
            operations: 0,
            faults: Vec::new(),
            outage_end: 0,
            is_off: false,
            failures: Failures::default(),
            call: Call::Open,
            has_failed_in_call: false,
            ignored: None,
        })))
    }

    /// Has something go wrong after so many more operations.
    pub fn fail_after(&self, operations: u64, fault: Fault) {
        let mut state = self.0.borrow_mut();
        let at = state.operations + operations;
        state.faults.push((at, fault));
    }

    /// From now on, the first page of that segment cannot be written: each sync of it fails.
    pub fn break_header_page(&self, segment: usize) {
        self.0.borrow_mut().segments[segment].has_bad_header_page = true;
    }

    /// From now on, what is synced is synced for that call.
    pub fn enter(&self, call: Call) {
        let mut state = self.0.borrow_mut();
        state.call = call;
        state.has_failed_in_call = false;
    }

    /// From now on, these syncs do nothing but say `Ok`.
    pub fn ignore(&self, syncs: (Call, Target)) {
        self.0.borrow_mut().ignored = Some(syncs);
    }

    pub fn is_off(&self) -> bool {
        self.0.borrow().is_off
    }

    pub fn failures(&self) -> Failures {
        self.0.borrow().failures
    }

    /// Changes when what a reader sees of a segment may have.
    pub fn version(&self, segment: usize) -> u64 {
        self.0.borrow().segments[segment].version
    }

    /// Cuts the power and gives it back: each sector that was not synced is lost, kept, or torn. What was planned to
    /// go wrong is not, any more.
    pub fn cut(&self) {
        let mut state = self.0.borrow_mut();
        let State { segments, random, faults, outage_end, is_off, .. } = &mut *state;
        segments.iter_mut().for_each(|segment| segment.cut(random));
        faults.clear();
        (*outage_end, *is_off) = (0, false);
    }

    /// Changes what stands in a segment.
    pub fn damage(&self, segment: usize, change: impl FnOnce(&mut [u8])) {
        let segment = &mut self.0.borrow_mut().segments[segment];
        change(&mut segment.durable);
        segment.cached.copy_from_slice(&segment.durable);
        segment.version += 1;
    }

    /// Flips a bit of what stands in a segment, in the cache and on the disk.
    pub fn flip(&self, segment: usize, bit: usize) {
        let segment = &mut self.0.borrow_mut().segments[segment];
        for bytes in [&mut segment.durable, &mut segment.cached] {
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        segment.version += 1;
    }

    /// What one sees who disturbs nothing, and is not disturbed.
    pub fn fault_free(&self) -> FaultFree<'_> {
        FaultFree(self)
    }

    /// Another disk that holds the same.
    pub fn copy(&self) -> Self {
        let other = Self::new(self.0.borrow().segments[0].durable.len() as u32, 0);
        other.0.borrow_mut().segments = self.0.borrow().segments.clone();
        other
    }
}

/// The disk for one who reads besides.
pub struct FaultFree<'a>(&'a SimulatedDisk);

impl Source for FaultFree<'_> {
    fn read(&self, segment: usize, offset: u32, bytes: &mut [u8]) -> Result<(), Errno> {
        let offset = offset as usize;
        bytes.copy_from_slice(&self.0.0.borrow().segments[segment].cached[offset..offset + bytes.len()]);
        Ok(())
    }
}

impl Segment {
    /// Whether that sector stays as it is on the disk.
    fn is_stuck(&self, sector: usize) -> bool {
        self.has_bad_header_page && sector < PAGE_SECTORS
    }

    fn store(&mut self, sector: usize, bytes: usize) {
        if self.is_stuck(sector) {
            return;
        }
        let start = sector * SECTOR_BYTES;
        self.durable[start..start + bytes].copy_from_slice(&self.cached[start..start + bytes]);
    }

    /// Has the cache show what is on the disk.
    fn reload(&mut self, sector: usize) {
        let bytes = sector * SECTOR_BYTES..(sector + 1) * SECTOR_BYTES;
        self.cached[bytes.clone()].copy_from_slice(&self.durable[bytes]);
        self.sectors[sector] = Sector::Clean;
        self.version += 1;
    }

    fn indices(&self, of: impl Fn(Sector) -> bool) -> Vec<usize> {
        (0..self.sectors.len()).filter(|sector| of(self.sectors[*sector])).collect()
    }

    fn cut(&mut self, random: &mut Random) {
        for sector in self.indices(|sector| sector != Sector::Clean) {
            if self.sectors[sector] == Sector::Dirty {
                match random.below(3) {
                    0 => {}
                    1 => self.store(sector, SECTOR_BYTES),
                    _ => self.store(sector, random.below(SECTOR_BYTES)),
                }
            }
            self.reload(sector);
        }
    }

    fn write(&mut self, offset: usize, bytes: &[u8], random: &mut Random) {
        if bytes.is_empty() {
            return;
        }
        self.cached[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.version += 1;
        self.has_records = offset >= SEGMENT_HEADER_BYTES;
        let (first, last) = (offset / SECTOR_BYTES, (offset + bytes.len() - 1) / SECTOR_BYTES);
        self.sectors[first..=last].fill(Sector::Dirty);
        // Where it writes whole pages, what went astray in them comes back.
        if random.once_in(2) {
            let pages = first / PAGE_SECTORS * PAGE_SECTORS..(last + 1).next_multiple_of(PAGE_SECTORS);
            let astray = self.sectors[pages].iter_mut().filter(|sector| **sector == Sector::Unsyncable);
            astray.for_each(|sector| *sector = Sector::Dirty);
        }
        // The system writes it when it likes.
        if random.once_in(8) {
            self.sync(|| random.once_in(2));
        }
    }

    /// Writes those dirty sectors for which that is so.
    fn sync(&mut self, mut is_written: impl FnMut() -> bool) {
        for sector in self.indices(|sector| sector == Sector::Dirty) {
            if !self.is_stuck(sector) && is_written() {
                self.store(sector, SECTOR_BYTES);
                self.sectors[sector] = Sector::Clean;
            }
        }
    }

    fn can_be_synced(&self) -> bool {
        !self.has_bad_header_page || !self.sectors[..PAGE_SECTORS].contains(&Sector::Dirty)
    }

    fn fail_to_sync(&mut self, random: &mut Random) {
        self.sync(|| random.once_in(2));
        let dirty = self.sectors.iter_mut().filter(|sector| **sector == Sector::Dirty);
        dirty.for_each(|sector| *sector = Sector::Unsyncable);
    }
}

impl State {
    /// Counts an operation, and says what goes wrong with it.
    fn operate(&mut self, is_mine: impl Fn(Fault) -> bool) -> Option<Fault> {
        self.operations += 1;
        let now = self.operations;
        let is_due = |fault: Fault| matches!(fault, Fault::Outage(_) | Fault::Off) || is_mine(fault);
        let due = self.faults.iter().position(|(at, fault)| *at <= now && is_due(*fault));
        let fault = due.map(|due| self.faults.swap_remove(due).1);
        match fault {
            Some(Fault::Off) => self.is_off = true,
            Some(Fault::Outage(operations)) => self.outage_end = now + operations,
            _ => {}
        }
        let is_out = self.is_off || now < self.outage_end;
        let failed = if is_out { Some(Fault::Outage(0)) } else { fault };
        self.has_failed_in_call |= failed.is_some();
        failed
    }

    fn sync(&mut self, segment: usize, target: Target) -> Result<(), Errno> {
        let place = (self.call, target);
        if self.ignored == Some(place) {
            return Ok(());
        }
        let fault = self.operate(|fault| fault == Fault::Sync);
        let State { segments, random, .. } = self;
        if fault.is_none() && segments[segment].can_be_synced() {
            segments[segment].sync(|| true);
            return Ok(());
        }
        self.has_failed_in_call = true;
        self.failures.headers += u64::from(target == Target::Header);
        // Without power nothing is told to anybody: what is dirty is for the cut.
        if !self.is_off {
            segments[segment].fail_to_sync(random);
            self.failures.syncs += u64::from(target != Target::Header);
        }
        Err(Errno::EIO)
    }

    /// What a sync of that segment is for.
    fn target(&self, segment: usize) -> Target {
        match (self.segments[segment].has_records, self.has_failed_in_call) {
            (false, _) => Target::Header,
            (true, false) => Target::Records,
            (true, true) => Target::Rest,
        }
    }
}

impl Source for SimulatedDisk {
    fn read(&self, segment: usize, offset: u32, bytes: &mut [u8]) -> Result<(), Errno> {
        let mut state = self.0.borrow_mut();
        if state.operate(|_| false).is_some() {
            return Err(Errno::EIO);
        }
        let offset = offset as usize;
        bytes.copy_from_slice(&state.segments[segment].cached[offset..offset + bytes.len()]);
        Ok(())
    }
}

impl Disk for SimulatedDisk {
    fn write(&mut self, segment: usize, offset: u32, bytes: &[u8]) -> Result<(), Errno> {
        let mut state = self.0.borrow_mut();
        let fault = state.operate(|fault| matches!(fault, Fault::Write(_)));
        let State { segments, random, failures, .. } = &mut *state;
        let done = if fault.is_none() { bytes.len() } else { random.below(bytes.len() + 1) };
        failures.headers += u64::from(fault.is_some() && offset == 0);
        segments[segment].write(offset as usize, &bytes[..done], random);
        match fault {
            None => Ok(()),
            Some(Fault::Write(errno)) => Err(errno),
            Some(_) => Err(Errno::EIO),
        }
    }

    fn sync(&mut self, segment: usize) -> Result<(), Errno> {
        let mut state = self.0.borrow_mut();
        let target = state.target(segment);
        state.sync(segment, target)
    }

    fn sync_and_evict(&mut self, segment: usize) -> Result<(), Errno> {
        let mut state = self.0.borrow_mut();
        state.sync(segment, Target::Former)?;
        if state.ignored != Some((state.call, Target::Former)) {
            let segment = &mut state.segments[segment];
            segment
                .indices(|sector| sector == Sector::Unsyncable)
                .into_iter()
                .for_each(|sector| segment.reload(sector));
        }
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), Errno> {
        if self.0.borrow_mut().operate(|_| false).is_some() { Err(Errno::EIO) } else { Ok(()) }
    }
}
