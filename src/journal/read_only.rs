//! The files of a journal, for reading only. Needs no lock: another process may write to them at the same time.

use super::directory::DIRECTORY_FLAGS;
use super::disk::Source;
use super::error::Error;
#[cfg(feature = "bridge")]
use super::file_io::uninterrupted;
use super::file_io::{file_number, length, read_all};
use super::file_state::{FileState, Losses, check_regular, common_length, header_of, losses};
use super::headers::drop_foreign;
use super::names::NAMES;
use super::per_segment::try_per_segment;
use super::replacement;
use super::segment::Header;
use super::segment_file::SEGMENT_FLAGS;
use crate::limits::JOURNAL_SEGMENTS;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
#[cfg(feature = "bridge")]
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::stat::Mode;
#[cfg(feature = "bridge")]
use nix::unistd::fdatasync;
use rustix::fs::CWD;
use std::os::fd::OwnedFd;
use std::path::Path;

/// The files of a journal, open for reading.
pub struct ReadOnly {
    /// `None` if the file is missing.
    segments: [Option<OwnedFd>; JOURNAL_SEGMENTS],
    segment_bytes: u32,
}

impl ReadOnly {
    /// Opens the journal in that directory.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let directory = match open(directory, DIRECTORY_FLAGS, Mode::empty()) {
            Ok(directory) => directory,
            Err(Errno::ENOENT) => return Err(Error::NoJournal),
            Err(errno) => return Err(Error::System("the directory cannot be opened", errno)),
        };
        let segments = replacement::open_one_journal(&directory, |directory, segment| {
            match openat(directory, NAMES[segment], OFlag::O_RDONLY | SEGMENT_FLAGS, Mode::empty()) {
                Ok(file) => check_regular(&file, segment).map(|()| Some(file)),
                Err(Errno::ENOENT) => Ok(None),
                Err(errno) => Err(Error::System("a segment cannot be opened", errno)),
            }
        })?;
        if segments.iter().all(Option::is_none) {
            return Err(Error::NoJournal);
        }
        let mut files = Self { segments, segment_bytes: 0 };
        files.segment_bytes = files.newest_length()?;
        Ok(files)
    }

    /// The length of a segment according to the newest header, because a file may be truncated. Without any header,
    /// it is the length of the longest file.
    fn newest_length(&self) -> Result<u32, Error> {
        let (mut headers, mut longest) = ([None; JOURNAL_SEGMENTS], 0);
        for (segment, file) in self.segments.iter().enumerate() {
            longest = longest.max(self.length(segment)?.unwrap_or(0));
            headers[segment] = file.as_ref().map_or(Ok(None), header_of)?;
        }
        drop_foreign(&mut headers);
        let newest = headers.into_iter().flatten().max_by_key(Header::generation);
        Ok(newest.map_or(longest.min(u32::MAX.into()) as u32, |header| header.segment_bytes))
    }

    /// The length that each segment should have.
    pub fn segment_bytes(&self) -> u32 {
        self.segment_bytes
    }

    /// Refuses files that were made with different lengths.
    ///
    /// # Errors
    /// [`Error::Foreign`] for a file that does not belong to the journal; the system's.
    pub(super) fn expect_one_length(&self) -> Result<(), Error> {
        let header = |segment: usize| self.segments[segment].as_ref().map_or(Ok(None), header_of);
        common_length(&try_per_segment(header)?).map(drop)
    }

    /// The loss in each segment whose file is missing or has another length.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn losses(&self) -> Result<Losses, Error> {
        let state =
            |segment: usize| self.segments[segment].as_ref().map_or(Ok(FileState::MISSING), FileState::of);
        Ok(losses(&try_per_segment(state)?, self.segment_bytes))
    }

    /// Whether the files in that directory are still the ones that are open here.
    pub fn is_in_place(&self, directory: &Path) -> bool {
        let mut segments = self.segments.iter().zip(NAMES);
        segments.all(|(file, name)| {
            let file = file.as_ref().map(|file| file_number(file, Path::new("")));
            file.unwrap_or(None) == file_number(CWD, &directory.join(name))
        })
    }

    /// Waits until all writes to a segment, also those of other processes, are on the disk. If that fails, the page
    /// cache may differ from the disk. So this evicts the segment from the page cache, and later reads return the
    /// content of the disk.
    ///
    /// # Errors
    /// The system's.
    #[cfg(feature = "bridge")]
    pub fn sync(&self, segment: usize) -> Result<(), Errno> {
        let Some(file) = &self.segments[segment] else { return Ok(()) };
        uninterrupted(|| fdatasync(file)).inspect_err(|_| {
            // Length 0 means up to the end of the file. If the system does not evict the pages, a later read finds that
            // the server has rolled back their records.
            let _ = posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
        })
    }

    /// The actual length of a segment's file, or `None` if it is missing.
    ///
    /// # Errors
    /// The system's.
    pub fn length(&self, segment: usize) -> Result<Option<u64>, Error> {
        self.segments[segment].as_ref().map(length).transpose()
    }
}

impl Source for ReadOnly {
    /// Bytes that a missing or truncated file lacks read as zeroes. If there should be records, the reader reports the
    /// zeroes as damage, and loses no other records.
    fn read(&self, segment: usize, offset: u32, bytes: &mut [u8]) -> Result<(), Errno> {
        bytes.fill(0);
        match self.segments[segment].as_ref().map_or(Ok(()), |file| read_all(file, offset, bytes)) {
            Err(Errno::ENODATA) => Ok(()),
            other => other,
        }
    }
}
