//! The journal's own boundary to the system: all that it asks of a disk goes through [`Source`] and [`Disk`]. So tests put
//! another one below it, which loses power.

use nix::errno::Errno;

/// The segments of a journal, which all have one length, for one who reads.
pub trait Source {
    /// Fills `bytes` with what stands in a segment at `offset`.
    ///
    /// # Errors
    /// Those of the system; `ENODATA` if the file ends before.
    fn read(&self, segment: usize, offset: u32, bytes: &mut [u8]) -> Result<(), Errno>;
}

/// The same for the one who writes.
pub trait Disk: Source {
    /// Writes all of `bytes` to a segment at `offset`. It may be lost until it is synced, in any part.
    ///
    /// # Errors
    /// Those of the system; a part of it may have been written then.
    fn write(&mut self, segment: usize, offset: u32, bytes: &[u8]) -> Result<(), Errno>;

    /// Waits until all that was written to a segment is on the disk, as far as that tells the truth (`fdatasync`).
    ///
    /// # Errors
    /// Those of the system: then nobody knows what is on the disk of what was written since the last sync. `ENOENT` if the file
    /// is in no directory any more.
    fn sync(&mut self, segment: usize) -> Result<(), Errno>;

    /// Syncs what others have written to a segment, and has what is read from then on come from the disk. For after a sync
    /// that failed the system still shows what it could not write, also to the next process, and syncs of it succeed.
    ///
    /// # Errors
    /// Those of the system.
    fn settle(&mut self, segment: usize) -> Result<(), Errno>;

    /// Prepares to go on after errors: opens anew what is no longer where it should be.
    ///
    /// # Errors
    /// Those of the system.
    fn reopen(&mut self) -> Result<(), Errno>;
}
