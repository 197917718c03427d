//! Reads and writes files in full, although a system call may read or write only a part.

use super::error::Error;
use crate::limits::JOURNAL_INTERRUPTIONS_MAX;
use nix::errno::Errno;
use nix::libc::off_t;
use nix::sys::stat::{FileStat, fstat};
use nix::sys::uio::{pread, pwrite};
use rustix::fs::{AtFlags, StatxFlags, statx};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Repeats a system call until no signal interrupts it, at most [`JOURNAL_INTERRUPTIONS_MAX`] times: a signal is no
/// failure of the disk.
pub(super) fn uninterrupted<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    for _ in 1..JOURNAL_INTERRUPTIONS_MAX {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
    call()
}

/// Fills `bytes` from `offset` on.
///
/// # Errors
/// The system's; `ENODATA` if the file ends too early.
pub(super) fn read_all(file: &OwnedFd, offset: u32, bytes: &mut [u8]) -> Result<(), Errno> {
    let mut count = 0;
    while count < bytes.len() {
        match uninterrupted(|| pread(file, &mut bytes[count..], file_offset(offset, count)))? {
            0 => return Err(Errno::ENODATA),
            read => count += read,
        }
    }
    Ok(())
}

/// Reads as much of `bytes` as the file has from `offset` on, and returns how much that is.
pub(super) fn read_up_to(file: &OwnedFd, offset: u32, bytes: &mut [u8]) -> Result<usize, Error> {
    let mut count = 0;
    loop {
        let read = uninterrupted(|| pread(file, &mut bytes[count..], file_offset(offset, count)))
            .map_err(|errno| Error::System("a segment cannot be read", errno))?;
        if read == 0 {
            return Ok(count);
        }
        count += read;
    }
}

/// Writes all of `bytes` at `offset`.
///
/// # Errors
/// The system's; `ENOSPC` if it writes nothing without an error.
pub(super) fn write_all(file: &OwnedFd, offset: u32, bytes: &[u8]) -> Result<(), Errno> {
    let mut count = 0;
    while count < bytes.len() {
        match uninterrupted(|| pwrite(file.as_fd(), &bytes[count..], file_offset(offset, count)))? {
            0 => return Err(Errno::ENOSPC),
            written => count += written,
        }
    }
    Ok(())
}

/// The offset of a byte in a file. A segment is short enough that it fits in 32 bits with a sign.
fn file_offset(start: u32, count: usize) -> off_t {
    (start as usize + count) as off_t
}

/// The length of a file, in bytes.
pub(super) fn length(file: &OwnedFd) -> Result<u64, Error> {
    Ok(status(file)?.st_size as u64)
}

/// The status of a file.
pub(super) fn status(file: &OwnedFd) -> Result<FileStat, Error> {
    fstat(file).map_err(|errno| Error::System("a segment cannot be examined", errno))
}

/// Identifies a file: the device's numbers, and its inode. An empty path is the descriptor itself. The call requests
/// no time stamps: see [`is_linked`].
pub(super) fn file_number(from: impl AsFd, path: &Path) -> Option<(u32, u32, u64)> {
    let status = statx(from, path, AtFlags::EMPTY_PATH, StatxFlags::INO).ok()?;
    Some((status.stx_dev_major, status.stx_dev_minor, status.stx_ino))
}

/// Whether a file is still in a directory. The call requests the link count alone. If it requested time stamps, the
/// next write would set exact ones (Linux 6.13, "multigrain timestamps"), and the next sync would write them too; that
/// makes the sync take 50 % longer.
pub(super) fn is_linked(file: &OwnedFd) -> bool {
    match statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::NLINK) {
        Ok(status) => status.stx_nlink > 0,
        // An old kernel, or a filter of system calls, does not support `statx`.
        Err(_) => fstat(file).is_ok_and(|status| status.st_nlink > 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signal_is_no_failure_of_the_disk() {
        let mut answers = [Err(Errno::EINTR), Err(Errno::EINTR), Ok(7), Err(Errno::EIO)].into_iter();
        let mut call = || answers.next().unwrap();
        assert_eq!(uninterrupted(&mut call), Ok(7));
        assert_eq!(uninterrupted(&mut call), Err(Errno::EIO));
        assert_eq!(uninterrupted(|| Err::<(), _>(Errno::EINTR)), Err(Errno::EINTR), "not for ever");
    }
}
