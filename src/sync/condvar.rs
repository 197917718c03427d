//! The condition variable: a number that every notification changes, and on which threads sleep.
//!
//! A waiter notes the number while it has the mutex, unlocks the mutex, and sleeps for as long as the number is still
//! that. A notifier changes the number, then wakes. So a notification between the unlock and the sleep shows in the
//! number. This is std's `sys/sync/condvar/futex.rs`, and a count of the waiters, so that to notify without any costs
//! one load.
//!
//! Why the count loses no wake-up: a waiter has looked at the state under the mutex, and counts itself before it
//! unlocks; a notifier has had the mutex for its change of the state. If the change
//! came first, it was seen, and there is no wait. If the look came first, so did the counting, and the
//! mutex orders both before the notifier's load: it finds the count above zero. No ordering stronger than
//! `Relaxed` is needed, for the mutex gives it.
//!
//! The one way to miss a notification is that exactly 2^32 of them (or a multiple) come between a thread's
//! unlock and its sleep, a few instructions later.

use core::time::Duration;
use std::time::Instant;

use super::atomic::{AtomicU32, Ordering::Relaxed};
use super::{Futex, MutexGuard};

/// Lets threads sleep until the state behind a [`Mutex`](super::Mutex) changes.
///
/// The contract:
/// - One condition variable goes with one mutex.
/// - What is waited for changes only under that mutex. Notify after the change, or before it in the same
///   critical section; with the mutex still held or not.
/// - A wait may end for no reason. Look at the state again, as the `_while` functions do.
/// - [`Condvar::notify_one`] is for waiters of which any will do. If they wait for different things, it may
///   wake one that can do nothing: use [`Condvar::notify_all`].
pub struct Condvar {
    /// Changed by every notification that has someone to wake; wraps around.
    notified: Futex,
    /// Threads between the counting and the end of their sleep.
    waiters: AtomicU32,
}

impl Condvar {
    /// A condition variable on which no one waits. All its bytes are zero.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self { notified: Futex::new(0), waiters: AtomicU32::new(0) }
    }

    /// A condition variable on which no one waits.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self { notified: Futex::new(0), waiters: AtomicU32::new(0) }
    }

    /// Gives up the mutex, sleeps until notified, and takes the mutex again. May return for no reason.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.sleep(guard, None).0
    }

    /// As [`Condvar::wait`], for no longer than `timeout`; `true` if that was over first.
    ///
    /// To take the mutex again may take longer. A timeout above
    /// [`SLEEP_SECONDS_MAX`](crate::limits::SLEEP_SECONDS_MAX) is none.
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        self.sleep(guard, Some(timeout))
    }

    /// Waits while `condition` holds; does not wait if it does not hold now.
    pub fn wait_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        while condition(&mut guard) {
            guard = self.wait(guard);
        }
        guard
    }

    /// As [`Condvar::wait_while`], for no longer than `timeout` from now, however often it is woken; `true`
    /// if `condition` still holds then.
    pub fn wait_timeout_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        timeout: Duration,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> (MutexGuard<'a, T>, bool) {
        let start = Instant::now();
        let mut timed_out = false;
        while condition(&mut guard) {
            if timed_out {
                return (guard, true);
            }
            let left = timeout.saturating_sub(start.elapsed());
            (guard, timed_out) = self.wait_timeout(guard, left);
        }
        (guard, false)
    }

    /// Wakes one of the threads that wait, if there is one.
    pub fn notify_one(&self) {
        if self.announce() {
            self.notified.wake_one();
        }
    }

    /// Wakes all threads that wait.
    pub fn notify_all(&self) {
        if self.announce() {
            self.notified.wake_all();
        }
    }

    /// Gives up the mutex for a sleep; `true` if `timeout` ended it.
    fn sleep<'a, T>(&self, guard: MutexGuard<'a, T>, timeout: Option<Duration>) -> (MutexGuard<'a, T>, bool) {
        let mutex = MutexGuard::mutex(&guard);
        // Both before the unlock: see the top of this file.
        self.waiters.fetch_add(1, Relaxed);
        let seen = self.notified.word.load(Relaxed);
        drop(guard);
        let woken = self.notified.wait(seen, timeout);
        self.waiters.fetch_sub(1, Relaxed);
        (mutex.lock(), !woken)
    }

    /// Changes the number if anyone waits; says whether anyone does.
    fn announce(&self) -> bool {
        let someone = self.waiters.load(Relaxed) != 0;
        if someone {
            self.notified.word.fetch_add(1, Relaxed);
        }
        someone
    }
}

impl Default for Condvar {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::Mutex;

    const SHORT: Duration = Duration::from_millis(20);

    #[test]
    fn to_notify_no_one_changes_nothing() {
        let condvar = Condvar::new();
        condvar.notify_one();
        condvar.notify_all();
        assert_eq!(condvar.notified.word.load(Relaxed), 0);
    }

    #[test]
    fn no_one_is_counted_after_a_wait() {
        let (mutex, condvar) = (Mutex::new(()), Condvar::new());
        drop(condvar.wait_timeout(mutex.lock(), Duration::ZERO));
        assert_eq!(condvar.waiters.load(Relaxed), 0);
    }

    #[test]
    fn a_condition_that_does_not_hold_is_not_waited_for() {
        let (mutex, condvar) = (Mutex::new(7), Condvar::new());
        assert_eq!(*condvar.wait_while(mutex.lock(), |_| false), 7);
        let (guard, timed_out) = condvar.wait_timeout_while(mutex.lock(), Duration::MAX, |_| false);
        assert_eq!((*guard, timed_out), (7, false));
    }

    #[test]
    fn the_mutex_is_held_again_after_a_wait() {
        let (mutex, condvar) = (Mutex::new(()), Condvar::new());
        let (guard, timed_out) = condvar.wait_timeout_while(mutex.lock(), SHORT, |_| true);
        assert!(timed_out);
        assert!(mutex.try_lock().is_none());
        drop(guard);
        assert!(mutex.try_lock().is_some());
    }

    #[test]
    fn a_change_at_the_last_moment_is_no_timeout() {
        let (mutex, condvar) = (Mutex::new(()), Condvar::new());
        let mut looks = 0;
        let (_, timed_out) = condvar.wait_timeout_while(mutex.lock(), Duration::ZERO, |_| {
            looks += 1;
            looks == 1
        });
        assert_eq!((looks, timed_out), (2, false));
    }

    #[test]
    #[expect(unsafe_code, reason = "it looks at bytes")]
    fn a_new_one_is_zero_bytes() {
        // SAFETY: two words have no padding, and any bytes are a valid array of bytes.
        let bytes: [u8; 8] = unsafe { core::mem::transmute(Condvar::new()) };
        assert_eq!(bytes, [0; 8]);
    }
}
