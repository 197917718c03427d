//! The futex: a word on which a thread sleeps until another thread wakes it.
//!
//! This file owns the system call. It gives the word no meaning: its users do.

use core::cell::Cell;
use core::time::Duration;

use rustix::io::Errno;
use rustix::thread::futex::{self, Flags, Nsecs, Secs, Timespec};
use rustix::thread::gettid;

use super::atomic::AtomicU32;
use crate::limits::SLEEP_SECONDS_MAX;

/// The largest number of threads that the kernel can wake in one call; it takes the number as an `int`.
const EVERYONE: u32 = i32::MAX as u32;

thread_local! {
    /// The ID of this thread; 0: not read yet.
    static ID: Cell<u32> = const { Cell::new(0) };
}

/// The kernel's ID of this thread: not zero, and below 2^30. Each thread reads it once.
pub fn thread_id() -> u32 {
    ID.with(|id| {
        if id.get() == 0 {
            id.set(gettid().as_raw_nonzero().get() as u32);
        }
        id.get()
    })
}

/// A 32-bit atomic word on which threads of this process can sleep.
///
/// A waker first changes [`Futex::word`], then wakes. The kernel compares the word and puts the waiting thread to
/// sleep in one atomic step. So the waiter either sees the change or gets the wake; no wake is lost in between.
/// Source: futex(2), `FUTEX_WAIT` and `FUTEX_WAKE` with `FUTEX_PRIVATE_FLAG`.
pub struct Futex {
    /// The word. What it means is up to its owner.
    pub word: AtomicU32,
}

impl Futex {
    /// A futex whose word is `value`.
    pub const fn new(value: u32) -> Self {
        Self { word: AtomicU32::new(value) }
    }

    /// Sleeps while the word is `expected`, until another thread wakes this one; `false` if `timeout` passed first.
    ///
    /// It also returns `true` if the word was not `expected` at first, if a signal was handled, and spuriously. So the
    /// caller must check its condition again. A time-out above [`SLEEP_SECONDS_MAX`] counts as none.
    ///
    /// # Panics
    /// If the kernel refuses the call: otherwise the caller would spin.
    pub fn wait(&self, expected: u32, timeout: Option<Duration>) -> bool {
        let timeout = timeout.and_then(timespec);
        match futex::wait(&self.word, Flags::PRIVATE, expected, timeout.as_ref()) {
            Ok(()) | Err(Errno::AGAIN | Errno::INTR) => true,
            Err(Errno::TIMEDOUT) => false,
            Err(error) => panic!("futex wait: {error}"),
        }
    }

    /// Wakes one of the threads that sleep here, if there is one.
    ///
    /// # Panics
    /// If the kernel refuses the call: a thread might sleep for ever.
    pub fn wake_one(&self) {
        self.wake(1);
    }

    /// Wakes all threads that sleep here.
    ///
    /// # Panics
    /// If the kernel refuses the call: a thread might sleep for ever.
    pub fn wake_all(&self) {
        self.wake(EVERYONE);
    }

    /// Sets the word to this thread's ID. While it is the ID of another thread, this thread sleeps, and lends its
    /// priority to the other thread, if it is higher. Source: futex(2), `FUTEX_LOCK_PI`.
    ///
    /// # Panics
    /// If the kernel refuses the call, as it does if the word already is this thread's ID.
    pub fn lock_inheriting(&self) {
        // EAGAIN: the owner is a thread that is just ending.
        while let Err(error) = futex::lock_pi(&self.word, Flags::PRIVATE, None) {
            assert!(matches!(error, Errno::AGAIN | Errno::INTR), "futex lock: {error}");
        }
    }

    /// Sets the word, which is this thread's ID, to the ID of the most urgent waiting thread, or to 0. Source:
    /// futex(2), `FUTEX_UNLOCK_PI`.
    ///
    /// # Panics
    /// If the kernel refuses the call, as it does if the word is the ID of another thread.
    pub fn unlock_inheriting(&self) {
        if let Err(error) = futex::unlock_pi(&self.word, Flags::PRIVATE) {
            panic!("futex unlock: {error}");
        }
    }

    /// Checks that the kernel has the two calls for priority inheritance.
    ///
    /// # Errors
    /// `ENOSYS`: it was built without them.
    pub fn try_inheriting() -> Result<(), Errno> {
        let futex = Self::new(0);
        futex::lock_pi(&futex.word, Flags::PRIVATE, None)?;
        futex::unlock_pi(&futex.word, Flags::PRIVATE)
    }

    fn wake(&self, threads: u32) {
        if let Err(error) = futex::wake(&self.word, Flags::PRIVATE, threads) {
            panic!("futex wake: {error}");
        }
    }
}

/// Converts `timeout` for the kernel; none if it is too long for a time-out.
fn timespec(timeout: Duration) -> Option<Timespec> {
    let seconds = timeout.as_secs();
    let nanoseconds = timeout.subsec_nanos();
    (seconds <= SLEEP_SECONDS_MAX)
        .then_some(Timespec { tv_sec: seconds as Secs, tv_nsec: nanoseconds as Nsecs })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::atomic::Ordering::Relaxed;
    use std::time::Instant;

    #[test]
    fn changed_word_does_not_sleep() {
        assert!(Futex::new(1).wait(0, None));
    }

    #[test]
    fn timeout_is_over_and_not_too_early() {
        let (start, timeout) = (Instant::now(), Duration::from_millis(20));
        let futex = Futex::new(0);
        // A signal may end the sleep early; then `wait` returns true.
        while futex.wait(0, Some(timeout)) {}
        assert!(start.elapsed() >= timeout);
    }

    #[test]
    fn timeout_of_nothing_is_over_at_once() {
        assert!(!Futex::new(0).wait(0, Some(Duration::ZERO)));
    }

    #[test]
    fn only_a_timeout_that_a_32_bit_clock_holds_is_one() {
        let longest = Duration::new(SLEEP_SECONDS_MAX, 999_999_999);
        let spec = timespec(longest).unwrap();
        assert_eq!((spec.tv_sec, spec.tv_nsec), (Secs::from(i32::MAX), 999_999_999));
        assert!(timespec(longest + Duration::from_nanos(1)).is_none());
        assert!(timespec(Duration::MAX).is_none());
    }

    #[test]
    fn wake_all_wakes_everyone() {
        let futex = Futex::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while futex.word.load(Relaxed) == 0 {
                        futex.wait(0, None);
                    }
                });
            }
            futex.word.store(1, Relaxed);
            futex.wake_all();
        });
    }

    #[test]
    fn wake_one_with_no_one_asleep_does_nothing() {
        Futex::new(0).wake_one();
    }
}
