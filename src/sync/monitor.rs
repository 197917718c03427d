//! The monitor: a mutex and the condition variable on which threads wait for changes of its value.
//!
//! Source: C. A. R. Hoare, "Monitors: An Operating System Structuring Concept" (1974), with one condition, on which a
//! thread may also wait for a limited time.

use core::ops::{Deref, DerefMut};
use core::time::Duration;

use super::{Condvar, Mutex, MutexGuard};

/// A value that one thread at a time can use, and for whose changes the others can wait.
///
/// As with [`Mutex`], an unlocked monitor around a value of all zero bytes is all zero bytes itself.
pub struct Monitor<T> {
    mutex: Mutex<T>,
    changed: Condvar,
}

impl<T> Monitor<T> {
    /// An unlocked monitor around `value`, for which no thread waits.
    #[cfg(not(loom))]
    pub const fn new(value: T) -> Self {
        Self { mutex: Mutex::new(value), changed: Condvar::new() }
    }

    /// An unlocked monitor around `value`, for which no thread waits.
    #[cfg(loom)]
    pub fn new(value: T) -> Self {
        Self { mutex: Mutex::new(value), changed: Condvar::new() }
    }

    /// As [`Mutex::lock`].
    pub fn lock(&self) -> MonitorGuard<'_, T> {
        MonitorGuard { guard: self.mutex.lock(), changed: &self.changed }
    }

    /// Whether a thread waits.
    #[cfg(test)]
    pub fn has_waiters(&self) -> bool {
        self.changed.has_waiters()
    }
}

/// The lock of a [`Monitor`], with access to its value. Dropping it unlocks the monitor.
#[must_use = "the monitor is unlocked as soon as its guard is dropped"]
pub struct MonitorGuard<'a, T> {
    guard: MutexGuard<'a, T>,
    changed: &'a Condvar,
}

impl<T> MonitorGuard<'_, T> {
    /// As [`MutexGuard::unlocked`].
    pub fn unlocked<R>(monitor: &mut Self, work: impl FnOnce() -> R) -> R {
        MutexGuard::unlocked(&mut monitor.guard, work)
    }

    /// Wakes all threads that wait, so that they check their conditions again. Costs one load if none waits.
    pub fn notify_all(monitor: &Self) {
        monitor.changed.notify_all();
    }

    /// Releases the lock and waits while `condition` holds, for no longer than `timeout` from now, and takes the lock
    /// again; `true` if `condition` still holds then. See [`Condvar::wait_timeout`] for what `timeout` means.
    pub fn wait_timeout_while(
        monitor: &mut Self,
        timeout: Duration,
        condition: impl FnMut(&mut T) -> bool,
    ) -> bool {
        monitor.changed.sleep_while(&mut monitor.guard, timeout, condition)
    }
}

impl<T> Deref for MonitorGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for MonitorGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn waiting_thread_sees_the_change_and_has_the_lock() {
        let monitor = Monitor::new(0);
        std::thread::scope(|scope| {
            let mut guard = monitor.lock();
            scope.spawn(|| {
                let mut guard = monitor.lock();
                *guard += 1;
                MonitorGuard::notify_all(&guard);
            });
            let timed_out =
                MonitorGuard::wait_timeout_while(&mut guard, Duration::MAX, |number| *number == 0);
            assert_eq!((timed_out, *guard), (false, 1));
            assert!(monitor.mutex.try_lock().is_none());
        });
    }

    #[test]
    fn wait_without_a_change_ends_in_time_with_the_lock() {
        let monitor = Monitor::new(());
        let mut guard = monitor.lock();
        assert!(MonitorGuard::wait_timeout_while(&mut guard, Duration::from_millis(20), |()| true));
        assert!(monitor.mutex.try_lock().is_none());
        let is_free = MonitorGuard::unlocked(&mut guard, || monitor.mutex.try_lock().is_some());
        assert!(is_free && monitor.mutex.try_lock().is_none());
    }
}
