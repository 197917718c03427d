//! Buffers records on their way to the end of a segment, and writes them in whole pages. It keeps the last,
//! incomplete page, and writes it again with the next records. So the system never has to read a page before it
//! changes a part of it.

use super::disk::Disk;
use crate::limits::{JOURNAL_BATCH_BYTES, PAGE_BYTES};
use nix::errno::Errno;

/// Room for the written part of the last page, for a batch, and for zeroes up to a page's end.
const ROOM: usize = PAGE_BYTES + JOURNAL_BATCH_BYTES + PAGE_BYTES;

/// The end of a segment: the written part of its last page, and the bytes that wait to be written after it.
pub struct Pages {
    /// The last page from its beginning, and the bytes after it.
    bytes: [u8; ROOM],
    /// How many of the bytes are in use.
    len: usize,
    /// How many of the bytes are written.
    written: usize,
}

impl Pages {
    /// The end of a segment that ends with a page.
    pub(super) const fn new() -> Self {
        Self { bytes: [0; ROOM], len: 0, written: 0 }
    }

    /// Drops all bytes, and begins at the end of a segment that ends with a page.
    pub fn reset(&mut self) {
        (self.len, self.written) = (0, 0);
    }

    /// Begins at the offset `end` of a segment: reads the written part of the page there.
    ///
    /// # Errors
    /// The disk's.
    pub fn resume(&mut self, disk: &impl Disk, segment: usize, end: u32) -> Result<(), Errno> {
        self.reset();
        let written = end as usize % PAGE_BYTES;
        disk.read(segment, end - written as u32, &mut self.bytes[..written])?;
        (self.len, self.written) = (written, written);
        Ok(())
    }

    /// How many bytes wait to be written.
    pub fn waiting(&self) -> usize {
        self.len - self.written
    }

    /// Appends this many bytes, all of which the caller has to write. Returns `None` if more than a batch would then
    /// wait.
    pub fn extend(&mut self, bytes: usize) -> Option<&mut [u8]> {
        if self.waiting() + bytes > JOURNAL_BATCH_BYTES {
            return None;
        }
        let start = self.len;
        self.len += bytes;
        Some(&mut self.bytes[start..self.len])
    }

    /// Writes the waiting bytes to a segment that ends at `end`, and returns its new end.
    ///
    /// # Errors
    /// The disk's. Then the caller must [`reset`](Pages::reset) the pages.
    pub fn write(&mut self, disk: &mut impl Disk, segment: usize, end: u32) -> Result<u32, Errno> {
        if self.waiting() == 0 {
            return Ok(end);
        }
        let (start, len) = (end - self.written as u32, self.len);
        let pages = len.next_multiple_of(PAGE_BYTES);
        self.bytes[len..pages].fill(0);
        disk.write(segment, start, &self.bytes[..pages])?;
        self.written = len % PAGE_BYTES;
        self.bytes.copy_within(len - self.written..len, 0);
        self.len = self.written;
        Ok(start + len as u32)
    }
}
