//! How the acceptor learns that a place is free.

use crate::hub::workers::wakeups::Waker;
use crate::sync::atomic::{AtomicBool, Ordering};
use std::os::fd::{AsFd, BorrowedFd};

/// Wakes the acceptor, or whichever thread waits in its stead, when a place becomes free, if it waits for one.
pub struct Vacancies {
    waker: Waker,
    is_awaited: AtomicBool,
}

impl Vacancies {
    /// No thread waits for a place.
    ///
    /// # Errors
    /// When there are not enough descriptors.
    pub fn new() -> nix::Result<Self> {
        Ok(Self { waker: Waker::new()?, is_awaited: AtomicBool::new(false) })
    }

    /// Whether a thread waits for a place from now on. It must look for one *after* this: a place that became free before wakes it not.
    pub fn await_one(&self, is_awaited: bool) {
        self.is_awaited.store(is_awaited, Ordering::Release);
    }

    /// Tells that a place is free, or that a client whose eviction was requested stays.
    pub fn tell(&self) {
        if self.is_awaited.load(Ordering::Acquire) {
            self.waker.wake();
        }
    }

    /// Makes the descriptor no longer readable.
    pub fn reset(&self) {
        self.waker.reset();
    }
}

impl AsFd for Vacancies {
    /// Becomes readable when there is something to look at.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }
}
