//! Buffers records on their way to the end of a segment, and writes them in whole pages. It keeps the last,
//! incomplete page, and writes it again with the next records. So the system never has to read a page before it
//! changes a part of it.

use super::disk::Disk;
use crate::limits::{JOURNAL_BATCH_BYTES, PAGE_BYTES};
use heapless::Vec;
use nix::errno::Errno;

/// The end of a segment: the written part of its last page, and the bytes that wait to be written after it.
#[derive(Default)]
pub struct Pages {
    /// The last page from its beginning, and the bytes after it. There is room for that page, for a batch, and for
    /// zeroes up to a page's end.
    bytes: Vec<u8, { PAGE_BYTES + JOURNAL_BATCH_BYTES + PAGE_BYTES }>,
    /// How many of the bytes are written.
    written: usize,
}

impl Pages {
    /// The end of a segment that ends with a page.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), written: 0 }
    }

    /// Drops all bytes, and begins at the end of a segment that ends with a page.
    pub fn reset(&mut self) {
        self.bytes.clear();
        self.written = 0;
    }

    /// Begins at the offset `end` of a segment: reads the written part of the page there.
    ///
    /// # Errors
    /// The disk's.
    pub fn resume(&mut self, disk: &impl Disk, segment: usize, end: u32) -> Result<(), Errno> {
        self.reset();
        let written = end as usize % PAGE_BYTES;
        // The vector has room for a page.
        let _ = self.bytes.resize_default(written);
        disk.read(segment, end - written as u32, &mut self.bytes)?;
        self.written = written;
        Ok(())
    }

    /// How many bytes wait to be written.
    pub fn waiting(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Appends this many bytes, which the caller fills. Returns `None` if more than a batch would then wait.
    pub fn extend(&mut self, bytes: usize) -> Option<&mut [u8]> {
        let start = self.bytes.len();
        if self.waiting() + bytes > JOURNAL_BATCH_BYTES {
            return None;
        }
        self.bytes.resize_default(start + bytes).ok()?;
        Some(&mut self.bytes[start..])
    }

    /// Writes the waiting bytes to a segment that ends at `end`, and returns its new end.
    ///
    /// # Errors
    /// The disk's. Then the caller must [`reset`](Pages::reset) the pages.
    pub fn write(&mut self, disk: &mut impl Disk, segment: usize, end: u32) -> Result<u32, Errno> {
        if self.waiting() == 0 {
            return Ok(end);
        }
        let (start, len) = (end - self.written as u32, self.bytes.len());
        // The vector has room up to the end of the page.
        let _ = self.bytes.resize_default(len.next_multiple_of(PAGE_BYTES));
        disk.write(segment, start, &self.bytes)?;
        self.written = len % PAGE_BYTES;
        self.bytes.copy_within(len - self.written..len, 0);
        self.bytes.truncate(self.written);
        Ok(start + len as u32)
    }
}
