//! The mutex: one word in three states.
//!
//! | word | state | |
//! | --- | --- | --- |
//! | 0 | unlocked | |
//! | a thread's ID | locked by that thread | no other thread waits |
//! | [`CONTENDED`] and perhaps more | locked and contended | other threads may wait: the thread that unlocks wakes one |
//!
//! Without contention neither lock nor unlock makes a system call: to lock is 0 -> ID, to unlock is ID -> 0. If one of
//! the two steps fails, there is contention. Then the mutex follows one of two protocols, the same in the whole
//! process:
//!
//! - **Usually** a thread that cannot lock sets the word to `CONTENDED`. If the word was 0, the thread has the lock.
//!   Otherwise it sleeps while the word is `CONTENDED`, and tries again. To unlock, the owner sets the word to 0, and
//!   wakes one sleeper if the word was `CONTENDED`. A thread that had to wait takes the lock as contended, because it
//!   cannot know whether others wait. So at worst one unlock makes a system call that wakes no thread. The mutex is
//!   not fair: a running thread may take the lock before a thread that was just woken. Source: Ulrich Drepper,
//!   "Futexes Are Tricky" (2011), mutexes 2 and 3; as std's `sys/sync/mutex/futex.rs`, but it never spins: it does not
//!   try again before it sleeps.
//! - **With [priority inheritance](super::inheritance)** lock and unlock call the kernel. It keeps `CONTENDED` and the
//!   ID of the owner in the word, lends the owner the priority of the most urgent waiter, and passes the lock to that
//!   waiter. Source: futex(2), "Priority-inheritance futexes"; Sha, Rajkumar, Lehoczky, "Priority Inheritance
//!   Protocols" (1990).
//!
//! There is no poisoning. The release build aborts on a panic, so no thread ever sees a value that another thread left
//! half changed. Where panics unwind, as in tests, a panic just releases the lock.

#![expect(unsafe_code, reason = "the lock proves what the compiler cannot see")]

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use super::atomic::Ordering::{Acquire, Relaxed, Release};
use super::{Futex, helgrind, inheritance, thread_id};

const UNLOCKED: u32 = 0;
/// A bit that no thread ID has: `FUTEX_WAITERS`.
const CONTENDED: u32 = 1 << 31;

/// A value that one thread at a time can use. A thread that has to wait for it sleeps and never spins.
///
/// An unlocked mutex around a value of all zero bytes is all zero bytes itself, so a static one takes no space in the
/// executable. A mutex cannot be shared if its value must stay in one thread:
///
/// ```compile_fail,E0277
/// fn assert_sync<T: Sync>() {}
/// assert_sync::<firstline::sync::Mutex<std::rc::Rc<u8>>>();
/// ```
pub struct Mutex<T> {
    futex: Futex,
    value: UnsafeCell<T>,
}

// SAFETY: the mutex owns its value, so sending the mutex sends the value.
unsafe impl<T: Send> Send for Mutex<T> {}

// SAFETY: a shared mutex lends its value to one thread at a time, which may also move the value out: `T: Send` is
// necessary and sufficient.
unsafe impl<T: Send> Sync for Mutex<T> {}

impl<T> Mutex<T> {
    /// An unlocked mutex around `value`.
    #[cfg(not(loom))]
    pub const fn new(value: T) -> Self {
        Self { futex: Futex::new(UNLOCKED), value: UnsafeCell::new(value) }
    }

    /// An unlocked mutex around `value`.
    #[cfg(loom)]
    pub fn new(value: T) -> Self {
        Self { futex: Futex::new(UNLOCKED), value: UnsafeCell::new(value) }
    }

    /// Waits until no other thread has the lock, and takes it until the guard is dropped.
    ///
    /// If this thread already holds the lock, this never returns; with priority inheritance it panics.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.take_or_wait();
        MutexGuard::new(self)
    }

    /// Takes the lock if it is free now.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.take().then(|| MutexGuard::new(self))
    }

    /// The value, without locking: an exclusive reference needs no lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// The value, without the mutex.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }

    /// Whether other threads might be waiting for the lock.
    #[cfg(test)]
    pub fn is_contended(&self) -> bool {
        self.futex.word.load(Relaxed) & CONTENDED != 0
    }

    fn take_or_wait(&self) {
        if !self.take() {
            self.take_contended();
            helgrind::taken(&self.futex);
        }
    }

    /// Takes the lock if it is free, and returns whether it was.
    fn take(&self) -> bool {
        let is_taken = self.futex.word.compare_exchange(UNLOCKED, thread_id(), Acquire, Relaxed).is_ok();
        if is_taken {
            helgrind::taken(&self.futex);
        }
        is_taken
    }

    #[cold]
    fn take_contended(&self) {
        if inheritance::is_on() {
            return self.futex.lock_inheriting();
        }
        while self.futex.word.swap(CONTENDED, Acquire) != UNLOCKED {
            self.futex.wait(CONTENDED, None);
        }
    }

    fn release(&self) {
        helgrind::to_be_released(&self.futex);
        if self.futex.word.compare_exchange(thread_id(), UNLOCKED, Release, Relaxed).is_err() {
            self.release_contended();
        }
    }

    #[cold]
    fn release_contended(&self) {
        if inheritance::is_on() {
            return self.futex.unlock_inheriting();
        }
        if self.futex.word.swap(UNLOCKED, Release) == CONTENDED {
            self.futex.wake_one();
        }
    }
}

/// The lock of a [`Mutex`], with access to its value. Dropping it unlocks the mutex.
///
/// It must stay in the thread that has taken the lock:
///
/// ```compile_fail,E0277
/// fn assert_send<T: Send>() {}
/// assert_send::<firstline::sync::MutexGuard<'static, u8>>();
/// ```
#[must_use = "the mutex is unlocked as soon as its guard is dropped"]
pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    /// Makes the guard neither `Send` nor `Sync`; the implementation below makes it `Sync` again.
    not_send: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives out nothing but `&T`.
unsafe impl<T: Sync> Sync for MutexGuard<'_, T> {}

impl<'a, T> MutexGuard<'a, T> {
    /// The guard of a lock that this thread has just taken.
    fn new(mutex: &'a Mutex<T>) -> Self {
        Self { mutex, not_send: PhantomData }
    }

    /// Releases the lock while `work` runs, then takes it again. Other threads may have changed the value meanwhile.
    pub fn unlocked<R>(guard: &mut Self, work: impl FnOnce() -> R) -> R {
        /// Takes the lock again, even if `work` panics: the guard will release it.
        struct Relock<'a, T>(&'a Mutex<T>);

        impl<T> Drop for Relock<'_, T> {
            fn drop(&mut self) {
                self.0.take_or_wait();
            }
        }

        guard.mutex.release();
        let _relock = Relock(guard.mutex);
        work()
    }

    /// The mutex that `guard` keeps locked.
    pub(super) fn mutex(guard: &Self) -> &'a Mutex<T> {
        guard.mutex
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this guard has the lock, so no other thread has a reference, and while this `&self` lives
        // there is no `&mut` from `deref_mut`.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard has the lock, so no other thread has a reference, and `&mut self` is the only
        // one of this guard.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.mutex.release();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// A type that may go to another thread, but not be shared.
    type OnlySend = core::cell::Cell<u8>;

    const fn assert_send<T: Send>() {}
    const fn assert_sync<T: Sync>() {}
    const _: () = {
        assert_send::<Mutex<OnlySend>>();
        assert_sync::<Mutex<OnlySend>>();
        assert_sync::<MutexGuard<'static, u8>>();
    };

    #[test]
    fn guard_reads_and_writes() {
        let mutex = Mutex::new(1);
        *mutex.lock() += 1;
        assert_eq!(*mutex.lock(), 2);
    }

    #[test]
    fn get_mut_needs_no_lock() {
        let mut mutex = Mutex::new(1);
        *mutex.get_mut() = 5;
        assert_eq!(*mutex.lock(), 5);
    }

    #[test]
    fn try_lock_takes_a_free_lock_only() {
        let mutex = Mutex::new(());
        let guard = mutex.try_lock();
        assert!(guard.is_some());
        assert!(mutex.try_lock().is_none());
        drop(guard);
        assert!(mutex.try_lock().is_some());
    }

    #[test]
    fn lock_that_was_waited_for_is_left_unlocked() {
        let mutex = Mutex::new(0);
        std::thread::scope(|scope| {
            let guard = mutex.lock();
            scope.spawn(|| *mutex.lock() += 1);
            while mutex.futex.word.load(Relaxed) != CONTENDED {
                std::thread::yield_now();
            }
            drop(guard);
        });
        assert_eq!(mutex.futex.word.load(Relaxed), UNLOCKED);
        assert_eq!(*mutex.lock(), 1);
    }

    #[test]
    fn while_it_is_unlocked_others_can_have_it_and_then_it_is_locked_again() {
        let mutex = Mutex::new(1);
        let mut guard = mutex.lock();
        let seen = MutexGuard::unlocked(&mut guard, || {
            *mutex.try_lock().expect("it is free") += 1;
            "seen"
        });
        assert_eq!((seen, *guard), ("seen", 2));
        assert!(mutex.try_lock().is_none());
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            MutexGuard::unlocked(&mut guard, || panic!("as the test wants it"));
        }));
        assert!(result.is_err());
        assert!(mutex.try_lock().is_none(), "locked again after a panic too");
        drop(guard);
        assert!(mutex.try_lock().is_some());
    }

    #[test]
    fn panic_under_the_lock_unlocks() {
        let mutex = Mutex::new(0);
        let result = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let _guard = mutex.lock();
                panic!("as the test wants it");
            });
            thread.join()
        });
        assert!(result.is_err());
        assert!(mutex.try_lock().is_some());
    }

    #[test]
    fn unlocked_mutex_of_zero_bytes_is_zero_bytes() {
        // SAFETY: a word and a `u32` have no padding, and any bytes are a valid array of bytes.
        let bytes: [u8; 8] = unsafe { core::mem::transmute(Mutex::new(0u32)) };
        assert_eq!(bytes, [0; 8]);
    }
}
