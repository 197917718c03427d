//! The cursor file: two slots, written alternately, each in its own page. A torn write leaves the other slot whole.
//!
//! The file has its full length from the start, so a full disk does not prevent writes. The bridge locks it, because a
//! second bridge with the same file would move the cursors of the first. A bridge creates the file under another name,
//! `FILE.new`, and locks that, too. So if two bridges start at the same time, one creates the file and the other exits.

use super::cursors::{Cursors, SLOT_BYTES};
use crate::process_io::file_lock::{FileLock, try_lock_open};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use std::ffi::OsString;
use std::fmt;
use std::fs::{File, OpenOptions, create_dir_all, remove_file, rename, symlink_metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The distance between the slots: a power cut during the write of one slot does not damage the other slot's page.
const PAGE_BYTES: u64 = 4096;

/// The storage of the slots.
pub trait Storage {
    /// Reads at that offset.
    ///
    /// # Errors
    /// The system's.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes at that offset, and waits until it is on the disk.
    ///
    /// # Errors
    /// The system's. Then any part of the bytes may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
}

impl Storage for FileLock {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)?;
        self.sync_data()
    }
}

/// Why the file cannot be used.
#[derive(Debug)]
pub enum Unusable {
    /// A system call failed.
    System(PathBuf, io::Error),
    /// Another process uses it.
    InUse(PathBuf),
    /// Neither slot is whole.
    Damaged(PathBuf),
    /// It is a symbolic link.
    Link(PathBuf),
    /// It is a device, a FIFO or a directory.
    NoFile(PathBuf),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(path, error) => {
                write!(f, "--state {}: {}", path.display(), crate::client::shown::described(error))
            }
            Self::InUse(path) => {
                write!(f, "--state {}: another bridge uses it; give each its own --state", path.display())
            }
            Self::NoFile(path) => {
                write!(f, "--state {}: it is not a regular file; give the path of one", path.display())
            }
            Self::Link(path) => {
                write!(
                    f,
                    "--state {}: it is a symbolic link; give the path of the file itself",
                    path.display()
                )
            }
            Self::Damaged(path) => write!(
                f,
                "--state {}: it holds no whole cursor; move it away, and everything that the journal holds is sent once more",
                path.display()
            ),
        }
    }
}

/// The two slots.
#[derive(Debug)]
pub struct Slots<S> {
    storage: S,
    /// The generation of the slot that holds `saved`, or 0 if none does.
    generation: u64,
    saved: Option<Cursors>,
}

/// The file of a bridge.
pub type CursorFile = Slots<FileLock>;

impl CursorFile {
    /// Opens the file. Returns `None` if there is no file: [`create`](Self::create) makes it once there are cursors to
    /// save.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn open(path: &Path) -> Result<Option<Self>, Unusable> {
        let file = match options().open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unopened(path, error)),
        };
        if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            return Err(Unusable::NoFile(path.into()));
        }
        let slots = Slots::read(lock(file, path)?).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Unusable::Damaged(path.into()),
            _ => Unusable::System(path.into(), error),
        })?;
        if slots.saved.is_none() { Err(Unusable::Damaged(path.into())) } else { Ok(Some(slots)) }
    }

    /// Creates the file with these cursors, and the directory if it is missing. The file gets its name only when it is
    /// complete.
    ///
    /// # Errors
    /// Why it cannot be made.
    pub fn create(path: &Path, cursors: Cursors) -> Result<Self, Unusable> {
        let system = |error| Unusable::System(path.into(), error);
        let directory = directory_of(path);
        create_dir_all(directory).map_err(system)?;
        let new = with_suffix(path, ".new");
        let file = make_locked(&new, path)?;
        if symlink_metadata(path).is_ok() {
            // Another bridge has created it meanwhile. Only the owner of the lock removes the new file.
            let _ = remove_file(&new);
            return Err(Unusable::InUse(path.into()));
        }
        file.write_all_at(&[0; 2 * PAGE_BYTES as usize], 0).map_err(system)?;
        let mut slots = Slots { storage: file, generation: 0, saved: None };
        slots.save(cursors).map_err(system)?;
        slots.storage.sync_all().map_err(system)?;
        rename(&new, path).map_err(system)?;
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(system)?;
        Ok(slots)
    }
}

/// The directory of a file.
fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A path with a suffix after its name.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(OFlag::O_NOFOLLOW.bits());
    options
}

fn unopened(path: &Path, error: io::Error) -> Unusable {
    if error.raw_os_error() == Some(Errno::ELOOP as i32) {
        Unusable::Link(path.into())
    } else {
        Unusable::System(path.into(), error)
    }
}

/// Creates the file that will be renamed to `path`, and locks it. If a killed bridge has left such a file, this
/// replaces it.
fn make_locked(new: &Path, path: &Path) -> Result<FileLock, Unusable> {
    let system = |error| Unusable::System(path.into(), error);
    match options().open(new) {
        Ok(left) => {
            // If this gets the lock, no other bridge uses the file.
            let left = lock_at(left, new, path)?;
            remove_file(new).map_err(system)?;
            drop(left);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(unopened(new, error)),
    }
    match options().create_new(true).open(new) {
        Ok(file) => lock_at(file, new, path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(Unusable::InUse(path.into())),
        Err(error) => Err(system(error)),
    }
}

/// Locks a file that was opened at `at`. If another file is there now, another bridge was faster.
fn lock_at(file: File, at: &Path, path: &Path) -> Result<FileLock, Unusable> {
    let file = lock(file, path)?;
    let is_same = |there: std::fs::Metadata| {
        file.metadata().is_ok_and(|own| (own.dev(), own.ino()) == (there.dev(), there.ino()))
    };
    if symlink_metadata(at).is_ok_and(is_same) { Ok(file) } else { Err(Unusable::InUse(path.into())) }
}

fn lock(file: File, path: &Path) -> Result<FileLock, Unusable> {
    match try_lock_open(file) {
        Ok(Some(lock)) => Ok(lock),
        Ok(None) => Err(Unusable::InUse(path.into())),
        Err(error) => Err(Unusable::System(path.into(), error)),
    }
}

impl<S: Storage> Slots<S> {
    /// Reads both slots.
    ///
    /// # Errors
    /// The system's.
    pub fn read(storage: S) -> io::Result<Self> {
        let (mut generation, mut saved) = (0, None);
        for slot in 0..2 {
            let mut bytes = [0; SLOT_BYTES];
            storage.read_at(&mut bytes, slot * PAGE_BYTES)?;
            if let Some((number, cursors)) =
                Cursors::from_slot(&bytes).filter(|(number, _)| *number > generation)
            {
                (generation, saved) = (number, Some(cursors));
            }
        }
        Ok(Self { storage, generation, saved })
    }

    /// The cursors that were saved last.
    pub fn saved(&self) -> Option<Cursors> {
        self.saved
    }

    /// Saves these cursors in the older slot.
    ///
    /// # Errors
    /// The system's. Then the cursors that were saved before are still there.
    pub fn save(&mut self, cursors: Cursors) -> io::Result<()> {
        if self.saved == Some(cursors) {
            return Ok(());
        }
        let generation = self.generation.wrapping_add(1);
        self.storage.write_at(&cursors.to_slot(generation), generation % 2 * PAGE_BYTES)?;
        (self.generation, self.saved) = (generation, Some(cursors));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
