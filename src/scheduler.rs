//! What is asked of the kernel's scheduler.
//!
//! Linux gives every thread slices of about 3 ms and lets one that wakes with a shorter slice run before one that is in
//! the middle of a longer (EEVDF, since 6.12: `Documentation/scheduler/sched-eevdf.rst`). The share of the processor stays
//! the same. So a worker that has urgent messages asks for short slices: it does not wait until threads that
//! serve a flood have used up theirs. An older kernel accepts the request and ignores it.
//!
//! A thread in real time (`SCHED_FIFO`, sched(7)) runs before all of those, until it waits.

#![expect(unsafe_code, reason = "no crate has these two system calls")]

use crate::limits::SLICE_URGENT_NS;
use nix::errno::Errno;
use nix::libc::{SCHED_FIFO, SCHED_OTHER, SYS_sched_getattr, SYS_sched_setattr, sched_attr, syscall};

/// Asks for short slices for the calling thread, for as long as it lives. Its policy and niceness stay as they are; one
/// that is not under the usual policy has no slices, and nothing is asked.
///
/// # Errors
/// `ENOSYS` or `EPERM`, where a sandbox or an emulator does not let it through.
pub fn ask_for_short_slices() -> nix::Result<()> {
    let mut attributes = get()?;
    if attributes.sched_policy != SCHED_OTHER as u32 {
        return Ok(());
    }
    attributes.sched_runtime = SLICE_URGENT_NS;
    set(&attributes)
}

/// Does `work` in real time: under `SCHED_FIFO`, at that priority, from 1 to 99. Threads that it makes inherit that, and keep
/// it; the calling thread is then again what it was.
///
/// # Errors
/// `EPERM` where the process may not, `ENOSYS` where the system does not have it; then `work` is not done.
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
    // SAFETY: the kernel writes `size` bytes at most to where the pointer points, which is a structure of that size that
    // is borrowed by no one else; any bytes make a valid one.
    Errno::result(unsafe { syscall(SYS_sched_getattr, 0, &raw mut attributes, attributes.size, 0) })?;
    Ok(attributes)
}

/// Sets the attributes of the calling thread.
fn set(attributes: &sched_attr) -> nix::Result<()> {
    // SAFETY: the kernel reads the `size` bytes of a structure that is borrowed for the time of the call, and writes to it
    // only where it refuses a larger one than it knows; this is the smallest there ever was.
    Errno::result(unsafe { syscall(SYS_sched_setattr, 0, &raw const *attributes, 0) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_permission_nothing_is_done_and_nothing_changed() {
        let before = get().unwrap();
        // No system has that priority; so it is refused to root too.
        assert_eq!(in_real_time(100, || unreachable!("it is not permitted")), Err::<(), _>(Errno::EINVAL));
        assert_eq!(get().unwrap().sched_policy, before.sched_policy);
    }

    #[test]
    fn slices_are_short_in_the_thread_that_asked_and_in_no_other() {
        let before = get().unwrap();
        let asked =
            std::thread::spawn(|| ask_for_short_slices().and_then(|()| get())).join().unwrap().unwrap();
        // A kernel without such slices tells 0, then as before.
        assert!([0, SLICE_URGENT_NS].contains(&asked.sched_runtime), "{}", asked.sched_runtime);
        assert_eq!((asked.sched_policy, asked.sched_nice), (before.sched_policy, before.sched_nice));
        assert_eq!(get().unwrap().sched_runtime, before.sched_runtime);
    }
}
