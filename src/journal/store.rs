//! Writes headers, marks and records to the disk, and counts bytes and syncs.

use super::disk::Disk;
use super::mark::{IssuedIds, Marks};
use super::pages::Pages;
use super::segment::{HEADER_OFFSETS, Header};
use crate::limits::{JOURNAL_SEGMENTS, PAGE_BYTES, SEGMENT_HEADER_BYTES};
use nix::errno::Errno;

/// The statistics of the writer since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct WriteStats {
    /// Bytes of committed records.
    pub record_bytes: u64,
    /// Bytes that the disk had to write for them: whole pages. A page that was not full at a sync counts again at the
    /// next one.
    pub page_bytes: u64,
    /// Syncs.
    pub syncs: u64,
    /// Failed commits.
    pub failures: u64,
}

/// The disk of a writer, and its statistics.
pub(super) struct Store<D> {
    /// The disk.
    pub(super) disk: D,
    /// The statistics so far.
    pub(super) stats: WriteStats,
}

impl<D: Disk> Store<D> {
    /// The store on that disk.
    pub(super) fn new(disk: D) -> Self {
        Self { disk, stats: WriteStats::default() }
    }

    /// Makes the content of all segments durable, and makes later reads come from the disk.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn sync_and_evict_all(&mut self) -> Result<(), Errno> {
        (0..JOURNAL_SEGMENTS).try_for_each(|segment| self.disk.sync_and_evict(segment))
    }

    /// Waits until everything written to a segment is on the disk.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn sync(&mut self, segment: usize) -> Result<(), Errno> {
        self.disk.sync(segment)?;
        self.stats.syncs += 1;
        Ok(())
    }

    /// Syncs the records of a segment, of which those up to `synced_end` are synced already.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn sync_records(&mut self, segment: usize, synced_end: u32, end: u32) -> Result<(), Errno> {
        self.sync(segment)?;
        self.stats.page_bytes += page_bytes(synced_end, end);
        Ok(())
    }

    /// Writes the waiting bytes of `pages` to a segment that ends at `end`, and returns its new end.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn write_records(
        &mut self,
        segment: usize,
        end: u32,
        pages: &mut Pages,
    ) -> Result<u32, Errno> {
        pages.write(&mut self.disk, segment, end)
    }

    /// Writes the header of a segment, and syncs it.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn write_header(&mut self, segment: usize, header: &Header) -> Result<(), Errno> {
        self.write_header_page(segment, &header.to_page())
    }

    /// Repairs the first page of a segment: converts a header of version 1 to this version, or restores a copy that is
    /// damaged. It writes the page in two steps. Whatever a power cut leaves during either step, one of the headers is
    /// whole.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn repair_header(&mut self, segment: usize, header: &Header) -> Result<(), Errno> {
        let (mut page, whole) = ([0; SEGMENT_HEADER_BYTES], header.to_page());
        self.disk.read(segment, 0, &mut page)?;
        if page == whole {
            return Ok(());
        }
        for offset in HEADER_OFFSETS {
            let sector = offset..offset + SEGMENT_HEADER_BYTES / 8;
            page[sector.clone()].copy_from_slice(&whole[sector]);
        }
        self.write_header_page(segment, &page)?;
        self.write_header_page(segment, &whole)
    }

    fn write_header_page(&mut self, segment: usize, page: &[u8; SEGMENT_HEADER_BYTES]) -> Result<(), Errno> {
        self.disk.write(segment, 0, page)?;
        self.sync(segment)?;
        self.stats.page_bytes += SEGMENT_HEADER_BYTES as u64;
        Ok(())
    }

    /// Writes the next mark of a segment. The caller must sync it.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn write_mark(
        &mut self,
        segment: usize,
        header: &Header,
        marks: &mut Marks,
        issued: IssuedIds,
        page: &mut [u8; PAGE_BYTES],
    ) -> Result<(), Errno> {
        marks.write(&mut self.disk, segment, header, page, issued)?;
        self.stats.page_bytes += PAGE_BYTES as u64;
        Ok(())
    }

    /// Writes the last mark of a segment again, and syncs it. That changes nothing, but shows whether the disk works.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn rewrite_mark(
        &mut self,
        segment: usize,
        header: &Header,
        page: &mut [u8; PAGE_BYTES],
    ) -> Result<(), Errno> {
        Marks::read(&self.disk, segment, header)?.rewrite(&mut self.disk, segment, header, page)?;
        self.stats.page_bytes += PAGE_BYTES as u64;
        self.sync(segment)
    }
}

/// The bytes of the pages that contain the bytes from `start` to `end`.
fn page_bytes(start: u32, end: u32) -> u64 {
    let page = PAGE_BYTES as u64;
    if start == end { 0 } else { u64::from(end).next_multiple_of(page) - u64::from(start) / page * page }
}
