//! Requests to the kernel's scheduler.
//!
//! Linux gives every thread slices of about 3 ms. A thread that wakes with a shorter slice runs before a thread that
//! is in the middle of a longer one (EEVDF, since 6.12: `Documentation/scheduler/sched-eevdf.rst`). Its share of the
//! processor stays the same. So a worker that has urgent messages, or yields to another, requests short slices:
//! then it does not wait until the threads that serve a flood have used up their longer slices. An older kernel accepts
//! the request and ignores it.
//!
//! A thread in real time (`SCHED_FIFO`, sched(7)) runs before all other threads, until it waits.

#![expect(unsafe_code, reason = "no crate has these two system calls")]

use crate::limits::SLICE_URGENT_NS;
use nix::errno::Errno;
use nix::libc::{SCHED_FIFO, SCHED_OTHER, SYS_sched_getattr, SYS_sched_setattr, sched_attr, syscall};

/// Requests short slices for the calling thread, for as long as it lives. Its policy and niceness do not change. A
/// thread that does not run under the usual policy has no slices, and this does nothing.
///
/// # Errors
/// `ENOSYS` or `EPERM` if a sandbox or an emulator does not permit the call.
pub fn ask_for_short_slices() -> nix::Result<()> {
    let mut attributes = get()?;
    if attributes.sched_policy != SCHED_OTHER as u32 {
        return Ok(());
    }
    attributes.sched_runtime = SLICE_URGENT_NS;
    set(&attributes)
}

/// Calls `work` in real time: under `SCHED_FIFO`, at that priority, from 1 to 99. Threads that `work` makes inherit
/// that and keep it. Afterwards the calling thread has its former policy again.
///
/// # Errors
/// `EPERM` if the process may not, `ENOSYS` if the system has no real time. Then `work` is not called.
pub fn in_real_time<R>(priority: u32, work: impl FnOnce() -> R) -> nix::Result<R> {
    let usual = get()?;
    set(&sched_attr {
        sched_policy: SCHED_FIFO as u32,
        sched_priority: priority,
        sched_runtime: 0,
        ..usual
    })?;
    let result = work();
    set(&usual)?;
    Ok(result)
}

/// The attributes of the calling thread.
fn get() -> nix::Result<sched_attr> {
    let mut attributes = sched_attr {
        size: size_of::<sched_attr>() as u32,
        sched_policy: 0,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the kernel writes at most `size` bytes to the pointer. It points to a structure of that size that
    // nothing else borrows, and for which any bytes are valid.
    Errno::result(unsafe { syscall(SYS_sched_getattr, 0, &raw mut attributes, attributes.size, 0) })?;
    Ok(attributes)
}

/// Sets the attributes of the calling thread.
fn set(attributes: &sched_attr) -> nix::Result<()> {
    // SAFETY: the kernel reads the `size` bytes of a structure that is borrowed during the call. It writes to the
    // structure only if that is larger than the largest that it knows; this one has the smallest size that any kernel
    // has had.
    Errno::result(unsafe { syscall(SYS_sched_setattr, 0, &raw const *attributes, 0) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_request_calls_nothing_and_changes_nothing() {
        let before = get().unwrap();
        // No system has that priority, so the kernel refuses it to root, too.
        assert_eq!(in_real_time(100, || unreachable!("it is not permitted")), Err::<(), _>(Errno::EINVAL));
        assert_eq!(get().unwrap().sched_policy, before.sched_policy);
    }

    #[test]
    fn only_the_requesting_thread_has_short_slices() {
        let before = get().unwrap();
        let asked =
            std::thread::spawn(|| ask_for_short_slices().and_then(|()| get())).join().unwrap().unwrap();
        // A kernel without short slices reports 0.
        assert!([0, SLICE_URGENT_NS].contains(&asked.sched_runtime), "{}", asked.sched_runtime);
        assert_eq!((asked.sched_policy, asked.sched_nice), (before.sched_policy, before.sched_nice));
        assert_eq!(get().unwrap().sched_runtime, before.sched_runtime);
    }
}
