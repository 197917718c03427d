//! The futex for model checkers: a word, and a lock for what the kernel does in one atomic step.
//!
//! It replaces `futex.rs` with the features loom and shuttle. The interface is the same.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32 as Counter, Ordering};

use rustix::io::Errno;

use super::atomic::{AtomicU32, Ordering::Relaxed};
use super::checker::sync::{Condvar, Mutex, MutexGuard};
use super::checker::thread::yield_now;

/// The bit of the word that says that threads wait for the lock: `FUTEX_WAITERS`.
const WAITERS: u32 = 1 << 31;

/// The last ID that a thread has got.
static LAST_ID: Counter = Counter::new(0);

super::checker::thread_local! {
    static ID: u32 = LAST_ID.fetch_add(1, Ordering::Relaxed) % (WAITERS / 2) + 1;
}

/// The ID of this thread: not zero, and below 2^30 + 1.
pub fn thread_id() -> u32 {
    ID.with(|id| *id)
}

/// A 32-bit atomic word on which threads of a model can sleep.
pub struct Futex {
    /// The word. What it means is up to its owner.
    pub word: AtomicU32,
    /// The kernel's list of waiting threads. Its lock is held to compare the word and fall asleep, and to wake.
    waiters: Mutex<VecDeque<u32>>,
    sleepers: Condvar,
}

impl Futex {
    /// A futex whose word is `value`.
    #[cfg(shuttle)]
    pub const fn new(value: u32) -> Self {
        Self { word: AtomicU32::new(value), waiters: Mutex::new(VecDeque::new()), sleepers: Condvar::new() }
    }

    /// A futex whose word is `value`.
    #[cfg(loom)]
    pub fn new(value: u32) -> Self {
        Self { word: AtomicU32::new(value), waiters: Mutex::new(VecDeque::new()), sleepers: Condvar::new() }
    }

    /// Sleeps while the word is `expected`, until another thread wakes this one; `false` if `timeout` passed first.
    ///
    /// A model has no clock. A timed sleep ends as soon as other threads had a chance to run.
    pub fn wait(&self, expected: u32, timeout: Option<Duration>) -> bool {
        let waiters = self.waiters();
        if self.word.load(Relaxed) != expected {
            return true;
        }
        if timeout.is_some() {
            drop(waiters);
            yield_now();
            return false;
        }
        drop(self.sleepers.wait(waiters).unwrap());
        true
    }

    /// Wakes one of the threads that sleep here, if there is one.
    pub fn wake_one(&self) {
        let _gate = self.waiters();
        self.sleepers.notify_one();
    }

    /// Wakes all threads that sleep here.
    pub fn wake_all(&self) {
        let _gate = self.waiters();
        self.sleepers.notify_all();
    }

    /// Sets the word to this thread's ID. If it is the ID of another thread, sleeps until that thread passes the lock
    /// on.
    pub fn lock_inheriting(&self) {
        let mut waiting = self.waiters();
        let seen = self.word.fetch_update(Ordering::Acquire, Relaxed, |word| {
            Some(if word == 0 { thread_id() } else { word | WAITERS })
        });
        if seen == Ok(0) {
            return;
        }
        waiting.push_back(thread_id());
        while self.word.load(Ordering::Acquire) & !WAITERS != thread_id() {
            waiting = self.sleepers.wait(waiting).unwrap();
        }
    }

    /// Sets the word, which is this thread's ID, to the ID of the thread that has waited longest, or to 0.
    pub fn unlock_inheriting(&self) {
        let mut waiting = self.waiters();
        assert_eq!(self.word.load(Relaxed) & !WAITERS, thread_id());
        let next = waiting.pop_front().unwrap_or(0);
        let flag = if waiting.is_empty() { 0 } else { WAITERS };
        self.word.store(next | flag, Ordering::Release);
        self.sleepers.notify_all();
    }

    /// A model has priority inheritance.
    pub fn try_inheriting() -> Result<(), Errno> {
        Ok(())
    }

    fn waiters(&self) -> MutexGuard<'_, VecDeque<u32>> {
        self.waiters.lock().unwrap()
    }
}
