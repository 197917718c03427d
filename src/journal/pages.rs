//! Bytes on their way to the end of a segment, which are written in whole pages: the last page is kept here and written again with
//! what comes behind it. So the system never has to read a page first to change a part of it.

use super::disk::Disk;
use crate::limits::{JOURNAL_BATCH_BYTES, PAGE_BYTES};
use heapless::Vec;
use nix::errno::Errno;

/// The end of a segment: what is written of its last page, and what waits to be written behind it.
#[derive(Default)]
pub struct Pages {
    /// From the beginning of that page on. Room for a batch, for what stands before it, and for zeroes up to a page's end.
    bytes: Vec<u8, { PAGE_BYTES + JOURNAL_BATCH_BYTES + PAGE_BYTES }>,
    /// So many of them are written.
    written: usize,
}

impl Pages {
    /// The end of a segment that ends with a page.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), written: 0 }
    }

    /// Forgets all, for another segment that ends with a page.
    pub fn reset(&mut self) {
        self.bytes.clear();
        self.written = 0;
    }

    /// Reads what stands in the last page of a segment that ends at `end`.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn resume(&mut self, disk: &impl Disk, segment: usize, end: u32) -> Result<(), Errno> {
        self.reset();
        let written = end as usize % PAGE_BYTES;
        // A page is less than it has room for.
        let _ = self.bytes.resize_default(written);
        disk.read(segment, end - written as u32, &mut self.bytes)?;
        self.written = written;
        Ok(())
    }

    /// How many bytes wait to be written.
    pub fn waiting(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Room for so many bytes more behind what waits; none: more would wait than a batch.
    pub fn extend(&mut self, bytes: usize) -> Option<&mut [u8]> {
        let start = self.bytes.len();
        if self.waiting() + bytes > JOURNAL_BATCH_BYTES {
            return None;
        }
        self.bytes.resize_default(start + bytes).ok()?;
        Some(&mut self.bytes[start..])
    }

    /// Writes what waits to a segment that ends at `end`, and returns where it ends then.
    ///
    /// # Errors
    /// Those of the disk; then it must be [`reset`](Pages::reset).
    pub fn write(&mut self, disk: &mut impl Disk, segment: usize, end: u32) -> Result<u32, Errno> {
        if self.waiting() == 0 {
            return Ok(end);
        }
        let (start, len) = (end - self.written as u32, self.bytes.len());
        // There is room for that.
        let _ = self.bytes.resize_default(len.next_multiple_of(PAGE_BYTES));
        disk.write(segment, start, &self.bytes)?;
        self.written = len % PAGE_BYTES;
        self.bytes.copy_within(len - self.written..len, 0);
        self.bytes.truncate(self.written);
        Ok(start + len as u32)
    }
}
