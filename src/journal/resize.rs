//! Carries the history over to segments of another length.
//!
//! A new journal is written beside the old one, in a directory within it, and synced. Then that directory gets another name: from then
//! on the new journal is the one that counts. Its files take the places of the old ones, one by one; a start, or the next try, does what
//! is left of that. So at whatever moment it is cut off, one of the two is whole, and who reads it meanwhile opens one of the two. The old
//! one does not change before: what a start would do to it is done in memory. It takes as much room as the new journal, beside the
//! old one, and reads and writes all of it once. What finds no room in a smaller one is the oldest.

use super::catalog::Catalog;
use super::cursor::{Cursor, Step};
use super::error::Error;
use super::files::{self, Files, Loss, ReadOnly};
use super::headers::{Headers, copied_from, is_used, read_header, read_headers};
use super::names::NAMES;
use super::overlay::Overlay;
use super::replacement::{DIRECTORY_FLAGS, UNFINISHED, WHOLE, finish};
use super::segment::{Header, Identity};
use super::writer::{Buffers, Writer};
use crate::limits::{JOURNAL_READ_BYTES, JOURNAL_SEGMENTS};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, fchmod, fstat, fstatat, mkdirat};
use nix::unistd::{Gid, Uid, fchown, fsync};
use std::os::fd::OwnedFd;
use std::path::Path;

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resized {
    /// The journal's identity, which stays.
    pub identity: Identity,
    /// Messages that were read. The oldest of them may have found no room.
    pub messages: u64,
    /// The ID of the next message, which stays too.
    pub next_id: u64,
    /// What is not in the new journal, though it was in the old one.
    pub left_out: LeftOut,
}

/// What a resize could not carry over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Bytes that are no whole record, though there was one.
    pub damaged_bytes: u64,
    /// Bytes at the end of the newest segment that were to be records: a power cut tore them.
    pub torn_bytes: u64,
    /// Bytes that were cut off at the end of files.
    pub cut_bytes: u64,
    /// Files that were used and cannot be read: their headers are damaged, or those of another journal.
    pub unreadable: Vec<&'static str>,
    /// Files that are missing, or hold nothing and are of another length.
    pub missing: Vec<&'static str>,
}

/// Carries the journal in that directory over to segments of that length. Nobody may write to it meanwhile.
///
/// # Errors
/// Why it cannot: then the journal is as it was, to the byte.
pub fn resize(directory: &Path, segment_bytes: u32) -> Result<Resized, Error> {
    let held = files::lock_to_write(directory).map_err(|error| match error {
        Error::System(_, Errno::ENOENT) => Error::NoJournal,
        other => other,
    })?;
    finish(&*held)?;
    let files = ReadOnly::open(directory)?;
    files::ask_for_room(&held, u64::from(segment_bytes) * JOURNAL_SEGMENTS as u64)?;
    let old = Old::read(&files)?;
    old.carry_over(directory, segment_bytes, &held).inspect_err(|_| {
        // What was written in vain takes no room any more; else the next start sees to it.
        let _ = finish(&*held);
    })
}

/// A journal as a start would find it.
struct Old<'a> {
    files: &'a ReadOnly,
    catalog: Catalog,
    identity: Identity,
    next_id: u64,
    left_out: LeftOut,
}

fn unread(errno: Errno) -> Error {
    Error::System("it cannot be read", errno)
}

fn unwritten(errno: Errno) -> Error {
    Error::System("the new one cannot be written", errno)
}

impl<'a> Old<'a> {
    fn read(files: &'a ReadOnly) -> Result<Self, Error> {
        // To carry over those of one length would cost the others.
        files.expect_one_length()?;
        let segment_bytes = files.segment_bytes();
        let headers = read_headers(files, segment_bytes).map_err(unread)?;
        if headers.iter().all(Option::is_none) {
            return Err(Error::NoHeader);
        }
        let mut buffers = Box::new(Buffers::new());
        let overlay = Overlay::new(files)?;
        let (recovered, found) = Writer::open(overlay, segment_bytes, &mut buffers).map_err(unread)?;
        let mut left_out = LeftOut::of_files(files, &headers, recovered.identity())?;
        left_out.torn_bytes = found.torn_bytes.into();
        // If it would go on with another segment, that one tells where the last one ends.
        let newest = headers.iter().flatten().map(|header| header.sequence).max().unwrap_or(0);
        let (after, end) = recovered.extent();
        let next = after.iter().flatten().find(|header| header.sequence > newest);
        let catalog = Catalog::new(&headers, Some(next.map_or(end, |next| next.previous_end)));
        Ok(Self { files, catalog, identity: recovered.identity(), next_id: recovered.next_id(), left_out })
    }

    fn carry_over(mut self, directory: &Path, segment_bytes: u32, held: &OwnedFd) -> Result<Resized, Error> {
        make_unfinished(held)?;
        let mut buffers = Box::new(Buffers::new());
        let new_files = Files::open(&directory.join(UNFINISHED), segment_bytes)?;
        let new = Writer::open_copy(new_files, segment_bytes, &mut buffers, self.identity);
        let mut new = new.map_err(unwritten)?;
        // Its segments say that it is not closed, until it is.
        new.expect_unsynced().map_err(unwritten)?;
        let messages = self.copy_to(&mut new)?;
        new.skip_to(self.next_id);
        new.close().map_err(unwritten)?;
        drop(new);
        keep_owner(held)?;
        let replaced = renameat(held, UNFINISHED, held, WHOLE).and_then(|()| fsync(held));
        replaced.map_err(|errno| Error::System("the new one cannot be put in its place", errno))?;
        finish(held)?;
        Ok(Resized { identity: self.identity, messages, next_id: self.next_id, left_out: self.left_out })
    }

    /// Copies all messages, and counts them.
    fn copy_to(&mut self, new: &mut Writer<'_, Files>) -> Result<u64, Error> {
        let (mut cursor, mut window) = (Cursor::oldest(), Box::new([0; JOURNAL_READ_BYTES]));
        let mut messages = 0;
        loop {
            let mut reading = cursor.read(&self.catalog, &mut window, u32::MAX);
            loop {
                match reading.next(self.files).map_err(unread)? {
                    Step::Record(record) => {
                        new.begin_group(true);
                        new.append(&record);
                        new.commit(false).map_err(unwritten)?;
                        messages += 1;
                    }
                    Step::Damage(damage) => self.left_out.damaged_bytes += u64::from(damage.bytes),
                    Step::Lost(_) | Step::RolledBack(_) => {}
                    // There are more bytes than that.
                    Step::Pause => break,
                    Step::End => return Ok(messages),
                    Step::Overwritten | Step::Incomplete => {
                        return Err(Error::System("somebody else writes to it", Errno::EBUSY));
                    }
                }
            }
        }
    }
}

impl LeftOut {
    /// Whether all is in the new journal that was in the old one.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// What the files show, without the records.
    fn of_files(files: &ReadOnly, headers: &Headers, identity: Identity) -> Result<Self, Error> {
        let mut left_out = Self::default();
        let losses = files.losses()?;
        for (segment, header) in headers.iter().enumerate() {
            match files.length(segment)? {
                _ if losses[segment] == Some(Loss::All) => left_out.missing.push(NAMES[segment]),
                Some(length) if header.is_some() => {
                    left_out.cut_bytes += u64::from(files.segment_bytes()).saturating_sub(length);
                }
                Some(_) if is_unreadable(files, segment, headers, identity).map_err(unread)? => {
                    left_out.unreadable.push(NAMES[segment]);
                }
                _ => {}
            }
        }
        Ok(left_out)
    }
}

/// Whether a segment that does not count was used, and not by this journal, or is a copy of another file.
fn is_unreadable(
    files: &ReadOnly,
    segment: usize,
    headers: &Headers,
    identity: Identity,
) -> Result<bool, Errno> {
    let header = read_header(files, segment, files.segment_bytes())?;
    let is_ours = |header: Header| header.identity().is_none_or(|its| its == identity);
    let is_copy = copied_from(files, segment, files.segment_bytes(), headers)?.is_some();
    Ok(is_copy || (!header.is_some_and(is_ours) && is_used(files, segment)?))
}

/// Makes the directory of the new journal, for those who may use the old one's: whoever starts after a power cut must be able to put in
/// order what is in it.
fn make_unfinished(held: &OwnedFd) -> Result<(), Error> {
    let cannot = |errno| Error::System("the directory of the new one cannot be made", errno);
    mkdirat(held, UNFINISHED, Mode::S_IRWXU).map_err(cannot)?;
    let made = openat(held, UNFINISHED, DIRECTORY_FLAGS, Mode::empty()).map_err(cannot)?;
    fstat(held).and_then(|old| give(&made, &old)).map_err(cannot)
}

/// Gives the new files to whoever has the old ones, with the same permissions: a server that runs as another user must be able to open
/// them, and a group that reads them, too.
fn keep_owner(held: &OwnedFd) -> Result<(), Error> {
    let cannot = |errno| Error::System("the new one cannot be given to the owner of the old one", errno);
    let old = NAMES.iter().find_map(|name| fstatat(held, *name, nix::fcntl::AtFlags::empty()).ok());
    let Some(old) = old else { return Ok(()) };
    let directory = openat(held, UNFINISHED, DIRECTORY_FLAGS, Mode::empty()).map_err(cannot)?;
    for name in NAMES {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let new = openat(&directory, name, flags, Mode::empty()).map_err(cannot)?;
        give(&new, &old).and_then(|()| fsync(&new)).map_err(cannot)?;
    }
    Ok(())
}

/// Gives a file the owner, the group and the permissions of another one.
fn give(new: &OwnedFd, old: &FileStat) -> Result<(), Errno> {
    let status = fstat(new)?;
    if (status.st_uid, status.st_gid) != (old.st_uid, old.st_gid) {
        fchown(new, Some(Uid::from_raw(old.st_uid)), Some(Gid::from_raw(old.st_gid)))?;
    }
    fchmod(new, Mode::from_bits_truncate(old.st_mode))
}
