//! The condition variable: a number that every notification changes, and on which threads sleep.
//!
//! A waiter reads the number while it holds the mutex, unlocks the mutex, and sleeps while the number has not changed.
//! A notifier changes the number, then wakes. So a notification between the unlock and the sleep shows in the number.
//! This is std's `sys/sync/condvar/futex.rs`, with a count of the waiters in addition: a notification without waiters
//! costs one load.
//!
//! Why the count loses no wake-up: a waiter has checked the state under the mutex, and counts itself before it
//! unlocks. A notifier has held the mutex to change the state. If the change came first, the waiter has seen it, and
//! does not wait. If the check came first, so did the counting, and the mutex orders both before the notifier's load,
//! which reads a count above zero. `Relaxed` is enough, because the mutex gives the order.
//!
//! A thread can miss a notification only if exactly 2^32 notifications (or a multiple) come between its unlock and its
//! sleep, which are a few instructions apart.

use core::time::Duration;
use std::time::Instant;

use super::atomic::{AtomicU32, Ordering::Relaxed};
use super::{Futex, MutexGuard};

/// Lets threads sleep until the state behind a [`Mutex`](super::Mutex) changes.
///
/// The contract:
/// - A condition variable is used with one mutex only.
/// - The state changes only under that mutex. Notify after the change, or before it in the same critical section; with
///   or without the mutex still held.
/// - A wait may end spuriously. Check the state again, as the `_while` functions do.
/// - [`Condvar::notify_one`] is for waiters that are all able to handle the change. If they wait for different
///   changes, it may wake a waiter that cannot do anything: use [`Condvar::notify_all`].
pub struct Condvar {
    /// Every notification with a waiter changes it; it wraps around.
    notified: Futex,
    /// The number of threads between their counting and the end of their sleep.
    waiters: AtomicU32,
}

impl Condvar {
    /// A condition variable without waiters. All its bytes are zero.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self { notified: Futex::new(0), waiters: AtomicU32::new(0) }
    }

    /// A condition variable without waiters.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self { notified: Futex::new(0), waiters: AtomicU32::new(0) }
    }

    /// Releases the mutex, sleeps until a notification, and takes the mutex again. It may return spuriously.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.sleep(guard, None).0
    }

    /// As [`Condvar::wait`], for no longer than `timeout`; `true` if the time-out passed first.
    ///
    /// It may take longer to take the mutex again. A time-out above
    /// [`SLEEP_SECONDS_MAX`](crate::limits::SLEEP_SECONDS_MAX) counts as none.
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

    /// As [`Condvar::wait_while`], for no longer than `timeout` from now, however often the thread is woken; `true` if
    /// `condition` still holds then.
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

    /// Wakes one of the waiting threads, if there is one.
    pub fn notify_one(&self) {
        if self.announce() {
            self.notified.wake_one();
        }
    }

    /// Wakes all waiting threads.
    pub fn notify_all(&self) {
        if self.announce() {
            self.notified.wake_all();
        }
    }

    /// Releases the mutex and sleeps; `true` if `timeout` ended the sleep.
    fn sleep<'a, T>(&self, guard: MutexGuard<'a, T>, timeout: Option<Duration>) -> (MutexGuard<'a, T>, bool) {
        let mutex = MutexGuard::mutex(&guard);
        // Both before the unlock: see the documentation of this module.
        self.waiters.fetch_add(1, Relaxed);
        let seen = self.notified.word.load(Relaxed);
        drop(guard);
        let woken = self.notified.wait(seen, timeout);
        self.waiters.fetch_sub(1, Relaxed);
        (mutex.lock(), !woken)
    }

    /// Changes the number if a thread waits, and returns whether one does.
    fn announce(&self) -> bool {
        let has_waiters = self.waiters.load(Relaxed) != 0;
        if has_waiters {
            self.notified.word.fetch_add(1, Relaxed);
        }
        has_waiters
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
    fn notification_without_waiters_changes_nothing() {
        let condvar = Condvar::new();
        condvar.notify_one();
        condvar.notify_all();
        assert_eq!(condvar.notified.word.load(Relaxed), 0);
    }

    #[test]
    fn no_waiter_is_counted_after_a_wait() {
        let (mutex, condvar) = (Mutex::new(()), Condvar::new());
        drop(condvar.wait_timeout(mutex.lock(), Duration::ZERO));
        assert_eq!(condvar.waiters.load(Relaxed), 0);
    }

    #[test]
    fn condition_that_does_not_hold_causes_no_wait() {
        let (mutex, condvar) = (Mutex::new(7), Condvar::new());
        assert_eq!(*condvar.wait_while(mutex.lock(), |_| false), 7);
        let (guard, timed_out) = condvar.wait_timeout_while(mutex.lock(), Duration::MAX, |_| false);
        assert_eq!((*guard, timed_out), (7, false));
    }

    #[test]
    fn mutex_is_held_again_after_a_wait() {
        let (mutex, condvar) = (Mutex::new(()), Condvar::new());
        let (guard, timed_out) = condvar.wait_timeout_while(mutex.lock(), SHORT, |_| true);
        assert!(timed_out);
        assert!(mutex.try_lock().is_none());
        drop(guard);
        assert!(mutex.try_lock().is_some());
    }

    #[test]
    fn change_at_the_last_moment_is_no_timeout() {
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
    fn new_condvar_is_all_zero() {
        // SAFETY: two words have no padding, and any bytes are a valid array of bytes.
        let bytes: [u8; 8] = unsafe { core::mem::transmute(Condvar::new()) };
        assert_eq!(bytes, [0; 8]);
    }
}
