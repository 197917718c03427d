//! Brings the files of a journal to their full length before the writer uses them.

use super::directory::check_free_space;
use super::error::Error;
use super::file_io::{length, uninterrupted, write_all};
use super::file_state::{FileState, Loss, check_regular, expect_length, losses};
use super::names::NAMES;
use super::per_segment::try_per_segment;
use crate::limits::{JOURNAL_SEGMENTS, PAGE_BYTES};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::libc::off_t;
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, fsync, ftruncate, unlinkat};
use std::os::fd::OwnedFd;

/// The flags to open a segment with. Without `O_NONBLOCK`, a pipe with the name of a segment would block the call.
pub(super) const SEGMENT_FLAGS: OFlag = OFlag::O_CLOEXEC.union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY);

/// The bytes that fill a new segment, page by page.
static ZEROES: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

/// Opens the files of all segments, and extends each to its full length. Returns the files, and how many bytes were
/// missing at the end of segments that had a header.
///
/// # Errors
/// Why it cannot. Then it has undone its changes.
pub(super) fn open_all(
    directory: &OwnedFd,
    segment_bytes: u32,
) -> Result<([OwnedFd; JOURNAL_SEGMENTS], u64), Error> {
    let mut files = try_per_segment(|segment| SegmentFile::open(directory, segment))?;
    // Without any header, the journal would begin anew, and what is in the files would be cut off or overwritten.
    if files.iter().all(|file| !file.state.has_header()) {
        files.iter_mut().try_for_each(SegmentFile::read_whole)?;
    }
    let states = files.each_ref().map(|file| file.state);
    expect_length(&states, segment_bytes)?;
    let missing = |state: &FileState| u64::from(segment_bytes).saturating_sub(state.length());
    check_free_space(directory, states.iter().map(missing).sum())?;
    let losses = losses(&states, segment_bytes);
    let mut numbered = files.iter_mut().enumerate();
    let resized = numbered
        .try_for_each(|(segment, file)| file.bring_to(directory, segment, segment_bytes, losses[segment]));
    if resized.is_err() {
        files.iter().enumerate().for_each(|(segment, file)| file.restore(directory, segment));
    }
    resized?;
    let segments = try_per_segment(|segment| files[segment].file.take().ok_or(Error::NoJournal))?;
    uninterrupted(|| fsync(directory))
        .map_err(|errno| Error::System("the directory cannot be synced", errno))?;
    let cut_off = states.iter().filter(|state| state.has_header()).map(missing);
    Ok((segments, cut_off.sum()))
}

/// The file of a segment, and its state before it was changed.
pub(super) struct SegmentFile {
    /// `None` if the file is missing, and not created yet.
    file: Option<OwnedFd>,
    state: FileState,
}

impl SegmentFile {
    /// Opens the file if it exists.
    pub(super) fn open(directory: &OwnedFd, segment: usize) -> Result<Self, Error> {
        let file = match openat(directory, NAMES[segment], OFlag::O_RDWR | SEGMENT_FLAGS, Mode::empty()) {
            Ok(file) => file,
            // The system does not open a directory for writing.
            Err(Errno::EISDIR) => return Err(Error::NotAFile(NAMES[segment])),
            Err(Errno::ENOENT) => return Ok(Self { file: None, state: FileState::MISSING }),
            Err(errno) => return Err(Error::System("a segment cannot be opened", errno)),
        };
        check_regular(&file, segment)?;
        let state = FileState::of(&file)?;
        Ok(Self { file: Some(file), state })
    }

    fn read_whole(&mut self) -> Result<(), Error> {
        self.file.as_ref().map_or(Ok(()), |file| self.state.read_whole(file))
    }

    /// Creates the file if it is missing, brings it to its full length, and syncs it. It writes zeroes, so that the
    /// blocks exist and later syncs write only data. If a part of the segment is lost, this leaves a trace in the file,
    /// because that part may have been the newest.
    pub(super) fn bring_to(
        &mut self,
        directory: &OwnedFd,
        segment: usize,
        segment_bytes: u32,
        loss: Option<Loss>,
    ) -> Result<(), Error> {
        let length = self.state.length();
        if self.file.is_none() {
            let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_CLOEXEC;
            let file = openat(directory, NAMES[segment], flags, Mode::S_IRUSR | Mode::S_IWUSR);
            self.file = Some(file.map_err(|errno| Error::System("a segment cannot be made", errno))?);
        }
        let Some(file) = &self.file else { return Ok(()) };
        let is_long = length > u64::from(segment_bytes);
        // The journal does not remove what somebody appended to a segment.
        if length == u64::from(segment_bytes) || (is_long && self.state.has_header()) {
            return Ok(());
        }
        let cannot = |errno| Error::System("a segment cannot be brought to its length", errno);
        if is_long {
            ftruncate(file, segment_bytes as off_t).map_err(cannot)?;
        } else {
            extend(file, length as u32, segment_bytes, loss).map_err(cannot)?;
        }
        uninterrupted(|| fsync(file)).map_err(|errno| Error::System("a segment cannot be synced", errno))
    }

    /// Undoes [`bring_to`](Self::bring_to) as far as it can.
    pub(super) fn restore(&self, directory: &OwnedFd, segment: usize) {
        let former = self.state.length();
        // If that fails, the next start completes the change, or undoes it.
        let _ = match &self.file {
            Some(_) if !self.state.exists() => {
                unlinkat(directory, NAMES[segment], UnlinkatFlags::NoRemoveDir)
            }
            Some(file) if length(file).is_ok_and(|length| length > former) => {
                ftruncate(file, former as off_t)
            }
            _ => Ok(()),
        };
    }
}

/// Extends a file to its length, and writes the trace of the loss. The trace of a mark is written last.
fn extend(file: &OwnedFd, length: u32, segment_bytes: u32, loss: Option<Loss>) -> Result<(), Errno> {
    let Some(loss) = loss else { return fill(file, length, segment_bytes) };
    let (offset, trace) = loss.trace(segment_bytes);
    match loss {
        Loss::All => {
            write_all(file, offset, trace)?;
            fill(file, length.max(trace.len() as u32), segment_bytes)
        }
        Loss::Mark => {
            fill(file, length, offset)?;
            write_all(file, offset, trace)
        }
    }
}

/// Writes zeroes from one offset to another.
fn fill(file: &OwnedFd, mut start: u32, end: u32) -> Result<(), Errno> {
    while start < end {
        let count = (end - start).min(ZEROES.len() as u32);
        write_all(file, start, &ZEROES[..count as usize])?;
        start += count;
    }
    Ok(())
}
