//! Priority inheritance: whether a thread that waits for a [`Mutex`](super::Mutex) lends its priority to the holder.
//!
//! Without it there is priority inversion: a busy thread of middle priority keeps a thread of low priority from
//! running, and so delays an urgent thread that waits for a mutex which the thread of low priority holds. Under the
//! usual policy every thread soon gets its share of the processor, and the kernel's bookkeeping would be useless. So
//! inheritance is off until a thread runs in real time.

use rustix::io::Errno;

use super::Futex;
use super::atomic::Ordering::Relaxed;

#[cfg(not(loom))]
static ON: super::atomic::AtomicBool = super::atomic::AtomicBool::new(false);
// One value for each run of a model. An atomic of std, because the model checker need not try all orders of a value
// that is set once.
#[cfg(loom)]
loom::lazy_static! {
    static ref ON: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
}

/// Turns inheritance on for all mutexes of the process, until the process ends. Call it at the start: no thread may
/// wait for a mutex meanwhile.
///
/// # Errors
/// `ENOSYS`: the kernel does not have it (`CONFIG_FUTEX_PI`).
pub fn turn_on() -> Result<(), Errno> {
    Futex::try_inheriting()?;
    ON.store(true, Relaxed);
    Ok(())
}

/// Whether inheritance is on.
pub(super) fn is_on() -> bool {
    ON.load(Relaxed)
}
