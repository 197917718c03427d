//! The journal as files in a directory: `0.journal` to `7.journal`, each of one length from the start.
//!
//! All of them are open from the start to the end, so that no client can take the descriptors that they need. Whoever writes
//! holds a lock on the directory; who only reads needs none.

use super::disk::{Disk, Source};
pub use super::error::Error;
use super::headers::leave_out_strangers;
use super::mark;
pub use super::names::NAMES;
use super::replacement::{self, file_number, is_linked, try_array};
use super::segment::Header;
use crate::limits::{JOURNAL_INTERRUPTIONS_MAX, JOURNAL_SEGMENTS, PAGE_BYTES, SEGMENT_HEADER_BYTES};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, PosixFadviseAdvice, open, openat, posix_fadvise};
use nix::libc::off_t;
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, stat};
use nix::sys::uio::{pread, pwrite};
use nix::unistd::{UnlinkatFlags, fdatasync, fsync, ftruncate, mkdir, unlinkat};
use rustix::fs::{CWD, fstatvfs, rmdir};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// How segments are opened: a pipe that has the name of one must not hold this up.
const SEGMENT_FLAGS: OFlag = OFlag::O_CLOEXEC.union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY);

/// The length of a segment where all together have that size: whole pages.
pub fn segment_bytes(journal_bytes: u64) -> u32 {
    let pages = journal_bytes / (JOURNAL_SEGMENTS * PAGE_BYTES) as u64;
    (pages * PAGE_BYTES as u64) as u32
}

/// What a new segment is filled with, piece by piece.
static ZEROES: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

/// The files of a journal.
pub struct Files {
    directory: PathBuf,
    segment_bytes: u32,
    lock: Flock<OwnedFd>,
    segments: [OwnedFd; JOURNAL_SEGMENTS],
    cut_bytes: u64,
}

impl Files {
    /// Opens the journal in that directory to write to it, and makes what is not there, in its full length. That may take as
    /// long as the disk takes to write all of it, once.
    ///
    /// # Errors
    /// Why not.
    pub fn open(directory: &Path, segment_bytes: u32) -> Result<Self, Error> {
        let is_new = mkdir_if_missing(directory)?;
        let opened = Self::open_in_place(directory, segment_bytes);
        if is_new && opened.is_err() {
            // It stays where something else was put into it meanwhile.
            let _ = rmdir(directory);
        }
        opened
    }

    /// The same where the directory is there.
    fn open_in_place(directory: &Path, segment_bytes: u32) -> Result<Self, Error> {
        let lock = lock_to_write(directory)?;
        replacement::finish(&*lock)?;
        let (segments, cut_bytes) = open_all(&lock, segment_bytes)?;
        Ok(Self { directory: directory.to_path_buf(), segment_bytes, lock, segments, cut_bytes })
    }

    /// Bytes that were missing at the end of segments when they were opened: a repair of the file system cut them off, perhaps.
    /// Where that is just behind a record, nothing else tells.
    pub fn cut_bytes(&self) -> u64 {
        self.cut_bytes
    }

    /// The length of a segment.
    pub fn segment_bytes(&self) -> u32 {
        self.segment_bytes
    }

    /// Whether the directory is still where it was.
    fn is_directory_in_place(&self) -> bool {
        let same = |one: FileStat, other: FileStat| (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino);
        let at_path = stat(&self.directory).ok().zip(fstat(&*self.lock).ok());
        at_path.is_some_and(|(path, held)| same(path, held))
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
        // A file that somebody removed takes all that is written, and keeps nothing.
        if is_linked(&self.segments[segment]) { Ok(()) } else { Err(Errno::ENOENT) }
    }

    fn settle(&mut self, segment: usize) -> Result<(), Errno> {
        self.sync(segment)?;
        // Nothing of it is dirty now, so all of it can go. To the end of the file: 0. Where that is not permitted, or not known, as in
        // some containers, what is read may come from memory: a journal is worth more than that doubt.
        let _ = posix_fadvise(&self.segments[segment], 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), Errno> {
        if self.is_directory_in_place() && self.segments.iter().all(is_linked) {
            return Ok(());
        }
        let again = |error| match error {
            Error::System(_, errno) => errno,
            _ => Errno::EBUSY,
        };
        if self.is_directory_in_place() {
            // Its lock is ours, and would not be given to us again.
            (self.segments, self.cut_bytes) = open_all(&self.lock, self.segment_bytes).map_err(again)?;
            return Ok(());
        }
        mkdir_if_missing(&self.directory).map_err(again)?;
        let lock = lock(&self.directory).map_err(again)?;
        (self.segments, self.cut_bytes) = open_all(&lock, self.segment_bytes).map_err(again)?;
        self.lock = lock;
        Ok(())
    }
}

/// The segments of a journal that another process may write to at the same time.
pub struct ReadOnly {
    /// None: the file is missing.
    segments: [Option<OwnedFd>; JOURNAL_SEGMENTS],
    segment_bytes: u32,
}

impl ReadOnly {
    /// Opens the journal in that directory.
    ///
    /// # Errors
    /// Why not.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = match open(directory, flags, Mode::empty()) {
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

    /// The length that the newest header gives: a file may have been cut short. Without any, that of the longest file.
    fn newest_length(&self) -> Result<u32, Error> {
        let (mut headers, mut longest) = ([None; JOURNAL_SEGMENTS], 0);
        for (segment, file) in self.segments.iter().enumerate() {
            longest = longest.max(self.length(segment)?.unwrap_or(0));
            headers[segment] = file.as_ref().map_or(Ok(None), header_of)?;
        }
        leave_out_strangers(&mut headers);
        let newest = headers.into_iter().flatten().max_by_key(Header::turn);
        Ok(newest.map_or(longest.min(u32::MAX.into()) as u32, |header| header.segment_bytes))
    }

    /// The length that each segment should have.
    pub fn segment_bytes(&self) -> u32 {
        self.segment_bytes
    }

    /// Refuses files of which some were made with another length than the others.
    ///
    /// # Errors
    /// Which does not belong there; those of the system.
    pub(super) fn expect_one_length(&self) -> Result<(), Error> {
        let header = |segment: usize| self.segments[segment].as_ref().map_or(Ok(None), header_of);
        common_length(&try_array(header)?).map(drop)
    }

    /// What each segment has lost because its file is missing, or has another length.
    ///
    /// # Errors
    /// Those of the system.
    pub(super) fn losses(&self) -> Result<Losses, Error> {
        let states =
            try_array(|segment| self.segments[segment].as_ref().map_or(Ok(State::MISSING), State::of))?;
        Ok(losses(&states, self.segment_bytes))
    }

    /// Whether the files in that directory are still these.
    pub fn is_in_place(&self, directory: &Path) -> bool {
        let mut segments = self.segments.iter().zip(NAMES);
        segments.all(|(file, name)| {
            let file = file.as_ref().map(|file| file_number(file, Path::new("")));
            file.unwrap_or(None) == file_number(CWD, &directory.join(name))
        })
    }

    /// The length that a segment has; none: it is missing.
    ///
    /// # Errors
    /// Those of the system.
    pub fn length(&self, segment: usize) -> Result<Option<u64>, Error> {
        self.segments[segment].as_ref().map(length).transpose()
    }
}

impl Source for ReadOnly {
    /// What is missing because a file is, or was cut short, reads as zeroes. Where records should be, that is damage, and costs
    /// itself alone.
    fn read(&self, segment: usize, offset: u32, bytes: &mut [u8]) -> Result<(), Errno> {
        bytes.fill(0);
        match self.segments[segment].as_ref().map_or(Ok(()), |file| read_all(file, offset, bytes)) {
            Err(Errno::ENODATA) => Ok(()),
            other => other,
        }
    }
}

/// Makes the directory if it is not there, and says whether it was not.
fn mkdir_if_missing(directory: &Path) -> Result<bool, Error> {
    match mkdir(directory, Mode::S_IRWXU) {
        Ok(()) => sync_parent(directory).map(|()| true),
        Err(Errno::EEXIST) => Ok(false),
        Err(errno) => Err(Error::System("the directory cannot be made", errno)),
    }
}

/// Opens the directory, and takes the writer's lock.
fn lock(directory: &Path) -> Result<Flock<OwnedFd>, Error> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let opened = open(directory, flags, Mode::empty());
    let opened = opened.map_err(|errno| Error::System("the directory cannot be opened", errno))?;
    Flock::lock(opened, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EAGAIN => Error::InUse(None),
        _ => Error::System("the directory cannot be locked", errno),
    })
}

/// The same, and an error tells which process has it.
///
/// # Errors
/// Why not.
pub(super) fn lock_to_write(directory: &Path) -> Result<Flock<OwnedFd>, Error> {
    lock(directory).map_err(|error| match error {
        Error::InUse(_) => Error::InUse(holder(directory)),
        other => other,
    })
}

/// A directory that was just made must be there after a power cut too.
fn sync_parent(directory: &Path) -> Result<(), Error> {
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let synced = open(parent.unwrap_or(Path::new(".")), flags, Mode::empty())
        .and_then(|parent| uninterrupted(|| fsync(&parent)));
    synced.map_err(|errno| Error::System("the directory above it cannot be synced", errno))
}

/// Who holds the lock of a directory, as /proc/locks has it: see proc_locks(5).
fn holder(directory: &Path) -> Option<u32> {
    let inode = stat(directory).ok()?.st_ino.to_string();
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let line = locks.lines().find(|line| {
        let file = line.split_whitespace().nth(5).and_then(|file| file.rsplit(':').next());
        line.contains("FLOCK") && file == Some(&inode)
    });
    line?.split_whitespace().nth(4)?.parse().ok()
}

/// Opens all segments, each in its full length, and says how many bytes were cut off of those that had it. Where that cannot be done,
/// all is as it was before.
fn open_all(directory: &OwnedFd, segment_bytes: u32) -> Result<([OwnedFd; JOURNAL_SEGMENTS], u64), Error> {
    let mut former = try_array(|segment| Former::open(directory, segment))?;
    let states = former.each_ref().map(|former| former.state);
    expect_length(&states, segment_bytes)?;
    let missing = |state: &State| u64::from(segment_bytes).saturating_sub(state.length());
    ask_for_room(directory, states.iter().map(missing).sum())?;
    let losses = losses(&states, segment_bytes);
    let mut numbered = former.iter_mut().enumerate();
    let made = numbered.try_for_each(|(segment, former)| {
        former.bring_to(directory, segment, segment_bytes, losses[segment])
    });
    if made.is_err() {
        former.iter().enumerate().for_each(|(segment, former)| former.restore(directory, segment));
    }
    made?;
    let segments = try_array(|segment| former[segment].file.take().ok_or(Error::NoJournal))?;
    uninterrupted(|| fsync(directory))
        .map_err(|errno| Error::System("the directory cannot be synced", errno))?;
    let cut_off = states.iter().filter(|state| state.header.is_some()).map(missing);
    Ok((segments, cut_off.sum()))
}

/// Refuses files that were made with another length. What holds nothing may have any.
fn expect_length(states: &[State; JOURNAL_SEGMENTS], segment_bytes: u32) -> Result<(), Error> {
    let whole = |length: u64| length * JOURNAL_SEGMENTS as u64;
    let other = |length: u64| Error::OtherSize { is: whole(length), asked: whole(segment_bytes.into()) };
    let made_with = common_length(&states.map(|state| state.header))?;
    if let Some(length) = made_with.filter(|length| *length != segment_bytes) {
        return Err(other(length.into()));
    }
    let is_too_long = |state: &State| state.header.is_none() && state.length() > segment_bytes.into();
    match states.iter().position(is_too_long) {
        Some(segment) if made_with.is_some() => Err(Error::Foreign(NAMES[segment])),
        Some(segment) if states.iter().any(|state| state.is_used) => Err(other(states[segment].length())),
        _ => Ok(()),
    }
}

/// The length that the segments were made with; none: no header says so. If some were made with another one, the fewer are taken for
/// those that do not belong there, or of as many the older ones.
///
/// # Errors
/// Not all were made with the same.
fn common_length(headers: &[Option<Header>; JOURNAL_SEGMENTS]) -> Result<Option<u32>, Error> {
    let known = || headers.iter().flatten();
    let weight = |length: &u32| {
        let same = || known().filter(|header| header.segment_bytes == *length);
        (same().count(), same().map(Header::turn).max())
    };
    let ours = known().map(|header| header.segment_bytes).max_by_key(weight);
    let is_other = |header: &Header| Some(header.segment_bytes) != ours;
    match headers.iter().position(|header| header.as_ref().is_some_and(is_other)) {
        Some(segment) => Err(Error::Foreign(NAMES[segment])),
        None => Ok(ours),
    }
}

/// Whether what was opened is a file.
fn check_regular(file: &OwnedFd, segment: usize) -> Result<(), Error> {
    let is_regular = SFlag::from_bits_truncate(status(file)?.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
    if is_regular { Ok(()) } else { Err(Error::NotAFile(NAMES[segment])) }
}

/// What the file of a segment shows before anything is done to it.
#[derive(Clone, Copy, Debug)]
struct State {
    /// None: it is missing.
    length: Option<u64>,
    header: Option<Header>,
    /// Whether something was ever written to it.
    is_used: bool,
}

impl State {
    const MISSING: Self = Self { length: None, header: None, is_used: false };

    fn of(file: &OwnedFd) -> Result<Self, Error> {
        Ok(Self { length: Some(length(file)?), header: header_of(file)?, is_used: is_used(file)? })
    }

    fn length(&self) -> u64 {
        self.length.unwrap_or(0)
    }
}

/// The file of a segment, and as it was found.
struct Former {
    /// None: it is missing, and not made yet.
    file: Option<OwnedFd>,
    state: State,
}

impl Former {
    fn open(directory: &OwnedFd, segment: usize) -> Result<Self, Error> {
        let file = match openat(directory, NAMES[segment], OFlag::O_RDWR | SEGMENT_FLAGS, Mode::empty()) {
            Ok(file) => file,
            // To be opened for writing, a directory is no file either.
            Err(Errno::EISDIR) => return Err(Error::NotAFile(NAMES[segment])),
            Err(Errno::ENOENT) => return Ok(Self { file: None, state: State::MISSING }),
            Err(errno) => return Err(Error::System("a segment cannot be opened", errno)),
        };
        check_regular(&file, segment)?;
        let state = State::of(&file)?;
        Ok(Self { file: Some(file), state })
    }

    /// Has it in its full length on the disk: zeroes that were written are blocks that are there, so that a sync has no more to do than
    /// to write the data. A lost mark leaves a trace there, because it may have been the newest one.
    fn bring_to(
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
        // What somebody put behind the end of a segment is not this journal's to remove.
        if length == u64::from(segment_bytes) || (is_long && self.state.header.is_some()) {
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

    /// Has it as it was found, as far as that can be done.
    fn restore(&self, directory: &OwnedFd, segment: usize) {
        // What cannot be undone is finished, or undone, by the next start.
        let _ = match (&self.file, self.state.length) {
            (Some(_), None) => unlinkat(directory, NAMES[segment], UnlinkatFlags::NoRemoveDir),
            (Some(file), Some(former)) if length(file).is_ok_and(|length| length > former) => {
                ftruncate(file, former as off_t)
            }
            _ => Ok(()),
        };
    }
}

/// What a segment begins with that was missing, or empty: no segment begins so.
pub(super) const MISSING: &[u8] = b"missing";

/// What a segment of a journal that was begun has lost because its file is missing or has another length, and what a start finds in its
/// place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// All of it, which may have been the newest segment.
    All,
    /// Its last mark, which may have been the newest one.
    Mark,
}

/// What each segment has lost, if anything.
pub(super) type Losses = [Option<Loss>; JOURNAL_SEGMENTS];

/// What the segments have lost, as their files show.
fn losses(states: &[State; JOURNAL_SEGMENTS], segment_bytes: u32) -> Losses {
    match is_begun(states, segment_bytes) {
        true => states.map(|state| Loss::of(&state, segment_bytes)),
        false => [None; JOURNAL_SEGMENTS],
    }
}

/// Whether the journal was begun: something was written to it, or a file is not there though later ones are. For they are made one after
/// the other.
fn is_begun(states: &[State; JOURNAL_SEGMENTS], segment_bytes: u32) -> bool {
    let is_whole = |state: &State| state.length() >= segment_bytes.into();
    let first_short = states.iter().position(|state| !is_whole(state)).unwrap_or(JOURNAL_SEGMENTS);
    states.iter().any(|state| state.is_used) || states[first_short..].iter().any(is_whole)
}

impl Loss {
    fn of(state: &State, segment_bytes: u32) -> Option<Self> {
        if state.header.is_some() {
            let marks_end = mark_place(segment_bytes) + mark::MARK_BYTES as u32;
            return (state.length() < marks_end.into()).then_some(Self::Mark);
        }
        (state.length() != segment_bytes.into() && !state.is_used).then_some(Self::All)
    }

    /// Where its trace stands in the segment, and the trace.
    pub(super) fn trace(self, segment_bytes: u32) -> (u32, Vec<u8>) {
        match self {
            Self::All => (0, MISSING.to_vec()),
            Self::Mark => (mark_place(segment_bytes), mark::cut_page().to_vec()),
        }
    }
}

/// Where the last mark of a segment stands.
fn mark_place(segment_bytes: u32) -> u32 {
    segment_bytes - PAGE_BYTES as u32
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

/// Brings a segment to its length, with the trace of what is lost. The trace of a mark is written last.
fn extend(file: &OwnedFd, length: u32, segment_bytes: u32, loss: Option<Loss>) -> Result<(), Errno> {
    let Some(loss) = loss else { return fill(file, length, segment_bytes) };
    let (offset, trace) = loss.trace(segment_bytes);
    match loss {
        Loss::All => {
            write_all(file, offset, &trace)?;
            fill(file, length.max(trace.len() as u32), segment_bytes)
        }
        Loss::Mark => {
            fill(file, length, offset)?;
            write_all(file, offset, &trace)
        }
    }
}

/// Whether something was ever written to a segment that may be cut short.
fn is_used(file: &OwnedFd) -> Result<bool, Error> {
    let mut bytes = [0; PAGE_BYTES];
    for offset in [0, SEGMENT_HEADER_BYTES as u32] {
        let count = read_up_to(file, offset, &mut bytes)?;
        if bytes[..count].iter().any(|byte| *byte != 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Asks whether there is room for so many bytes, without what is kept for the superuser: a disk without any room does harm to others.
pub(super) fn ask_for_room(directory: &OwnedFd, needed: u64) -> Result<(), Error> {
    let Ok(disk) = fstatvfs(directory) else { return Ok(()) };
    let available = disk.f_bavail.saturating_mul(disk.f_frsize);
    // Some file systems do not say.
    if disk.f_blocks > 0 && available < needed {
        return Err(Error::NoRoom { needed, available });
    }
    Ok(())
}

/// The later of a segment's headers, as far as there is a whole one in a file that may have been cut short.
fn header_of(file: &OwnedFd) -> Result<Option<Header>, Error> {
    let mut page = [0; SEGMENT_HEADER_BYTES];
    read_up_to(file, 0, &mut page)?;
    let headers = Header::from_page(&page).map_err(Error::Newer)?;
    Ok(headers.into_iter().flatten().max_by_key(Header::turn))
}

/// Reads what there is, and says how many bytes that are.
fn read_up_to(file: &OwnedFd, offset: u32, bytes: &mut [u8]) -> Result<usize, Error> {
    let mut done = 0;
    loop {
        let count = uninterrupted(|| pread(file, &mut bytes[done..], place(offset, done)))
            .map_err(|errno| Error::System("a segment cannot be read", errno))?;
        if count == 0 {
            return Ok(done);
        }
        done += count;
    }
}

fn length(file: &OwnedFd) -> Result<u64, Error> {
    Ok(status(file)?.st_size as u64)
}

fn status(file: &OwnedFd) -> Result<FileStat, Error> {
    fstat(file).map_err(|errno| Error::System("a segment cannot be looked at", errno))
}

/// Calls the system until no signal interrupts it, which is no failure of the disk; [`JOURNAL_INTERRUPTIONS_MAX`] times at most.
fn uninterrupted<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    for _ in 1..JOURNAL_INTERRUPTIONS_MAX {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
    call()
}

fn read_all(file: &OwnedFd, offset: u32, bytes: &mut [u8]) -> Result<(), Errno> {
    let mut done = 0;
    while done < bytes.len() {
        match uninterrupted(|| pread(file, &mut bytes[done..], place(offset, done)))? {
            0 => return Err(Errno::ENODATA),
            count => done += count,
        }
    }
    Ok(())
}

fn write_all(file: &OwnedFd, offset: u32, bytes: &[u8]) -> Result<(), Errno> {
    let mut done = 0;
    while done < bytes.len() {
        match uninterrupted(|| pwrite(file.as_fd(), &bytes[done..], place(offset, done)))? {
            0 => return Err(Errno::ENOSPC),
            count => done += count,
        }
    }
    Ok(())
}

/// So many bytes behind an offset: a segment is no longer than what 32 bits with a sign can say.
fn place(offset: u32, done: usize) -> off_t {
    (offset as usize + done) as off_t
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::headers::{FIRST_OFFSET, read_headers};
    use crate::journal::record::Record;
    use crate::journal::scan::{Scan, Step};
    use crate::journal::segment::HEADER_BYTES;
    use crate::journal::writer::{Buffers, Recovery, Writer};
    use crate::limits::JOURNAL_READ_BYTES;
    use crate::protocol::Priority;

    const SEGMENT_BYTES: u32 = 128 * 1024;

    /// A directory of the test's own, not there yet.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("firstline-files-{}-{name}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            Self(path)
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn record(id: u64, text: &[u8]) -> Record<'_> {
        Record { id, time_ms: 5, priority: Priority::NORMAL, from: b"test", text }
    }

    /// Writes messages with these IDs, each committed by itself.
    fn write(place: &Place, ids: core::ops::Range<u64>) -> u64 {
        let files = Files::open(&place.0, SEGMENT_BYTES).unwrap();
        let mut buffers = Buffers::new();
        let (mut writer, found) = Writer::open(files, SEGMENT_BYTES, &mut buffers).unwrap();
        for id in ids {
            writer.begin_group(true);
            writer.append(&record(id, &[b'x'; 500]));
            writer.commit(true).unwrap();
        }
        found.next_id
    }

    /// The IDs of all messages, in the order of the segments' use.
    fn ids(place: &Place) -> Vec<u64> {
        let files = ReadOnly::open(&place.0).unwrap();
        let mut headers = read_headers(&files, files.segment_bytes()).unwrap().map(|header| header);
        let (mut ids, mut window) = (Vec::new(), [0; JOURNAL_READ_BYTES]);
        let mut order: Vec<usize> =
            (0..JOURNAL_SEGMENTS).filter(|segment| headers[*segment].is_some()).collect();
        order.sort_by_key(|segment| headers[*segment].unwrap().sequence);
        for segment in order {
            let key = headers[segment].take().unwrap().key;
            let mut scan = Scan::new(segment, key, FIRST_OFFSET..SEGMENT_BYTES, &mut window);
            while let Step::Record(record) = scan.next(&files).unwrap() {
                ids.push(record.id);
            }
        }
        ids
    }

    #[test]
    fn what_was_written_is_there_after_a_restart_and_the_oldest_goes_first() {
        let place = Place::new("restart");
        assert_eq!(write(&place, 1..11), 1);
        assert_eq!(ids(&place), (1..11).collect::<Vec<_>>());
        assert_eq!(write(&place, 11..5_001), 11);
        let kept = ids(&place);
        assert!(kept.len() > 1_000 && kept.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{kept:?}");
        assert_eq!(kept.last(), Some(&5_000));
        let lengths = NAMES.map(|name| std::fs::metadata(place.0.join(name)).unwrap().len());
        assert_eq!(lengths, [u64::from(SEGMENT_BYTES); JOURNAL_SEGMENTS]);
        assert_eq!(std::fs::read_dir(&place.0).unwrap().count(), JOURNAL_SEGMENTS);
    }

    #[test]
    fn a_second_one_is_told_who_writes_and_another_size_is_refused() {
        let place = Place::new("second");
        let files = Files::open(&place.0, SEGMENT_BYTES).unwrap();
        let second = Files::open(&place.0, SEGMENT_BYTES).err();
        assert_eq!(second, Some(Error::InUse(Some(std::process::id()))));
        drop(files);
        write(&place, 1..2);
        for other in [SEGMENT_BYTES / 2, SEGMENT_BYTES * 2] {
            let refused = Files::open(&place.0, other).err();
            assert_eq!(refused, Some(other_size(SEGMENT_BYTES, other)));
        }
    }

    fn other_size(is: u32, asked: u32) -> Error {
        let all = |segment_bytes: u32| u64::from(segment_bytes) * JOURNAL_SEGMENTS as u64;
        Error::OtherSize { is: all(is), asked: all(asked) }
    }

    #[test]
    fn another_size_is_taken_where_the_files_hold_nothing() {
        let place = Place::new("nothing");
        for bytes in [SEGMENT_BYTES, 2 * SEGMENT_BYTES, SEGMENT_BYTES / 2, SEGMENT_BYTES] {
            drop(Files::open(&place.0, bytes).unwrap());
            let lengths = NAMES.map(|name| std::fs::metadata(place.0.join(name)).unwrap().len());
            assert_eq!(lengths, [u64::from(bytes); JOURNAL_SEGMENTS]);
        }
        // One whose header alone is gone holds something.
        write(&place, 1..2);
        let file = std::fs::OpenOptions::new().write(true).open(place.0.join(NAMES[0])).unwrap();
        nix::sys::uio::pwrite(&file, &[0; SEGMENT_HEADER_BYTES], 0).unwrap();
        let refused = Files::open(&place.0, SEGMENT_BYTES / 2).err();
        assert_eq!(refused, Some(other_size(SEGMENT_BYTES, SEGMENT_BYTES / 2)));
    }

    #[test]
    fn what_a_start_made_in_vain_is_removed_and_what_holds_messages_is_not() {
        let place = Place::new("vain");
        // A directory in place of the last file.
        let in_the_way = place.0.join(NAMES[7]);
        std::fs::create_dir_all(&in_the_way).unwrap();
        assert!(Files::open(&place.0, SEGMENT_BYTES).is_err());
        assert_eq!(std::fs::read_dir(&place.0).unwrap().count(), 1);
        std::fs::remove_dir(&in_the_way).unwrap();
        write(&place, 1..11);
        let short = std::fs::OpenOptions::new().write(true).open(place.0.join(NAMES[6])).unwrap();
        short.set_len(5_000).unwrap();
        std::fs::remove_file(&in_the_way).unwrap();
        let directory = std::fs::File::open(&place.0).unwrap().into();
        let mut former = try_array(|segment| Former::open(&directory, segment)).unwrap();
        former.iter_mut().enumerate().for_each(|(segment, former)| {
            former.bring_to(&directory, segment, SEGMENT_BYTES, None).unwrap();
            former.restore(&directory, segment);
        });
        assert_eq!(short.metadata().unwrap().len(), 5_000);
        assert!(!in_the_way.exists());
        assert_eq!(ids(&place), (1..11).collect::<Vec<_>>());
    }

    #[test]
    fn a_disk_without_room_is_told_before_anything_is_made() {
        let place = Place::new("room");
        std::fs::create_dir(&place.0).unwrap();
        let directory = std::fs::File::open(&place.0).unwrap().into();
        assert_eq!(ask_for_room(&directory, 1), Ok(()));
        let refused = ask_for_room(&directory, u64::MAX);
        assert!(matches!(refused, Err(Error::NoRoom { needed: u64::MAX, available }) if available < 1 << 60));
    }

    #[test]
    fn a_file_that_is_gone_may_have_been_the_newest() {
        let place = Place::new("gone");
        write(&place, 1..400);
        std::fs::remove_file(place.0.join(NAMES[2])).unwrap();
        let files = Files::open(&place.0, SEGMENT_BYTES).unwrap();
        let mut buffers = Buffers::new();
        let (_, found) = Writer::open(files, SEGMENT_BYTES, &mut buffers).unwrap();
        assert!(
            found.segments == 2 && found.next_id >= 400 && found.skipped > 0 && found.lost_segments == 1,
            "{found:?}"
        );
    }

    #[test]
    fn what_is_no_file_is_told_and_waited_for_by_nobody() {
        let place = Place::new("no-file");
        std::fs::create_dir(&place.0).unwrap();
        let path = place.0.join(NAMES[3]);
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        assert_eq!(ReadOnly::open(&place.0).err(), Some(Error::NotAFile(NAMES[3])));
        assert_eq!(Files::open(&place.0, SEGMENT_BYTES).err(), Some(Error::NotAFile(NAMES[3])));
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert_eq!(ReadOnly::open(&place.0).err(), Some(Error::NotAFile(NAMES[3])));
        assert_eq!(Files::open(&place.0, SEGMENT_BYTES).err(), Some(Error::NotAFile(NAMES[3])));
    }

    #[test]
    fn a_signal_is_no_failure_of_the_disk() {
        let mut answers = [Err(Errno::EINTR), Err(Errno::EINTR), Ok(7), Err(Errno::EIO)].into_iter();
        let mut call = || answers.next().unwrap();
        assert_eq!(uninterrupted(&mut call), Ok(7));
        assert_eq!(uninterrupted(&mut call), Err(Errno::EIO));
        assert_eq!(uninterrupted(|| Err::<(), _>(Errno::EINTR)), Err(Errno::EINTR), "not for ever");
    }

    #[test]
    fn a_start_that_was_cut_off_is_finished() {
        let place = Place::new("cut");
        std::fs::create_dir(&place.0).unwrap();
        std::fs::write(place.0.join(NAMES[0]), [0; 5_000]).unwrap();
        std::fs::write(place.0.join(NAMES[1]), []).unwrap();
        assert_eq!(write(&place, 1..3), 1);
        assert_eq!(ids(&place), [1, 2]);
    }

    #[test]
    fn a_segment_that_was_cut_off_loses_what_is_behind_and_no_id_is_given_again() {
        let place = Place::new("short");
        write(&place, 1..11);
        let file = std::fs::OpenOptions::new().write(true).open(place.0.join(NAMES[0])).unwrap();
        file.set_len(FIRST_OFFSET as u64 + 3_000).unwrap();
        // A start that ends before its first message forgets nothing.
        drop(Files::open(&place.0, SEGMENT_BYTES).unwrap());
        assert_eq!(std::fs::metadata(place.0.join(NAMES[0])).unwrap().len(), u64::from(SEGMENT_BYTES));
        let next_id = write(&place, 5_000..5_001);
        assert!((11..5_000).contains(&next_id), "{next_id}");
        assert_eq!(ids(&place), [1, 2, 3, 4, 5, 5_000]);
        // And none are skipped anew.
        assert_eq!(write(&place, 5_001..5_001), 5_001);
    }

    /// What the next start finds after `harm` was done to the newest file, of which messages up to 400 were written.
    fn found_after(name: &str, harm: impl Fn(&std::fs::File)) -> Recovery {
        let place = Place::new(name);
        write(&place, 1..401);
        let newest = std::fs::OpenOptions::new().write(true).open(place.0.join(NAMES[2])).unwrap();
        harm(&newest);
        let open = || {
            let files = Files::open(&place.0, SEGMENT_BYTES).unwrap();
            Writer::open(files, SEGMENT_BYTES, &mut Buffers::new()).unwrap().1
        };
        let found = open();
        assert!(found.next_id > 400, "{name}: {found:?}");
        assert_eq!(open().next_id, found.next_id, "{name}: no more are skipped anew");
        found
    }

    #[test]
    fn newest_file_that_somebody_cut_short_or_emptied_costs_no_id() {
        let whole = found_after("whole", |_| {});
        assert_eq!((whole.next_id, whole.skipped, whole.lost_segments), (401, 0, 0));
        for length in [0, 1, 100, 1_050, 1_100, 4_000] {
            let found = found_after("emptied", |file| file.set_len(length).unwrap());
            let lost = u64::from(length < 1_024 + HEADER_BYTES as u64);
            assert_eq!(found.lost_segments, lost, "{length} bytes: {found:?}");
            assert!(found.skipped > 0, "{length} bytes: {found:?}");
        }
        let last_page = u64::from(SEGMENT_BYTES) - PAGE_BYTES as u64;
        for length in [4_096, 4_100, 10_000, last_page - 5_000, last_page - 1, last_page, last_page + 31] {
            let found = found_after("cut", |file| file.set_len(length).unwrap());
            assert!(found.skipped > 0 && found.lost_segments == 0, "{length} bytes: {found:?}");
        }
        // Nothing but zeroes was there.
        let found = found_after("padding", |file| file.set_len(last_page + 32).unwrap());
        assert_eq!(found, whole);
    }

    #[test]
    fn file_of_another_length_among_those_that_are_used_is_told_and_nothing_changes() {
        let place = Place::new("other-length");
        write(&place, 1..11);
        for length in [SEGMENT_BYTES + 1, 2 * SEGMENT_BYTES] {
            std::fs::File::create(place.0.join(NAMES[3])).unwrap().set_len(length.into()).unwrap();
            assert_eq!(Files::open(&place.0, SEGMENT_BYTES).err(), Some(Error::Foreign(NAMES[3])));
            assert_eq!(Files::open(&place.0, length).err(), Some(other_size(SEGMENT_BYTES, length)));
            let losses = ReadOnly::open(&place.0).unwrap().losses().unwrap();
            assert_eq!(losses, core::array::from_fn(|segment| (segment == 3).then_some(Loss::All)));
            assert_eq!(ids(&place), (1..11).collect::<Vec<_>>());
        }
        std::fs::remove_file(place.0.join(NAMES[3])).unwrap();
        // What is behind the end of one that is used stays, and costs nothing.
        let used = std::fs::OpenOptions::new().append(true).open(place.0.join(NAMES[0])).unwrap();
        std::io::Write::write_all(&mut &used, b"of somebody else").unwrap();
        let length = used.metadata().unwrap().len();
        assert!(write(&place, 20_000..20_001) < 20_000);
        assert_eq!(used.metadata().unwrap().len(), length);
        assert_eq!(ids(&place), (1..11).chain([20_000]).collect::<Vec<_>>());
    }

    /// Writes messages behind what is there, and returns their IDs and what was recovered before.
    fn go_on(place: &Place, count: u64) -> (core::ops::Range<u64>, Recovery) {
        let files = Files::open(&place.0, SEGMENT_BYTES).unwrap();
        let mut buffers = Buffers::new();
        let (mut writer, found) = Writer::open(files, SEGMENT_BYTES, &mut buffers).unwrap();
        for id in found.next_id..found.next_id + count {
            writer.begin_group(true);
            writer.append(&record(id, &[b'x'; 200]));
            writer.commit(true).unwrap();
        }
        writer.close().unwrap();
        (found.next_id..found.next_id + count, found)
    }

    fn newest_file(place: &Place) -> PathBuf {
        let files = ReadOnly::open(&place.0).unwrap();
        let headers = read_headers(&files, files.segment_bytes()).unwrap();
        let newest =
            (0..JOURNAL_SEGMENTS).max_by_key(|segment| headers[*segment].map(|header| header.sequence));
        place.0.join(NAMES[newest.unwrap()])
    }

    #[test]
    fn no_id_is_given_twice_if_the_newest_file_is_lost_again_and_again() {
        let empty = |path: &Path| std::fs::write(path, []).unwrap();
        let behead = |path: &Path| {
            let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
            nix::sys::uio::pwrite(&file, &[0; SEGMENT_HEADER_BYTES], 0).unwrap();
        };
        for (name, harm) in [
            ("again-removed", None),
            ("again-emptied", Some(&empty as &dyn Fn(&Path))),
            ("again-headless", Some(&behead)),
        ] {
            let place = Place::new(name);
            write(&place, 1..401);
            let mut next = 401;
            for round in 0..4 {
                let newest = newest_file(&place);
                harm.map_or_else(|| std::fs::remove_file(&newest).unwrap(), |harm| harm(&newest));
                let (given, found) = go_on(&place, 3);
                assert!(
                    given.start >= next && found.lost_segments == 1,
                    "{name} {round}: {given:?} {found:?}"
                );
                next = given.end;
            }
        }
    }

    #[test]
    fn copy_of_a_file_over_another_is_told_and_costs_nothing_that_comes_later() {
        for (from, to) in
            (0..4).flat_map(|from| (0..5).map(move |to| (from, to))).filter(|(from, to)| from != to)
        {
            let place = Place::new(&format!("copy-{from}-{to}"));
            write(&place, 1..801);
            std::fs::copy(place.0.join(NAMES[from]), place.0.join(NAMES[to])).unwrap();
            let before = ids(&place);
            assert!(
                before.windows(2).all(|pair| pair[0] < pair[1]),
                "{from} over {to}: nothing is read twice"
            );
            let (given, found) = go_on(&place, 50);
            assert!(given.start > 800 && found.unreadable_segments == 1, "{from} over {to}: {found:?}");
            let after = ids(&place);
            assert!(
                after.starts_with(&before) && after[before.len()..].iter().copied().eq(given.clone()),
                "{from} over {to}"
            );
            assert!(go_on(&place, 1).0.start >= given.end);
        }
    }

    #[test]
    fn young_journal_whose_only_used_file_is_gone_gives_no_id_again() {
        for (name, length) in [("young-gone", None), ("young-emptied", Some(0)), ("young-cut", Some(500))] {
            let place = Place::new(name);
            write(&place, 1..11);
            let used = place.0.join(NAMES[0]);
            match length {
                None => std::fs::remove_file(&used).unwrap(),
                Some(length) => std::fs::File::create(&used).unwrap().set_len(length).unwrap(),
            }
            let losses = ReadOnly::open(&place.0).unwrap().losses().unwrap();
            assert_eq!(losses[0], Some(Loss::All), "{name}");
            let files = Files::open(&place.0, SEGMENT_BYTES).unwrap();
            let mut buffers = Buffers::new();
            let (_, found) = Writer::open(files, SEGMENT_BYTES, &mut buffers).unwrap();
            assert!(found.next_id > 10 && found.lost_segments == 1 && !found.is_new(), "{name}: {found:?}");
        }
    }

    #[test]
    fn a_segment_that_vanishes_is_made_again() {
        let place = Place::new("one");
        let files = Files::open(&place.0, SEGMENT_BYTES).unwrap();
        let mut buffers = Buffers::new();
        let (mut writer, _) = Writer::open(files, SEGMENT_BYTES, &mut buffers).unwrap();
        std::fs::remove_file(place.0.join(NAMES[0])).unwrap();
        writer.begin_group(true);
        writer.append(&record(1, b"lost"));
        assert_eq!(writer.commit(true), Err(Errno::ENOENT));
        writer.reopen_segment().unwrap();
        writer.begin_group(true);
        writer.append(&record(1, b"kept"));
        writer.commit(true).unwrap();
        drop(writer);
        assert_eq!(ids(&place), [1]);
    }

    #[test]
    fn a_directory_that_vanishes_is_noticed_and_made_again() {
        let place = Place::new("vanish");
        let files = Files::open(&place.0, SEGMENT_BYTES).unwrap();
        let mut buffers = Buffers::new();
        let (mut writer, _) = Writer::open(files, SEGMENT_BYTES, &mut buffers).unwrap();
        std::fs::remove_dir_all(&place.0).unwrap();
        writer.begin_group(true);
        writer.append(&record(1, b"lost"));
        assert_eq!(writer.commit(true), Err(Errno::ENOENT));
        assert!(!writer.works());
        writer.reopen_segment().unwrap();
        writer.begin_group(true);
        writer.append(&record(1, b"kept"));
        writer.commit(true).unwrap();
        drop(writer);
        assert_eq!(ids(&place), [1]);
    }

    #[test]
    fn a_disk_that_holds_another_journal_gets_nothing() {
        let place = Place::new("foreign");
        let files = Files::open(&place.0, SEGMENT_BYTES).unwrap();
        let mut buffers = Buffers::new();
        let (mut writer, _) = Writer::open(files, SEGMENT_BYTES, &mut buffers).unwrap();
        std::fs::remove_dir_all(&place.0).unwrap();
        assert_eq!(write(&place, 1..4), 1);
        writer.begin_group(true);
        writer.append(&record(1, b"lost"));
        assert_eq!(writer.commit(true), Err(Errno::ENOENT));
        for _ in 0..3 {
            assert_eq!(writer.reopen_segment(), Err(Errno::EMEDIUMTYPE));
            assert!(!writer.works());
            writer.begin_group(true);
            writer.append(&record(1, b"lost"));
            assert!(writer.commit(true).is_err());
            assert!(!writer.works());
        }
        // Those who read must open them anew as well, though nothing could be begun.
        assert_eq!(writer.reopenings(), 3);
        assert_eq!(ids(&place), [1, 2, 3]);
    }
}
