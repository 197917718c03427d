//! The directory of a journal: creates it, locks it, and checks that its disk has enough free space.

use super::error::Error;
use super::file_io::uninterrupted;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, open};
use nix::sys::stat::{FileStat, Mode, fstat, stat};
use nix::unistd::{fsync, mkdir};
use rustix::fs::fstatvfs;
use std::os::fd::OwnedFd;
use std::path::Path;

/// The flags to open a directory with.
pub(super) const DIRECTORY_FLAGS: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// Creates the directory if it does not exist, and returns whether it created it.
pub(super) fn create_if_missing(directory: &Path) -> Result<bool, Error> {
    match mkdir(directory, Mode::S_IRWXU) {
        Ok(()) => sync_parent(directory).map(|()| true),
        Err(Errno::EEXIST) => Ok(false),
        Err(errno) => Err(Error::System("the directory cannot be made", errno)),
    }
}

/// Syncs the parent of a directory that was just created, so that the directory survives a power cut.
fn sync_parent(directory: &Path) -> Result<(), Error> {
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
    let synced = open(parent.unwrap_or(Path::new(".")), DIRECTORY_FLAGS, Mode::empty())
        .and_then(|parent| uninterrupted(|| fsync(&parent)));
    synced.map_err(|errno| Error::System("the directory above it cannot be synced", errno))
}

/// Opens the directory, and takes the writer's lock.
pub(super) fn lock(directory: &Path) -> Result<Flock<OwnedFd>, Error> {
    let opened = open(directory, DIRECTORY_FLAGS, Mode::empty());
    let opened = opened.map_err(|errno| Error::System("the directory cannot be opened", errno))?;
    Flock::lock(opened, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EAGAIN => Error::InUse(None),
        _ => Error::System("the directory cannot be locked", errno),
    })
}

/// As [`lock`], but if another process holds the lock, the error names that process.
///
/// # Errors
/// Why it cannot.
pub(super) fn lock_or_name_holder(directory: &Path) -> Result<Flock<OwnedFd>, Error> {
    lock(directory).map_err(|error| match error {
        Error::InUse(_) => Error::InUse(lock_holder(directory)),
        other => other,
    })
}

/// The process that holds the lock of a directory, according to /proc/locks: see proc_locks(5).
fn lock_holder(directory: &Path) -> Option<u32> {
    let inode = stat(directory).ok()?.st_ino.to_string();
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let line = locks.lines().find(|line| {
        let file = line.split_whitespace().nth(5).and_then(|file| file.rsplit(':').next());
        line.contains("FLOCK") && file == Some(&inode)
    });
    line?.split_whitespace().nth(4)?.parse().ok()
}

/// Whether the path still leads to that open directory.
pub(super) fn is_in_place(path: &Path, directory: &OwnedFd) -> bool {
    let same = |one: FileStat, other: FileStat| (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino);
    stat(path).ok().zip(fstat(directory).ok()).is_some_and(|(one, other)| same(one, other))
}

/// Checks that the disk has this many free bytes. The space that the file system reserves for the superuser does not
/// count: a disk without any free space harms other programs.
///
/// # Errors
/// [`Error::NoRoom`].
pub(super) fn check_free_space(directory: &OwnedFd, needed: u64) -> Result<(), Error> {
    let Ok(disk) = fstatvfs(directory) else { return Ok(()) };
    let available = disk.f_bavail.saturating_mul(disk.f_frsize);
    // Some file systems do not report their size.
    if disk.f_blocks > 0 && available < needed {
        return Err(Error::NoRoom { needed, available });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disk_without_enough_space_is_refused() {
        let directory = std::fs::File::open(std::env::temp_dir()).unwrap().into();
        assert_eq!(check_free_space(&directory, 1), Ok(()));
        let refused = check_free_space(&directory, u64::MAX);
        assert!(matches!(refused, Err(Error::NoRoom { needed: u64::MAX, available }) if available < 1 << 60));
    }
}
