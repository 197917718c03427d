//! A disk in memory, for tests: it loses unsynced writes when the power fails, tears sectors, and fails like a disk
//! under Linux.
//!
//! Writes go to the cache. A sector of it reaches the disk at a sync, or at any earlier time. As under Linux, a failed
//! sync leaves its sectors clean, whether they are on the disk or not, and the next sync of them returns `Ok`.

mod cached_segment;
mod random;

use super::disk::{Disk, Source};
use crate::limits::JOURNAL_SEGMENTS;
use cached_segment::{SECTOR_BYTES, Sector, Segment};
use core::cell::RefCell;
use nix::errno::Errno;
pub use random::Random;
use std::rc::Rc;

/// A fault that happens at an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The next write fails after a part of it.
    Write(Errno),
    /// The next sync fails.
    Sync,
    /// This many operations fail.
    Outage(u64),
    /// The power fails: all operations fail until [`SimulatedDisk::cut`].
    Off,
}

/// The operation of the writer that a sync belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Open,
    BeginGroup,
    Commit,
    SyncCommitted,
    Reopen,
    Close,
}

/// The content that a sync makes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Writes of another process.
    Former,
    /// Records, possibly with the header of their segment.
    Records,
    /// Records of earlier commits, after another failure.
    Rest,
    /// Nothing but a header.
    Header,
}

/// How many operations have failed so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// Syncs of anything but a header alone.
    pub syncs: u64,
    /// Writes and syncs of headers.
    pub headers: u64,
}

impl Failures {
    /// What failed since `before`.
    pub fn since(self, before: Self) -> Self {
        Self { syncs: self.syncs - before.syncs, headers: self.headers - before.headers }
    }
}

struct State {
    segments: Vec<Segment>,
    random: Random,
    operations: u64,
    /// The planned faults: the operation, and the fault.
    faults: Vec<(u64, Fault)>,
    outage_end: u64,
    is_off: bool,
    failures: Failures,
    call: Call,
    has_failed_in_call: bool,
    /// The syncs that do nothing but return `Ok`.
    ignored: Option<(Call, Target)>,
}

/// The disk. Its clones are the same disk.
#[derive(Clone)]
pub struct SimulatedDisk(Rc<RefCell<State>>);

impl SimulatedDisk {
    /// A disk whose segments are all zeroes.
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

    /// Plans a fault after this many more operations.
    pub fn fail_after(&self, operations: u64, fault: Fault) {
        let mut state = self.0.borrow_mut();
        let at = state.operations + operations;
        state.faults.push((at, fault));
    }

    /// From now on the disk cannot write the first page of that segment: each sync of it fails.
    pub fn break_header_page(&self, segment: usize) {
        self.0.borrow_mut().segments[segment].has_bad_header_page = true;
    }

    /// From now on all syncs belong to that call.
    pub fn enter(&self, call: Call) {
        let mut state = self.0.borrow_mut();
        state.call = call;
        state.has_failed_in_call = false;
    }

    /// From now on these syncs do nothing but return `Ok`.
    pub fn ignore(&self, syncs: (Call, Target)) {
        self.0.borrow_mut().ignored = Some(syncs);
    }

    pub fn is_off(&self) -> bool {
        self.0.borrow().is_off
    }

    pub fn failures(&self) -> Failures {
        self.0.borrow().failures
    }

    /// The version of a segment's content: it changes when a reader may see something else.
    pub fn version(&self, segment: usize) -> u64 {
        self.0.borrow().segments[segment].version
    }

    /// Cuts the power and restores it: each sector that was not synced is lost, written, or torn. All planned faults
    /// are dropped.
    pub fn cut(&self) {
        let mut state = self.0.borrow_mut();
        let State { segments, random, faults, outage_end, is_off, .. } = &mut *state;
        segments.iter_mut().for_each(|segment| segment.cut(random));
        faults.clear();
        (*outage_end, *is_off) = (0, false);
    }

    /// Changes the content of a segment, in the cache and on the disk.
    pub fn damage(&self, segment: usize, change: impl FnOnce(&mut [u8])) {
        let segment = &mut self.0.borrow_mut().segments[segment];
        change(&mut segment.durable);
        segment.cached.copy_from_slice(&segment.durable);
        segment.version += 1;
    }

    /// Flips a bit of a segment, in the cache and on the disk.
    pub fn flip(&self, segment: usize, bit: usize) {
        let segment = &mut self.0.borrow_mut().segments[segment];
        for bytes in [&mut segment.durable, &mut segment.cached] {
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        segment.version += 1;
    }

    /// A view of the disk without faults. Its reads do not count as operations.
    pub fn fault_free(&self) -> FaultFree<'_> {
        FaultFree(self)
    }

    /// Another disk with the same content.
    pub fn copy(&self) -> Self {
        let other = Self::new(self.0.borrow().segments[0].durable.len() as u32, 0);
        other.0.borrow_mut().segments = self.0.borrow().segments.clone();
        other
    }
}

/// A view of the disk without faults.
pub struct FaultFree<'a>(&'a SimulatedDisk);

impl Source for FaultFree<'_> {
    fn read(&self, segment: usize, offset: u32, bytes: &mut [u8]) -> Result<(), Errno> {
        let offset = offset as usize;
        bytes.copy_from_slice(&self.0.0.borrow().segments[segment].cached[offset..offset + bytes.len()]);
        Ok(())
    }
}

impl State {
    /// Counts an operation, and returns the fault that happens at it.
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
        // Without power the cache does not change. The cut decides what becomes of dirty sectors.
        if !self.is_off {
            segments[segment].fail_to_sync(random);
            self.failures.syncs += u64::from(target != Target::Header);
        }
        Err(Errno::EIO)
    }

    /// The content that a sync of that segment makes durable.
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
        let written = if fault.is_none() { bytes.len() } else { random.below(bytes.len() + 1) };
        failures.headers += u64::from(fault.is_some() && offset == 0);
        segments[segment].write(offset as usize, &bytes[..written], random);
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
