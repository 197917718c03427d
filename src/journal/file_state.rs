//! The state of a journal's files before it is opened: their lengths, their headers, and their missing parts.

use super::error::Error;
use super::file_io::{length, read_up_to, status};
use super::headers::FIRST_PAGES;
use super::mark;
use super::names::NAMES;
use super::segment::Header;
use crate::limits::{JOURNAL_SEGMENTS, PAGE_BYTES, SEGMENT_HEADER_BYTES};
use nix::sys::stat::SFlag;
use std::os::fd::OwnedFd;

/// The state of a segment's file before anything is written to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileState {
    /// The length, or `None` if the file is missing.
    length: Option<u64>,
    /// The later copy of its header, or `None` if no copy is whole.
    header: Option<Header>,
    /// Whether anything was ever written to it: to its first pages, or, after [`read_whole`](Self::read_whole), to any.
    is_used: bool,
}

impl FileState {
    /// The state of a file that does not exist.
    pub(super) const MISSING: Self = Self { length: None, header: None, is_used: false };

    /// The state of an open file.
    ///
    /// # Errors
    /// The system's; the header is of a later version.
    pub(super) fn of(file: &OwnedFd) -> Result<Self, Error> {
        Ok(Self {
            length: Some(length(file)?),
            header: header_of(file)?,
            is_used: is_used(file, FIRST_PAGES)?,
        })
    }

    /// Looks at the whole file for something that was written to it.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn read_whole(&mut self, file: &OwnedFd) -> Result<(), Error> {
        // A segment is not longer than that.
        self.is_used |= is_used(file, self.length().min(i32::MAX as u64) as u32)?;
        Ok(())
    }

    /// The length of the file; 0 if it is missing.
    pub(super) fn length(&self) -> u64 {
        self.length.unwrap_or(0)
    }

    /// Whether the file exists.
    pub(super) fn exists(&self) -> bool {
        self.length.is_some()
    }

    /// Whether the file has a whole header.
    pub(super) fn has_header(&self) -> bool {
        self.header.is_some()
    }
}

/// Checks that a file is a regular one.
///
/// # Errors
/// [`Error::NotAFile`]; the system's.
pub(super) fn check_regular(file: &OwnedFd, segment: usize) -> Result<(), Error> {
    let is_regular = SFlag::from_bits_truncate(status(file)?.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
    if is_regular { Ok(()) } else { Err(Error::NotAFile(NAMES[segment])) }
}

/// The later copy of a segment's header, or `None` if no copy is whole. The file may be truncated.
///
/// # Errors
/// The system's; the header is of a later version.
pub(super) fn header_of(file: &OwnedFd) -> Result<Option<Header>, Error> {
    let mut page = [0; SEGMENT_HEADER_BYTES];
    read_up_to(file, 0, &mut page)?;
    let headers = Header::from_page(&page).map_err(Error::Newer)?;
    Ok(headers.into_iter().flatten().max_by_key(Header::generation))
}

/// Whether anything was ever written to a file before that offset. The file may be truncated.
fn is_used(file: &OwnedFd, end: u32) -> Result<bool, Error> {
    let mut bytes = [0; PAGE_BYTES];
    for offset in (0..end).step_by(PAGE_BYTES) {
        let count = read_up_to(file, offset, &mut bytes)?;
        if bytes[..count].iter().any(|byte| *byte != 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Refuses files that were made with another length. A file without content may have any length.
///
/// # Errors
/// [`Error::OtherSize`], or [`Error::Foreign`] if only some files have another length.
pub(super) fn expect_length(states: &[FileState; JOURNAL_SEGMENTS], segment_bytes: u32) -> Result<(), Error> {
    let whole = |length: u64| length * JOURNAL_SEGMENTS as u64;
    let other = |length: u64| Error::OtherSize { is: whole(length), asked: whole(segment_bytes.into()) };
    let made_with = common_length(&states.map(|state| state.header))?;
    if let Some(length) = made_with.filter(|length| *length != segment_bytes) {
        return Err(other(length.into()));
    }
    let is_too_long = |state: &FileState| state.header.is_none() && state.length() > segment_bytes.into();
    match states.iter().position(is_too_long) {
        Some(segment) if made_with.is_some() => Err(Error::Foreign(NAMES[segment])),
        Some(segment) if states.iter().any(|state| state.is_used) => Err(other(states[segment].length())),
        _ => Ok(()),
    }
}

/// The length that the segments were made with, according to their headers, or `None` if there are no headers.
///
/// # Errors
/// [`Error::Foreign`] if the headers disagree. The length of most files counts as the journal's. If two lengths have
/// equally many files, the length of the newest file does.
pub(super) fn common_length(headers: &[Option<Header>; JOURNAL_SEGMENTS]) -> Result<Option<u32>, Error> {
    let known = || headers.iter().flatten();
    let weight = |length: &u32| {
        let same = || known().filter(|header| header.segment_bytes == *length);
        (same().count(), same().map(Header::generation).max())
    };
    let ours = known().map(|header| header.segment_bytes).max_by_key(weight);
    let is_other = |header: &Header| Some(header.segment_bytes) != ours;
    match headers.iter().position(|header| header.as_ref().is_some_and(is_other)) {
        Some(segment) => Err(Error::Foreign(NAMES[segment])),
        None => Ok(ours),
    }
}

/// The trace at the beginning of a file that was missing or empty. No segment begins with these bytes.
pub(super) const MISSING: &[u8] = b"missing";

/// The part of a segment that is lost because its file is missing or has another length. A start writes a trace of the
/// loss to the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// All of it. It may have been the newest segment.
    All,
    /// Its last mark, which may have been the newest one.
    Mark,
}

/// The loss in each segment, if any.
pub(super) type Losses = [Option<Loss>; JOURNAL_SEGMENTS];

/// The loss in each segment, according to its file. A journal that was never begun has no losses.
pub(super) fn losses(states: &[FileState; JOURNAL_SEGMENTS], segment_bytes: u32) -> Losses {
    if is_begun(states, segment_bytes) {
        states.map(|state| Loss::of(&state, segment_bytes))
    } else {
        [None; JOURNAL_SEGMENTS]
    }
}

/// Whether the journal was begun: something was written to it, or a file is missing although later ones exist. (A start
/// creates the files in order.)
fn is_begun(states: &[FileState; JOURNAL_SEGMENTS], segment_bytes: u32) -> bool {
    let is_whole = |state: &FileState| state.length() >= segment_bytes.into();
    let first_short = states.iter().position(|state| !is_whole(state)).unwrap_or(JOURNAL_SEGMENTS);
    states.iter().any(|state| state.is_used) || states[first_short..].iter().any(is_whole)
}

impl Loss {
    fn of(state: &FileState, segment_bytes: u32) -> Option<Self> {
        if state.header.is_some() {
            let marks_end = last_mark_offset(segment_bytes) + mark::MARK_BYTES as u32;
            return (state.length() < marks_end.into()).then_some(Self::Mark);
        }
        (state.length() != u64::from(segment_bytes) && !state.is_used).then_some(Self::All)
    }

    /// The offset of its trace in the segment, and the trace.
    pub(super) fn trace(self, segment_bytes: u32) -> (u32, &'static [u8]) {
        match self {
            Self::All => (0, MISSING),
            Self::Mark => (last_mark_offset(segment_bytes), &mark::CUT_PAGE),
        }
    }
}

/// The offset of the last mark of a segment.
fn last_mark_offset(segment_bytes: u32) -> u32 {
    segment_bytes - PAGE_BYTES as u32
}
