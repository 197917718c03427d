//! The files of a journal, for its writer: `0.journal` to `7.journal` in one directory, each with its full length
//! from the start.
//!
//! All of them stay open while the server runs, so that clients cannot use up the descriptors that the journal needs.
//! The writer locks the directory; readers need no lock: see [`read_only`](super::read_only).

use super::directory::{create_if_missing, is_in_place, lock, lock_or_name_holder};
use super::disk::{Disk, Source};
use super::error::Error;
use super::file_io::{is_linked, read_all, uninterrupted, write_all};
use super::replacement;
use super::segment_file::open_all;
use crate::limits::{JOURNAL_SEGMENTS, PAGE_BYTES};
use nix::errno::Errno;
use nix::fcntl::{Flock, PosixFadviseAdvice, posix_fadvise};
use nix::unistd::fdatasync;
use rustix::fs::rmdir;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The length of a segment in a journal of that size: whole pages.
pub fn segment_bytes(journal_bytes: u64) -> u32 {
    let pages = journal_bytes / (JOURNAL_SEGMENTS * PAGE_BYTES) as u64;
    (pages * PAGE_BYTES as u64) as u32
}

/// The files of a journal, open for writing.
pub struct Files {
    directory: PathBuf,
    segment_bytes: u32,
    lock: Flock<OwnedFd>,
    segments: [OwnedFd; JOURNAL_SEGMENTS],
    cut_bytes: u64,
}

impl Files {
    /// Opens the journal in that directory, and creates missing files in their full length. That may take as long as
    /// the disk takes to write all of the journal once.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn open(directory: &Path, segment_bytes: u32) -> Result<Self, Error> {
        let is_new = create_if_missing(directory)?;
        let opened = Self::open_existing(directory, segment_bytes);
        if is_new && opened.is_err() {
            // If another process has put something into it meanwhile, the directory stays.
            let _ = rmdir(directory);
        }
        opened
    }

    /// As [`open`](Self::open), for a directory that exists.
    fn open_existing(directory: &Path, segment_bytes: u32) -> Result<Self, Error> {
        let lock = lock_or_name_holder(directory)?;
        replacement::finish(&*lock)?;
        let (segments, cut_bytes) = open_all(&lock, segment_bytes)?;
        Ok(Self { directory: directory.to_path_buf(), segment_bytes, lock, segments, cut_bytes })
    }

    /// How many bytes were missing at the end of segments when they were opened. A repair of the file system may have
    /// cut them off. If it cut just after a record, nothing else shows that.
    pub fn cut_bytes(&self) -> u64 {
        self.cut_bytes
    }

    /// The length of a segment.
    pub fn segment_bytes(&self) -> u32 {
        self.segment_bytes
    }
}

impl Source for Files {
    fn read(&self, segment: usize, offset: u32, bytes: &mut [u8]) -> Result<(), Errno> {
        read_all(&self.segments[segment], offset, bytes)
    }
}

impl Disk for Files {
    fn write(&mut self, segment: usize, offset: u32, bytes: &[u8]) -> Result<(), Errno> {
        write_all(&self.segments[segment], offset, bytes)
    }

    fn sync(&mut self, segment: usize) -> Result<(), Errno> {
        uninterrupted(|| fdatasync(&self.segments[segment]))?;
        // Writes to a removed file succeed, but are lost.
        if is_linked(&self.segments[segment]) { Ok(()) } else { Err(Errno::ENOENT) }
    }

    fn sync_and_evict(&mut self, segment: usize) -> Result<(), Errno> {
        self.sync(segment)?;
        // After the sync no page is dirty, so the system can evict all of them. Length 0 means up to the end of the
        // file. Some containers do not permit or know the call. Then reads may come from memory; that risk is no
        // reason to run without a journal.
        let _ = posix_fadvise(&self.segments[segment], 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), Errno> {
        let is_directory_in_place = || is_in_place(&self.directory, &self.lock);
        if is_directory_in_place() && self.segments.iter().all(is_linked) {
            return Ok(());
        }
        let errno_of = |error| match error {
            Error::System(_, errno) => errno,
            _ => Errno::EBUSY,
        };
        if is_directory_in_place() {
            // This process holds the directory's lock already, and could not take it a second time.
            (self.segments, self.cut_bytes) = open_all(&self.lock, self.segment_bytes).map_err(errno_of)?;
            return Ok(());
        }
        create_if_missing(&self.directory).map_err(errno_of)?;
        let lock = lock(&self.directory).map_err(errno_of)?;
        (self.segments, self.cut_bytes) = open_all(&lock, self.segment_bytes).map_err(errno_of)?;
        self.lock = lock;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
