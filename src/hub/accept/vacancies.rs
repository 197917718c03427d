//! Notifies the acceptor that a place is free, or that one of its deadlines has become earlier.

use crate::hub::workers::wakeups::Waker;
use crate::sync::atomic::{AtomicBool, Ordering};
use std::os::fd::{AsFd, BorrowedFd};

/// Wakes the main thread: the acceptor, and in a shutdown the thread that drains the hub. It waits for a free place,
/// and for the next deadline of a task.
pub struct Vacancies {
    waker: Waker,
    is_awaited: AtomicBool,
}

impl Vacancies {
    /// Vacancies that no thread waits for yet.
    ///
    /// # Errors
    /// If there are not enough descriptors.
    pub fn new() -> nix::Result<Self> {
        Ok(Self { waker: Waker::new()?, is_awaited: AtomicBool::new(false) })
    }

    /// Sets whether a thread waits for a free place from now on. That thread must look for one *after* this call,
    /// because a place that became free before does not wake it.
    pub fn set_awaited(&self, is_awaited: bool) {
        self.is_awaited.store(is_awaited, Ordering::Release);
    }

    /// Wakes the waiting thread, if there is one: a place is free, or a client has cancelled its eviction.
    pub fn notify(&self) {
        if self.is_awaited.load(Ordering::Acquire) {
            self.waker.wake();
        }
    }

    /// Wakes the acceptor for another reason, whether or not it waits for a place: one of its deadlines has become
    /// earlier.
    pub fn wake(&self) {
        self.waker.wake();
    }

    /// Makes the descriptor no longer readable.
    pub fn reset(&self) {
        self.waker.reset();
    }
}

impl AsFd for Vacancies {
    /// Becomes readable when a waiting thread has to look again.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }
}
