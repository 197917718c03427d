//! File locks between processes, with flock(2).

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The mode of a new lock file: only its owner can open it, and so take the lock.
const MODE: u32 = 0o600;

/// A lock that is released when this value is dropped or the process ends.
pub type FileLock = Flock<File>;

/// Locks that file, and creates it if it does not exist. Waits while another process holds the lock.
///
/// # Errors
/// The file cannot be opened or locked.
pub fn lock(path: &Path) -> io::Result<FileLock> {
    take(path, FlockArg::LockExclusive)
}

/// Like [`lock`], but does not wait; `None`: another process holds the lock.
///
/// # Errors
/// The file cannot be opened or locked.
pub fn try_lock(path: &Path) -> io::Result<Option<FileLock>> {
    unless_held(take(path, FlockArg::LockExclusiveNonblock))
}

/// Locks an open file without waiting; `None`: another process holds the lock.
///
/// # Errors
/// The file cannot be locked.
#[cfg(feature = "bridge")]
pub fn try_lock_open(file: File) -> io::Result<Option<FileLock>> {
    unless_held(take_open(file, FlockArg::LockExclusiveNonblock))
}

fn unless_held(lock: io::Result<FileLock>) -> io::Result<Option<FileLock>> {
    match lock {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        lock => lock.map(Some),
    }
}

fn take(path: &Path, how: FlockArg) -> io::Result<FileLock> {
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(MODE).open(path)?;
    take_open(file, how)
}

fn take_open(mut file: File, how: FlockArg) -> io::Result<FileLock> {
    loop {
        match Flock::lock(file, how) {
            Ok(lock) => return Ok(lock),
            Err((again, Errno::EINTR)) => file = again,
            Err((_, errno)) => return Err(errno.into()),
        }
    }
}
