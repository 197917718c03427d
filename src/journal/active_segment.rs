//! The segment that the writer appends to.

use super::disk::Disk;
use super::headers::FIRST_OFFSET;
use super::mark::{IssuedIds, Marks};
use super::pages::Pages;
use super::segment::{Header, SegmentKey};
use super::store::Store;
use crate::limits::{JOURNAL_BATCH_BYTES, PAGE_BYTES};
use nix::errno::Errno;

/// The segment that the writer appends to. After a failed sync or a failed mark the writer must not use the segment
/// again: the content of the disk is unknown, and another sync would return `Ok`.
#[derive(Clone, Copy)]
pub(super) struct ActiveSegment {
    segment: usize,
    header: Header,
    /// The end of the written records. The buffered ones follow.
    end: u32,
    /// The end of the synced records.
    synced_end: u32,
    /// The marks of the segment, which say which IDs were issued.
    marks: Marks,
}

impl ActiveSegment {
    /// A new segment in that file.
    pub(super) fn new(segment: usize, header: Header) -> Self {
        let marks = Marks::of_header(&header);
        Self { segment, header, end: FIRST_OFFSET, synced_end: FIRST_OFFSET, marks }
    }

    /// A segment of an earlier run, whose records end at `end`.
    pub(super) fn resume(segment: usize, header: Header, end: u32, marks: Marks) -> Self {
        Self { segment, header, end, synced_end: end, marks }
    }

    /// The key of its records.
    pub(super) fn key(&self) -> SegmentKey {
        self.header.key
    }

    /// Its sequence.
    pub(super) fn sequence(&self) -> u64 {
        self.header.sequence
    }

    /// The end of the written records.
    pub(super) fn end(&self) -> u32 {
        self.end
    }

    /// The end of the synced records.
    pub(super) fn synced_end(&self) -> u32 {
        self.synced_end
    }

    /// Whether the segment says that the server may have issued unsynced IDs.
    pub(super) fn expects_unsynced_ids(&self) -> bool {
        self.marks.issued().is_unsynced
    }

    /// Whether a batch fits after this many buffered bytes.
    pub(super) fn has_room(&self, waiting: usize) -> bool {
        self.end as usize + waiting + JOURNAL_BATCH_BYTES <= self.header.records_end() as usize
    }

    /// Whether more than a stretch would be unsynced after a write of this many bytes.
    pub(super) fn is_sync_due(&self, waiting: usize, stretch_bytes: u32) -> bool {
        let unsynced = self.end - self.synced_end;
        unsynced > 0 && unsynced + waiting as u32 > stretch_bytes
    }

    /// Writes the waiting bytes of `pages`.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn write(&mut self, store: &mut Store<impl Disk>, pages: &mut Pages) -> Result<(), Errno> {
        self.end = store.write_records(self.segment, self.end, pages)?;
        Ok(())
    }

    /// Waits until everything written to the segment is on the disk.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn sync(&mut self, store: &mut Store<impl Disk>) -> Result<(), Errno> {
        store.sync_records(self.segment, self.synced_end, self.end)?;
        self.synced_end = self.end;
        Ok(())
    }

    /// Writes a mark, and syncs the segment.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn write_mark(
        &mut self,
        store: &mut Store<impl Disk>,
        issued: IssuedIds,
        page: &mut [u8; PAGE_BYTES],
    ) -> Result<(), Errno> {
        store.write_mark(self.segment, &self.header, &mut self.marks, issued, page)?;
        self.sync(store)
    }
}
