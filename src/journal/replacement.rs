//! Replaces a journal by the one that a [resize](super::resize) has written beside it, and opens one of the two meanwhile.
//!
//! A resize writes the new journal to a directory within the old one, and renames that directory when the new journal is whole. Then the
//! files move into the places of the old ones, one by one. [`finish`] does what is left of that after a crash.

use super::error::Error;
use super::names::NAMES;
use crate::limits::{JOURNAL_LISTING_BYTES, JOURNAL_SEGMENTS, JOURNAL_SNAPSHOT_READS_MAX};
use core::mem::MaybeUninit;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::{UnlinkatFlags, fsync, unlinkat};
use rustix::fs::{AtFlags, FileType, RawDir, StatxFlags, statx};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Where the new journal is while it is not whole.
pub(super) const UNFINISHED: &str = "resize.unfinished";
/// Where it is when it counts.
pub(super) const WHOLE: &str = "resize.whole";
/// The flags to open a directory with. They do not follow links, because a resize makes none.
pub(super) const DIRECTORY_FLAGS: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Does what a try left undone that was cut off: puts a new journal that is whole in its place, and removes one that is not.
///
/// # Errors
/// Those of the system; something else has the name of one of the two. Then that is left as it is.
pub fn finish(directory: impl AsFd) -> Result<(), Error> {
    let cannot = |errno| Error::System("what a resize left cannot be put in order", errno);
    for (name, is_whole) in [(WHOLE, true), (UNFINISHED, false)] {
        let left = match openat(&directory, name, DIRECTORY_FLAGS, Mode::empty()) {
            Ok(left) => left,
            Err(Errno::ENOENT) => continue,
            Err(Errno::ENOTDIR | Errno::ELOOP) => return Err(Error::Foreign(name)),
            Err(errno) => return Err(cannot(errno)),
        };
        if !holds_segments_alone(&left).map_err(cannot)? {
            return Err(Error::Foreign(name));
        }
        for file in NAMES {
            let done = match is_whole {
                true => renameat(&left, file, &directory, file),
                false => unlinkat(&left, file, UnlinkatFlags::NoRemoveDir),
            };
            done.or_else(|errno| if errno == Errno::ENOENT { Ok(()) } else { Err(errno) }).map_err(cannot)?;
        }
        fsync(&directory).map_err(cannot)?;
        unlinkat(&directory, name, UnlinkatFlags::RemoveDir).map_err(cannot)?;
    }
    Ok(())
}

/// Whether nothing is in a directory but files that are called as segments are.
fn holds_segments_alone(directory: &OwnedFd) -> Result<bool, Errno> {
    let mut buffer = [MaybeUninit::uninit(); JOURNAL_LISTING_BYTES];
    let mut entries = RawDir::new(directory, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(|errno| Errno::from_raw(errno.raw_os_error()))?;
        let name = entry.file_name().to_bytes();
        // Some file systems do not say what it is.
        let may_be_file = matches!(entry.file_type(), FileType::RegularFile | FileType::Unknown);
        let is_segment = may_be_file && NAMES.iter().any(|segment| segment.as_bytes() == name);
        if !is_segment && name != b"." && name != b".." {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Opens the segments of one journal in that directory while a resize may replace them: those of the old one until the new one is
/// whole, and from then on those of the new one, wherever each is. `open` opens a segment in a directory; none: it is not there.
///
/// # Errors
/// Those of `open`. The files were replaced each of [`JOURNAL_SNAPSHOT_READS_MAX`] times that they were opened.
pub(super) fn open_one_journal(
    directory: &OwnedFd,
    open: impl Fn(&OwnedFd, usize) -> Result<Option<OwnedFd>, Error>,
) -> Result<[Option<OwnedFd>; JOURNAL_SEGMENTS], Error> {
    for _ in 0..JOURNAL_SNAPSHOT_READS_MAX {
        let whole = open_whole(directory)?;
        let segments = try_array(|segment| {
            let moved = whole.as_ref().map_or(Ok(None), |whole| open(whole, segment))?;
            moved.map_or_else(|| open(directory, segment), |file| Ok(Some(file)))
        })?;
        // A file that was replaced since is in no directory.
        if number(&whole) == number(&open_whole(directory)?) && segments.iter().flatten().all(is_linked) {
            return Ok(segments);
        }
    }
    Err(Error::System("its files are replaced all the time; try again", Errno::EAGAIN))
}

/// Opens the directory of a new journal that counts; none: there is none.
fn open_whole(directory: &OwnedFd) -> Result<Option<OwnedFd>, Error> {
    let cannot = |errno| Error::System("what a resize left cannot be opened", errno);
    for _ in 0..JOURNAL_SNAPSHOT_READS_MAX {
        let whole = match openat(directory, WHOLE, DIRECTORY_FLAGS, Mode::empty()) {
            Ok(whole) => whole,
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(None),
            Err(errno) => return Err(cannot(errno)),
        };
        match holds_segments_alone(&whole) {
            // A resize is just moving its files out of there.
            Err(Errno::ENOENT) => {}
            // No resize made a directory with anything else: see `finish`.
            is_ours => return Ok(is_ours.map_err(cannot)?.then_some(whole)),
        }
    }
    Err(cannot(Errno::EAGAIN))
}

/// What tells a directory from others for as long as it is open.
fn number(directory: &Option<OwnedFd>) -> Option<(u32, u32, u64)> {
    file_number(directory.as_ref()?, Path::new(""))
}

/// Which file is there, by its disk and its number; an empty path is the descriptor itself. It asks for no time stamps: see
/// [`is_linked`].
pub(super) fn file_number(from: impl AsFd, path: &Path) -> Option<(u32, u32, u64)> {
    let status = statx(from, path, AtFlags::EMPTY_PATH, StatxFlags::INO).ok()?;
    Some((status.stx_dev_major, status.stx_dev_minor, status.stx_ino))
}

/// Whether a file is in a directory still. Its link count alone is asked for: who asks for time stamps has the next write set them anew,
/// exactly (Linux 6.13, "multigrain timestamps"), and its sync write them, too; that makes it longer by half.
pub(super) fn is_linked(file: &OwnedFd) -> bool {
    match statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::NLINK) {
        Ok(status) => status.stx_nlink > 0,
        // A kernel, or a filter of system calls, that does not know it.
        Err(_) => fstat(file).is_ok_and(|status| status.st_nlink > 0),
    }
}

/// An array of what `make` makes for each index.
pub(super) fn try_array<T>(
    mut make: impl FnMut(usize) -> Result<T, Error>,
) -> Result<[T; JOURNAL_SEGMENTS], Error> {
    let mut made = heapless::Vec::<T, JOURNAL_SEGMENTS>::new();
    for segment in 0..JOURNAL_SEGMENTS {
        // As many as it has room for.
        let _ = made.push(make(segment)?);
    }
    made.into_array().map_err(|_| Error::NoJournal)
}
