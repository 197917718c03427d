//! Copies the history to segments of another length.
//!
//! A resize writes a new journal to a directory within the old one, and syncs it. Then it renames that directory: from
//! then on the new journal is the valid one. The new files move to the places of the old ones, one by one; the next
//! start or resize completes that if it is interrupted. So at any moment one of the two journals is complete, and
//! readers open that one. Until then the old journal does not change: the recovery that a start would write to it
//! happens in memory.
//!
//! The new journal needs its full size beside the old one, and a resize reads and writes the history once. A smaller
//! journal keeps the newest messages.

use super::catalog::Catalog;
use super::cursor::{Cursor, Step};
use super::directory::{check_free_space, lock_or_name_holder};
use super::error::Error;
use super::file_state::Loss;
use super::files::Files;
use super::headers::{FIRST_PAGES, Headers, copied_from, is_used, read_header, read_headers};
use super::names::NAMES;
use super::overlay::Overlay;
use super::read_only::ReadOnly;
use super::replacement::{RESIZE_FLAGS, UNFINISHED, WHOLE, finish};
use super::segment::{Header, Identity};
use super::writer::{Buffers, Writer};
use crate::limits::{JOURNAL_READ_BYTES, JOURNAL_SEGMENTS};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, fchmod, fstat, fstatat, mkdirat};
use nix::unistd::{Gid, Uid, fchown, fsync};
use std::os::fd::OwnedFd;
use std::path::Path;

/// The result of a resize.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resized {
    /// The journal's identity, which does not change.
    pub identity: Identity,
    /// The messages that the resize read. The oldest of them may not fit in the new journal.
    pub messages: u64,
    /// The ID of the next message, which does not change either.
    pub next_id: u64,
    /// The parts of the old journal that the new one does not contain.
    pub left_out: LeftOut,
}

/// The parts that a resize could not copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Bytes that were records, and are damaged.
    pub damaged_bytes: u64,
    /// Bytes at the end of the newest segment that a power cut tore.
    pub torn_bytes: u64,
    /// Bytes that are missing at the end of files.
    pub cut_bytes: u64,
    /// Used files that cannot be read: their headers are damaged or belong to another journal, or they are copies of
    /// other files.
    pub unreadable: Vec<&'static str>,
    /// Files that are missing, or have another length and no content.
    pub missing: Vec<&'static str>,
}

/// Copies the journal in that directory to segments of that length, and replaces it. No process may write to it
/// meanwhile.
///
/// # Errors
/// Why it cannot. Then no byte of the journal has changed.
pub fn resize(directory: &Path, segment_bytes: u32) -> Result<Resized, Error> {
    let lock = lock_or_name_holder(directory).map_err(|error| match error {
        Error::System(_, Errno::ENOENT) => Error::NoJournal,
        other => other,
    })?;
    finish(&*lock)?;
    let files = ReadOnly::open(directory)?;
    check_free_space(&lock, u64::from(segment_bytes) * JOURNAL_SEGMENTS as u64)?;
    let old = OldJournal::read(&files)?;
    old.copy_and_replace(directory, segment_bytes, &lock).inspect_err(|_| {
        // Removes the incomplete new journal. If that fails, the next start does it.
        let _ = finish(&*lock);
    })
}

/// A journal as a start would recover it.
struct OldJournal<'a> {
    files: &'a ReadOnly,
    catalog: Catalog,
    identity: Identity,
    next_id: u64,
    left_out: LeftOut,
}

fn cannot_read(errno: Errno) -> Error {
    Error::System("it cannot be read", errno)
}

fn cannot_write(errno: Errno) -> Error {
    Error::System("the new one cannot be written", errno)
}

impl<'a> OldJournal<'a> {
    fn read(files: &'a ReadOnly) -> Result<Self, Error> {
        // If only files of one length were copied, the messages in the others would be lost.
        files.expect_one_length()?;
        let segment_bytes = files.segment_bytes();
        let headers = read_headers(files, segment_bytes).map_err(cannot_read)?;
        if headers.iter().all(Option::is_none) {
            return Err(Error::NoHeader);
        }
        let mut buffers = Box::new(Buffers::new());
        let overlay = Overlay::new(files)?;
        let opened = Writer::open(overlay, segment_bytes, &mut buffers);
        let (recovered, recovery) = opened.map_err(cannot_read)?;
        let mut left_out = LeftOut::of_files(files, &headers, recovered.identity())?;
        left_out.torn_bytes = recovery.torn_bytes.into();
        // If the recovery began another segment, that segment's header says where the previous one ends.
        let newest = headers.iter().flatten().map(|header| header.sequence).max().unwrap_or(0);
        let (after, end) = recovered.extent();
        let next = after.iter().flatten().find(|header| header.sequence > newest);
        let catalog = Catalog::new(&headers, Some(next.map_or(end, |next| next.previous_end)));
        Ok(Self { files, catalog, identity: recovered.identity(), next_id: recovered.next_id(), left_out })
    }

    fn copy_and_replace(
        mut self,
        directory: &Path,
        segment_bytes: u32,
        lock: &OwnedFd,
    ) -> Result<Resized, Error> {
        create_unfinished(lock)?;
        let mut buffers = Box::new(Buffers::new());
        let new_files = Files::open(&directory.join(UNFINISHED), segment_bytes)?;
        let new = Writer::open_copy(new_files, segment_bytes, &mut buffers, self.identity);
        let mut new = new.map_err(cannot_write)?;
        // Until `close`, the segments of the new journal say that it was not shut down in order.
        new.expect_unsynced().map_err(cannot_write)?;
        let messages = self.copy_to(&mut new)?;
        new.skip_to(self.next_id);
        new.close().map_err(cannot_write)?;
        drop(new);
        copy_owner(lock)?;
        let replaced = renameat(lock, UNFINISHED, lock, WHOLE).and_then(|()| fsync(lock));
        replaced.map_err(|errno| Error::System("the new one cannot be put in its place", errno))?;
        finish(lock)?;
        Ok(Resized { identity: self.identity, messages, next_id: self.next_id, left_out: self.left_out })
    }

    /// Copies all messages, and returns how many there are.
    fn copy_to(&mut self, new: &mut Writer<'_, Files>) -> Result<u64, Error> {
        let (mut cursor, mut window) = (Cursor::oldest(), Box::new([0; JOURNAL_READ_BYTES]));
        let mut messages = 0;
        loop {
            let mut reading = cursor.read(&self.catalog, &mut window, u32::MAX);
            loop {
                match reading.next(self.files).map_err(cannot_read)? {
                    Step::Record(record) => {
                        new.begin_group(true);
                        new.append(&record);
                        new.commit(false).map_err(cannot_write)?;
                        messages += 1;
                    }
                    Step::Damage(damage) => self.left_out.damaged_bytes += u64::from(damage.bytes),
                    Step::Lost(_) | Step::RolledBack(_) => {}
                    // The history is longer than one budget.
                    Step::Pause => break,
                    Step::End => return Ok(messages),
                    Step::Overwritten | Step::Incomplete => {
                        return Err(Error::System("another process writes to it", Errno::EBUSY));
                    }
                }
            }
        }
    }
}

impl LeftOut {
    /// Whether the new journal contains everything that was in the old one.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// The losses that the files show without reading the records.
    fn of_files(files: &ReadOnly, headers: &Headers, identity: Identity) -> Result<Self, Error> {
        let mut left_out = Self::default();
        let losses = files.losses()?;
        for (segment, header) in headers.iter().enumerate() {
            match files.length(segment)? {
                _ if losses[segment] == Some(Loss::All) => left_out.missing.push(NAMES[segment]),
                Some(length) if header.is_some() => {
                    left_out.cut_bytes += u64::from(files.segment_bytes()).saturating_sub(length);
                }
                Some(_) if is_unreadable(files, segment, headers, identity).map_err(cannot_read)? => {
                    left_out.unreadable.push(NAMES[segment]);
                }
                _ => {}
            }
        }
        Ok(left_out)
    }
}

/// Whether an invalid segment is a copy of another file, or was used by something other than this journal.
fn is_unreadable(
    files: &ReadOnly,
    segment: usize,
    headers: &Headers,
    identity: Identity,
) -> Result<bool, Errno> {
    let header = read_header(files, segment, files.segment_bytes())?;
    let is_ours = |header: Header| header.identity().is_none_or(|its| its == identity);
    let is_copy = copied_from(files, segment, files.segment_bytes(), headers)?.is_some();
    Ok(is_copy || (!header.is_some_and(is_ours) && is_used(files, segment, FIRST_PAGES)?))
}

/// Creates the directory of the new journal, with the owner and the permissions of the old one: a server that starts
/// after a power cut must be able to complete or remove its content.
fn create_unfinished(directory: &OwnedFd) -> Result<(), Error> {
    let cannot = |errno| Error::System("the directory of the new one cannot be made", errno);
    mkdirat(directory, UNFINISHED, Mode::S_IRWXU).map_err(cannot)?;
    let created = openat(directory, UNFINISHED, RESIZE_FLAGS, Mode::empty()).map_err(cannot)?;
    fstat(directory).and_then(|old| set_owner_and_mode(&created, &old)).map_err(cannot)
}

/// Gives the new files the owner and the permissions of the old ones: the server may run as another user than the
/// resize, and a group may read them.
fn copy_owner(directory: &OwnedFd) -> Result<(), Error> {
    let cannot = |errno| Error::System("the new one cannot be given to the owner of the old one", errno);
    let old = NAMES.iter().find_map(|name| fstatat(directory, *name, nix::fcntl::AtFlags::empty()).ok());
    let Some(old) = old else { return Ok(()) };
    let unfinished = openat(directory, UNFINISHED, RESIZE_FLAGS, Mode::empty()).map_err(cannot)?;
    for name in NAMES {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let new = openat(&unfinished, name, flags, Mode::empty()).map_err(cannot)?;
        set_owner_and_mode(&new, &old).and_then(|()| fsync(&new)).map_err(cannot)?;
    }
    Ok(())
}

/// Gives a file the owner, the group and the permissions of another one.
fn set_owner_and_mode(new: &OwnedFd, old: &FileStat) -> Result<(), Errno> {
    let status = fstat(new)?;
    if (status.st_uid, status.st_gid) != (old.st_uid, old.st_gid) {
        fchown(new, Some(Uid::from_raw(old.st_uid)), Some(Gid::from_raw(old.st_gid)))?;
    }
    fchmod(new, Mode::from_bits_truncate(old.st_mode))
}
