//! Priority inheritance: whether a thread that waits for a [`Mutex`](super::Mutex) lends its priority to the one that has it.
//!
//! Without it a thread of middle priority that is busy keeps one of low priority from running, and with it whatever
//! urgent thread waits for the mutex that the low one has: the classic inversion. Where all threads are under the usual
//! policy each gets its share in time, and the kernel's bookkeeping would be for nothing; so it is off until a thread
//! runs in real time.

use rustix::io::Errno;

use super::Futex;
use super::atomic::Ordering::Relaxed;

#[cfg(not(loom))]
static ON: super::atomic::AtomicBool = super::atomic::AtomicBool::new(false);
// A value for each run of a model. That of std, for the model checker need not try all orders of what is set once.
#[cfg(loom)]
loom::lazy_static! {
    static ref ON: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
}

/// Turns it on for all mutexes of the process, for good. For the start: no thread may wait for a mutex meanwhile.
///
/// # Errors
/// `ENOSYS`: this kernel does not have it (`CONFIG_FUTEX_PI`).
pub fn turn_on() -> Result<(), Errno> {
    Futex::try_inheriting()?;
    ON.store(true, Relaxed);
    Ok(())
}

/// Whether it is on.
pub(super) fn is_on() -> bool {
    ON.load(Relaxed)
}
