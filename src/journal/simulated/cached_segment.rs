//! A segment of the simulated disk: its content on the disk, and its content in the page cache.

use super::random::Random;
use crate::limits::SEGMENT_HEADER_BYTES;

/// The bytes that a disk usually writes in one piece.
pub const SECTOR_BYTES: usize = 512;
/// The sectors of a page. The system may write all of them if one has changed.
const PAGE_SECTORS: usize = 8;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sector {
    Clean,
    /// The cache is newer. The next sync writes it.
    Dirty,
    /// A sync failed. The cache may be newer, but no sync writes it.
    Unsyncable,
}

#[derive(Clone)]
pub(super) struct Segment {
    pub(super) durable: Vec<u8>,
    pub(super) cached: Vec<u8>,
    pub(super) sectors: Vec<Sector>,
    /// Whether records were written since its last header.
    pub(super) has_records: bool,
    /// Whether the disk refuses each write to its first page.
    pub(super) has_bad_header_page: bool,
    /// The version of the content: it changes when a reader may see something else.
    pub(super) version: u64,
}

impl Segment {
    /// Whether the disk refuses writes to that sector.
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

    /// Replaces the content of the cache by that of the disk.
    pub(super) fn reload(&mut self, sector: usize) {
        let bytes = sector * SECTOR_BYTES..(sector + 1) * SECTOR_BYTES;
        self.cached[bytes.clone()].copy_from_slice(&self.durable[bytes]);
        self.sectors[sector] = Sector::Clean;
        self.version += 1;
    }

    pub(super) fn indices(&self, of: impl Fn(Sector) -> bool) -> Vec<usize> {
        (0..self.sectors.len()).filter(|sector| of(self.sectors[*sector])).collect()
    }

    pub(super) fn cut(&mut self, random: &mut Random) {
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

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8], random: &mut Random) {
        if bytes.is_empty() {
            return;
        }
        self.cached[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.version += 1;
        self.has_records = offset >= SEGMENT_HEADER_BYTES;
        let (first, last) = (offset / SECTOR_BYTES, (offset + bytes.len() - 1) / SECTOR_BYTES);
        self.sectors[first..=last].fill(Sector::Dirty);
        // If the system writes whole pages, the unsyncable sectors in them become dirty again.
        if random.once_in(2) {
            let pages = first / PAGE_SECTORS * PAGE_SECTORS..(last + 1).next_multiple_of(PAGE_SECTORS);
            let unsyncable = self.sectors[pages].iter_mut().filter(|sector| **sector == Sector::Unsyncable);
            unsyncable.for_each(|sector| *sector = Sector::Dirty);
        }
        // The system may write dirty sectors at any time.
        if random.once_in(8) {
            self.sync(|| random.once_in(2));
        }
    }

    /// Writes the dirty sectors for which `is_written` returns true.
    pub(super) fn sync(&mut self, mut is_written: impl FnMut() -> bool) {
        for sector in self.indices(|sector| sector == Sector::Dirty) {
            if !self.is_stuck(sector) && is_written() {
                self.store(sector, SECTOR_BYTES);
                self.sectors[sector] = Sector::Clean;
            }
        }
    }

    pub(super) fn can_be_synced(&self) -> bool {
        !self.has_bad_header_page || !self.sectors[..PAGE_SECTORS].contains(&Sector::Dirty)
    }

    pub(super) fn fail_to_sync(&mut self, random: &mut Random) {
        self.sync(|| random.once_in(2));
        let dirty = self.sectors.iter_mut().filter(|sector| **sector == Sector::Dirty);
        dirty.for_each(|sector| *sector = Sector::Unsyncable);
    }
}
