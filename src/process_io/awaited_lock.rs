//! A file lock as a descriptor to poll: a thread waits in flock(2), because poll(2) cannot wait for a lock.

use super::file_lock::{FileLock, lock};
use std::io::{self, PipeReader};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::thread::{self, JoinHandle};

/// A lock for which a thread waits. If this value is dropped, the thread still takes the lock, and then releases it at
/// once.
#[derive(Debug)]
pub struct AwaitedLock {
    /// The thread closes the other end when it ends.
    end: PipeReader,
    waiting: JoinHandle<io::Result<FileLock>>,
}

impl AwaitedLock {
    /// Starts a thread that waits for the lock of that file. Creates the file if it does not exist.
    ///
    /// # Errors
    /// No descriptor is left, or the thread cannot be started.
    pub fn begin(path: &Path) -> io::Result<Self> {
        let (end, end_of_thread) = io::pipe()?;
        let path = path.to_path_buf();
        let waiting = thread::Builder::new().spawn(move || {
            let lock = lock(&path);
            drop(end_of_thread);
            lock
        })?;
        Ok(Self { end, waiting })
    }

    /// Returns the lock. Blocks unless the descriptor is ready.
    ///
    /// # Errors
    /// The thread could not take the lock.
    ///
    /// # Panics
    /// If the thread has panicked.
    pub fn take(self) -> io::Result<FileLock> {
        self.waiting.join().expect("the thread only makes system calls")
    }
}

/// Ready when the thread has the lock, or has failed.
impl AsFd for AwaitedLock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process_io::file_lock::try_lock;
    use crate::process_io::ready::ready;
    use nix::poll::{PollFd, PollFlags};
    use std::time::{Duration, Instant};

    #[test]
    fn wait_for_a_held_lock_ends_when_it_is_released() {
        let path = std::env::temp_dir().join(format!("firstline-awaited-{}", std::process::id()));
        let held = try_lock(&path).unwrap().unwrap();
        let awaited = AwaitedLock::begin(&path).unwrap();
        let is_ready = |due| ready([Some(PollFd::new(awaited.as_fd(), PollFlags::POLLIN))], due) == [true];
        assert!(!is_ready(Some(Instant::now() + Duration::from_millis(50))));
        drop(held);
        assert!(is_ready(None));
        let taken = awaited.take().unwrap();
        assert!(try_lock(&path).unwrap().is_none());
        // Dropped before the thread has the lock.
        drop(AwaitedLock::begin(&path).unwrap());
        drop(taken);
        drop(lock(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
    }
}
