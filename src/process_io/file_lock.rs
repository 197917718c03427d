//! Locks of files between processes, by flock(2).

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Only the owner may take the lock.
const MODE: u32 = 0o600;

/// A lock that ends when this value is dropped, or its process ends.
pub type FileLock = Flock<File>;

/// Takes the lock of that file, and makes the file if it does not exist. Waits while another process holds it.
///
/// # Errors
/// Those of the system.
pub fn lock(path: &Path) -> io::Result<FileLock> {
    take(path, FlockArg::LockExclusive)
}

/// The same, but does not wait; none: another process holds the lock.
///
/// # Errors
/// Those of the system.
pub fn try_lock(path: &Path) -> io::Result<Option<FileLock>> {
    unless_held(take(path, FlockArg::LockExclusiveNonblock))
}

/// Takes the lock of an open file, and does not wait; none: another process holds it.
///
/// # Errors
/// Those of the system.
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
