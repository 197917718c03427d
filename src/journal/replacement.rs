//! Replaces the old journal by a resized one. Meanwhile readers can open either of the two.
//!
//! A [resize](super::resize) writes the new journal to a directory within the old one. When the new journal is
//! complete, the resize renames that directory: from then on the new journal is the valid one. Then its files move to
//! the places of the old ones, one by one. After a crash, [`finish`] completes that.

use super::directory::DIRECTORY_FLAGS;
use super::error::Error;
use super::file_io::{file_number, is_linked};
use super::names::NAMES;
use super::per_segment::try_per_segment;
use crate::limits::{JOURNAL_LISTING_BYTES, JOURNAL_SEGMENTS, JOURNAL_SNAPSHOT_READS_MAX};
use core::mem::MaybeUninit;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, fsync, unlinkat};
use rustix::fs::{FileType, RawDir};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// The directory of the new journal while it is incomplete.
pub(super) const UNFINISHED: &str = "resize.unfinished";
/// The directory of the new journal when it is the valid one.
pub(super) const WHOLE: &str = "resize.whole";
/// The flags to open one of the two with. They do not follow links, because a resize creates none.
pub(super) const RESIZE_FLAGS: OFlag = DIRECTORY_FLAGS.union(OFlag::O_NOFOLLOW);

/// Completes an interrupted resize: moves a complete new journal to its place, and removes an incomplete one.
///
/// # Errors
/// The system's; [`Error::Foreign`] if something else has the name of one of the two directories. `finish` does not
/// change that.
pub fn finish(directory: impl AsFd) -> Result<(), Error> {
    let cannot = |errno| Error::System("what a resize left cannot be completed or removed", errno);
    for (name, is_whole) in [(WHOLE, true), (UNFINISHED, false)] {
        let left = match openat(&directory, name, RESIZE_FLAGS, Mode::empty()) {
            Ok(left) => left,
            Err(Errno::ENOENT) => continue,
            Err(Errno::ENOTDIR | Errno::ELOOP) => return Err(Error::Foreign(name)),
            Err(errno) => return Err(cannot(errno)),
        };
        if !contains_only_segments(&left).map_err(cannot)? {
            return Err(Error::Foreign(name));
        }
        for file in NAMES {
            let result = if is_whole {
                renameat(&left, file, &directory, file)
            } else {
                unlinkat(&left, file, UnlinkatFlags::NoRemoveDir)
            };
            match result {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(errno) => return Err(cannot(errno)),
            }
        }
        fsync(&directory).map_err(cannot)?;
        unlinkat(&directory, name, UnlinkatFlags::RemoveDir).map_err(cannot)?;
    }
    Ok(())
}

/// Whether a directory contains nothing but files with the names of segments.
fn contains_only_segments(directory: &OwnedFd) -> Result<bool, Errno> {
    let mut buffer = [MaybeUninit::uninit(); JOURNAL_LISTING_BYTES];
    let mut entries = RawDir::new(directory, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(|errno| Errno::from_raw(errno.raw_os_error()))?;
        let name = entry.file_name().to_bytes();
        // Some file systems do not report the type.
        let may_be_file = matches!(entry.file_type(), FileType::RegularFile | FileType::Unknown);
        let is_segment = may_be_file && NAMES.iter().any(|segment| segment.as_bytes() == name);
        if !is_segment && name != b"." && name != b".." {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Opens the segments of one journal in that directory while a resize may replace them: those of the old journal
/// until the new one is valid, and then those of the new one, whether they have moved or not. `open` opens a segment
/// in a directory, and returns `None` if it does not exist.
///
/// # Errors
/// Those of `open`; `EAGAIN` if a resize replaced the files during each of [`JOURNAL_SNAPSHOT_READS_MAX`] attempts.
pub(super) fn open_one_journal(
    directory: &OwnedFd,
    open: impl Fn(&OwnedFd, usize) -> Result<Option<OwnedFd>, Error>,
) -> Result<[Option<OwnedFd>; JOURNAL_SEGMENTS], Error> {
    for _ in 0..JOURNAL_SNAPSHOT_READS_MAX {
        let whole = open_whole(directory)?;
        let segments = try_per_segment(|segment| {
            let unmoved = whole.as_ref().map_or(Ok(None), |whole| open(whole, segment))?;
            unmoved.map_or_else(|| open(directory, segment), |file| Ok(Some(file)))
        })?;
        // A file that was replaced meanwhile is in no directory.
        let is_unchanged = directory_number(&whole) == directory_number(&open_whole(directory)?);
        if is_unchanged && segments.iter().flatten().all(is_linked) {
            return Ok(segments);
        }
    }
    Err(Error::System("a resize keeps replacing its files; try again", Errno::EAGAIN))
}

/// Opens the directory of a valid new journal. Returns `None` if there is none.
fn open_whole(directory: &OwnedFd) -> Result<Option<OwnedFd>, Error> {
    let cannot = |errno| Error::System("what a resize left cannot be opened", errno);
    for _ in 0..JOURNAL_SNAPSHOT_READS_MAX {
        let whole = match openat(directory, WHOLE, RESIZE_FLAGS, Mode::empty()) {
            Ok(whole) => whole,
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(None),
            Err(errno) => return Err(cannot(errno)),
        };
        match contains_only_segments(&whole) {
            // A resize is moving the files at this moment.
            Err(Errno::ENOENT) => {}
            // A resize creates no directory with anything else: see `finish`.
            is_resized => return Ok(is_resized.map_err(cannot)?.then_some(whole)),
        }
    }
    Err(cannot(Errno::EAGAIN))
}

/// Identifies a directory while it is open.
fn directory_number(directory: &Option<OwnedFd>) -> Option<(u32, u32, u64)> {
    file_number(directory.as_ref()?, Path::new(""))
}
