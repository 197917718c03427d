//! The interface between the journal and the operating system: [`Source`] reads, [`Disk`] writes. Tests implement both
//! with a disk that loses power.

use nix::errno::Errno;

/// Reads the segments of a journal. All segments have the same length.
pub trait Source {
    /// Fills `bytes` from a segment, beginning at `offset`.
    ///
    /// # Errors
    /// The system's; `ENODATA` if the file ends too early.
    fn read(&self, segment: usize, offset: u32, bytes: &mut [u8]) -> Result<(), Errno>;
}

/// Writes the segments of a journal.
pub trait Disk: Source {
    /// Writes all of `bytes` to a segment at `offset`. Until [`sync`](Self::sync) succeeds, a power cut may lose any
    /// part of it.
    ///
    /// # Errors
    /// The system's. Then a part of `bytes` may have been written.
    fn write(&mut self, segment: usize, offset: u32, bytes: &[u8]) -> Result<(), Errno>;

    /// Waits until everything written to a segment is on the disk, if the disk reports that correctly (`fdatasync`).
    ///
    /// # Errors
    /// The system's. Then it is unknown which of the writes since the last sync are on the disk. `ENOENT` if somebody
    /// removed the file from its directory.
    fn sync(&mut self, segment: usize) -> Result<(), Errno>;

    /// Syncs what other processes wrote to a segment, and evicts the segment from the page cache, so that later reads
    /// come from the disk. After a failed sync the system keeps the pages that it could not write. It shows them to
    /// the next process too, and later syncs of them succeed.
    ///
    /// # Errors
    /// The system's.
    fn sync_and_evict(&mut self, segment: usize) -> Result<(), Errno>;

    /// Prepares to continue after errors: reopens the files that are no longer in their place.
    ///
    /// # Errors
    /// The system's.
    fn reopen(&mut self) -> Result<(), Errno>;
}
