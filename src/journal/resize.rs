//! Carries the history over to segments of another length.
//!
//! A new journal is written beside the old one, in a directory within it, and synced. Then that directory gets another name: from then
//! on the new journal is the one that counts. Its files take the places of the old ones, one by one; a start, or the next try, does what
//! is left of that. So at whatever moment it is cut off, one of the two is whole. It takes as much room as the new journal, beside the
//! old one, and reads and writes all of it once. What finds no room in a smaller one is the oldest.

use super::catalog::Catalog;
use super::cursor::{Cursor, Step};
use super::files::{Error, Files, NAMES, ReadOnly};
use super::segment::Identity;
use super::writer::{Buffers, Writer};
use crate::limits::JOURNAL_READ_BYTES;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, fsync, unlinkat};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

/// Where the new journal is while it is not whole.
const UNFINISHED: &str = "resize.unfinished";
/// Where it is when it counts.
const WHOLE: &str = "resize.whole";

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resized {
    /// The journal's identity, which stays.
    pub identity: Identity,
    /// Messages that were read. The oldest of them may have found no room.
    pub messages: u64,
    /// The ID of the next message, which stays too.
    pub next_id: u64,
    /// Bytes that were damaged, and are left out.
    pub damage_bytes: u64,
}

/// Carries the journal in that directory over to segments of that length. Nobody may write to it meanwhile.
///
/// # Errors
/// Why it cannot: then the journal is as it was.
pub fn resize(directory: &Path, segment_bytes: u32) -> Result<Resized, Error> {
    let files = open_as_it_is(directory)?;
    let held = open_directory(directory)?;
    carry_over(directory, files, segment_bytes, &held).inspect_err(|_| {
        // What was written in vain takes no room any more; else the next start sees to it.
        let _ = finish(&held);
    })
}

fn carry_over(directory: &Path, files: Files, segment_bytes: u32, held: &OwnedFd) -> Result<Resized, Error> {
    let old_bytes = files.segment_bytes();
    let (mut old_buffers, mut new_buffers) = (Box::new(Buffers::new()), Box::new(Buffers::new()));
    let unread = |errno| Error::System("it cannot be read", errno);
    let unwritten = |errno| Error::System("the new one cannot be written", errno);
    let (old, _) = Writer::open(files, old_bytes, &mut old_buffers).map_err(unread)?;
    let (headers, end) = old.extent();
    let catalog = Catalog::new(headers, Some(end));
    let new_files = Files::open(&directory.join(UNFINISHED), segment_bytes)?;
    let mut new =
        Writer::open_copy(new_files, segment_bytes, &mut new_buffers, old.identity()).map_err(unwritten)?;
    let mut resized =
        Resized { identity: old.identity(), messages: 0, next_id: old.next_id(), damage_bytes: 0 };
    // Its segments say that it is not closed, until it is.
    new.expect_unsynced().map_err(unwritten)?;
    let source = ReadOnly::open(directory)?;
    let (mut cursor, mut window) = (Cursor::oldest(), Box::new([0; JOURNAL_READ_BYTES]));
    let mut is_read = false;
    while !is_read {
        let mut reading = cursor.read(&catalog, &mut window, u32::MAX);
        is_read = loop {
            match reading.next(&source).map_err(unread)? {
                Step::Record(record) => {
                    new.begin_group(true);
                    new.append(&record);
                    new.commit(false).map_err(unwritten)?;
                    resized.messages += 1;
                }
                Step::Damage(damage) => resized.damage_bytes += u64::from(damage.bytes),
                Step::Lost(_) | Step::Withdrawn(_) => {}
                // There are more bytes than that.
                Step::Pause => break false,
                Step::End => break true,
                Step::Overtaken | Step::Unsettled => {
                    return Err(Error::System("somebody else writes to it", Errno::EBUSY));
                }
            }
        };
    }
    new.skip_to(old.next_id());
    new.close().map_err(unwritten)?;
    drop(new);
    keep_owner(directory)?;
    let replaced = renameat(held, UNFINISHED, held, WHOLE).and_then(|()| fsync(held));
    replaced.map_err(|errno| Error::System("the new one cannot be put in its place", errno))?;
    finish(held)?;
    // It holds the lock until then.
    drop(old);
    Ok(resized)
}

/// Gives the new files to whoever has the old ones: a server that runs as another user must be able to open them.
fn keep_owner(directory: &Path) -> Result<(), Error> {
    let cannot = |error: std::io::Error| {
        let errno = Errno::from_raw(error.raw_os_error().unwrap_or_default());
        Error::System("the new one cannot be given to the owner of the old one", errno)
    };
    let old = NAMES.iter().find_map(|name| std::fs::metadata(directory.join(name)).ok());
    let Some(old) = old else { return Ok(()) };
    for name in NAMES {
        let file = directory.join(UNFINISHED).join(name);
        let new = std::fs::metadata(&file).map_err(cannot)?;
        if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
            chown(&file, Some(old.uid()), Some(old.gid())).map_err(cannot)?;
        }
    }
    Ok(())
}

/// Opens the journal to write to it, whatever the length of its segments is.
fn open_as_it_is(directory: &Path) -> Result<Files, Error> {
    let segment_bytes = ReadOnly::open(directory)?.segment_bytes();
    match Files::open(directory, segment_bytes) {
        // What another try left undone was done just now.
        Err(Error::OtherSize(_)) => Files::open(directory, ReadOnly::open(directory)?.segment_bytes()),
        opened => opened,
    }
}

/// Does what a try left undone that was cut off: puts a new journal that is whole in its place, and removes one that is not.
///
/// # Errors
/// Those of the system.
pub fn finish(directory: impl AsFd) -> Result<(), Error> {
    let cannot = |errno| Error::System("what a resize left cannot be put in order", errno);
    for (name, is_whole) in [(WHOLE, true), (UNFINISHED, false)] {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let left = match nix::fcntl::openat(&directory, name, flags, Mode::empty()) {
            Ok(left) => left,
            Err(Errno::ENOENT) => continue,
            Err(errno) => return Err(cannot(errno)),
        };
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

fn open_directory(directory: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    open(directory, flags, Mode::empty())
        .map_err(|errno| Error::System("the directory cannot be opened", errno))
}
