//! A directory of messages that wait until a server takes them, with one file for each. Knows no server.
//!
//! The name of a file states the priority and the number of its message, and the message's state:
//! - `pP-NUMBER.kept`: the message was not sent;
//! - `pP-NUMBER.sent`: a process was about to send the message, and its outcome is not recorded. If that process is
//!   killed, the file stays;
//! - `new`: a process is writing this file; it is not a message yet.
//!
//! A file is renamed to `.kept` after its content is synced. The rename to `.sent` is synced before the message is
//! sent. There are two lock files: a process locks `lock` while it adds a message, and `sending` while it sends the
//! messages of the spool. `lock` also contains the number of the last message that was added, so that a process need
//! not read the directory for each message. After a loss of power, that number can be too low. This does no harm,
//! because each process reads the directory before it uses the number.

use super::name::{Name, State};
use crate::client::limits::TEXT_BYTES_MAX;
use crate::process_io::awaited_lock::AwaitedLock;
use crate::process_io::file_lock::{FileLock, try_lock};
use crate::process_io::regular_file::open_regular;
use crate::protocol::Priority;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// How many messages a spool holds at most: those of a week from a device that sends one a minute. Each takes a block
/// of the disk, so all of them take about 40 MB.
pub const KEPT_MAX: u64 = 10_000;

/// The modes of new directories and files: only the owner can read the texts.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

const BEING_WRITTEN: &str = "new";

/// The length of a number with its LF, in bytes.
const NUMBER_BYTES_MAX: u64 = 21;

/// A directory with messages.
#[derive(Debug)]
pub struct Spool {
    path: PathBuf,
    /// To sync the names of the files.
    directory: File,
    /// What this process knows about the numbers; `None`: it has not read the directory yet.
    numbers: Option<Numbers>,
}

/// What a process knows about the numbers in a spool.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    /// The last number that was used.
    last: u64,
    /// An upper bound of the messages up to that number: some may have been removed meanwhile.
    count_max: u64,
}

/// The messages in the directory.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Messages that were not sent, in the order of sending.
    pub kept: Vec<Name>,
    /// Messages that may have been sent and have no recorded outcome, in the order of sending.
    pub sent: Vec<Name>,
}

impl Contents {
    fn numbers(&self) -> Numbers {
        let last = self.kept.iter().chain(&self.sent).map(|name| name.number).max();
        Numbers { last: last.unwrap_or(0), count_max: (self.kept.len() + self.sent.len()) as u64 }
    }
}

impl Numbers {
    /// The same after other processes have used the numbers up to `last`; `None`: that number is too low.
    fn up_to(self, last: u64) -> Option<Self> {
        let more = last.checked_sub(self.last)?;
        Some(Self { last, count_max: self.count_max + more })
    }
}

impl Spool {
    /// Opens the directory at that path, and creates it if it does not exist.
    ///
    /// # Errors
    /// An I/O error.
    pub fn open(path: &Path) -> io::Result<Self> {
        match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
            Ok(()) => {
                // Otherwise the new directory itself may not survive a loss of power.
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        Ok(Self { path: path.to_path_buf(), directory: File::open(path)?, numbers: None })
    }

    /// The path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a message, and returns its name. After this returns, the message survives a loss of power. If another
    /// process is adding a message, this calls `wait`, which returns true when that descriptor is ready, or false to
    /// give up.
    ///
    /// # Errors
    /// The spool holds [`KEPT_MAX`] messages, `wait` gave up, or an I/O error. The message is then not added. Only if
    /// the last sync failed may it be back after a loss of power, because the removal of its file is not synced.
    pub fn keep(
        &mut self,
        priority: Priority,
        text: &[u8],
        wait: impl FnOnce(BorrowedFd<'_>) -> bool,
    ) -> io::Result<Name> {
        let mut lock = self.lock(wait)?;
        let name = Name::new(priority, self.take_number(priority, &mut lock)?);
        let new = self.path.join(BEING_WRITTEN);
        // This overwrites the file that a killed process may have left. No other process writes it while this one holds
        // the lock.
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(&new)?;
        let written = file.write_all(text).and_then(|()| file.sync_all());
        if let Err(error) = written {
            let _ = fs::remove_file(&new);
            return Err(error);
        }
        let kept = self.file(&name, State::Kept);
        fs::rename(new, &kept)?;
        self.directory.sync_all().inspect_err(|_| {
            // The caller reports that the message is not kept, so no later call may send it.
            let _ = fs::remove_file(kept);
        })?;
        Ok(name)
    }

    /// The lock for adding a message.
    fn lock(&self, wait: impl FnOnce(BorrowedFd<'_>) -> bool) -> io::Result<FileLock> {
        let path = self.path.join("lock");
        if let Some(lock) = try_lock(&path)? {
            return Ok(lock);
        }
        let awaited = AwaitedLock::begin(&path)?;
        if wait(awaited.as_fd()) {
            return awaited.take();
        }
        Err(io::Error::other(format!("another process holds {}", path.display())))
    }

    /// Returns the number for a new message of that priority. `lock` is the locked file, which this reads and writes.
    fn take_number(&mut self, priority: Priority, lock: &mut File) -> io::Result<u64> {
        let mut written = String::new();
        (&*lock).take(NUMBER_BYTES_MAX).read_to_string(&mut written)?;
        let counted = written.trim_end().parse().ok().and_then(|last| self.numbers?.up_to(last));
        let is_free = |numbers: &Numbers| {
            let name = Name::new(priority, numbers.last + 1);
            numbers.count_max < KEPT_MAX
                && !State::ALL.map(|state| self.file(&name, state).exists()).contains(&true)
        };
        // A process of an older version does not write the number to the lock file, so a name may be in use.
        let Numbers { last, count_max } = match counted.filter(is_free) {
            Some(numbers) => numbers,
            None => self.contents()?.numbers(),
        };
        if count_max >= KEPT_MAX {
            return Err(io::Error::other(format!("{KEPT_MAX} messages are kept already")));
        }
        let numbers = Numbers { last: last + 1, count_max: count_max + 1 };
        // The number is written before the message gets its name. If it never gets it, the number is skipped.
        lock.rewind()?;
        lock.write_all(format!("{:020}\n", numbers.last).as_bytes())?;
        self.numbers = Some(numbers);
        Ok(numbers.last)
    }

    /// Takes the lock for sending; `None`: another process holds it. Only the holder may send the messages of the
    /// spool.
    ///
    /// # Errors
    /// An I/O error.
    pub fn lock_sending(&self) -> io::Result<Option<FileLock>> {
        try_lock(&self.path.join("sending"))
    }

    /// The messages in the directory.
    ///
    /// # Errors
    /// An I/O error.
    pub fn contents(&self) -> io::Result<Contents> {
        let mut contents = Contents::default();
        for entry in fs::read_dir(&self.path)? {
            match entry?.file_name().to_str().and_then(Name::parse) {
                Some((name, State::Kept)) => contents.kept.push(name),
                Some((name, State::Sent)) => contents.sent.push(name),
                None => {}
            }
        }
        contents.kept.sort();
        contents.sent.sort();
        Ok(contents)
    }

    /// The file of a message in that state.
    pub fn file(&self, name: &Name, state: State) -> PathBuf {
        self.path.join(name.file(state))
    }

    /// The text of a message in that state.
    ///
    /// # Errors
    /// An I/O error.
    pub fn text(&self, name: &Name, state: State) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        open_regular(&self.file(name, state))?.take(TEXT_BYTES_MAX as u64 + 1).read_to_end(&mut text)?;
        Ok(text)
    }

    /// Records that a message is about to be sent. Call [`sync`](Self::sync) before sending it.
    ///
    /// # Errors
    /// An I/O error. The caller must then not send the message.
    pub fn begin(&self, name: &Name) -> io::Result<()> {
        self.rename(name, State::Kept, State::Sent)
    }

    /// Records that a message was not sent after all.
    ///
    /// # Errors
    /// An I/O error.
    pub fn give_back(&self, name: &Name) -> io::Result<()> {
        self.rename(name, State::Sent, State::Kept)
    }

    /// Removes a message that has its outcome.
    ///
    /// # Errors
    /// An I/O error.
    pub fn remove(&self, name: &Name) -> io::Result<()> {
        fs::remove_file(self.file(name, State::Sent))
    }

    /// Syncs the directory. After this returns, all earlier changes survive a loss of power.
    ///
    /// # Errors
    /// An I/O error.
    pub fn sync(&self) -> io::Result<()> {
        self.directory.sync_all()
    }

    fn rename(&self, name: &Name, from: State, to: State) -> io::Result<()> {
        fs::rename(self.file(name, from), self.file(name, to))
    }
}

#[cfg(test)]
mod tests;
