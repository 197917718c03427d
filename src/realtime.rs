//! Real time (`--realtime`): the consumer's thread runs before every thread that is not in real time, whatever else
//! the board does. If it waits for a mutex, the thread that holds the mutex runs at the consumer's priority meanwhile.
//! The memory is locked, so no page has to be read from a card first. Workers and the acceptor keep the usual policy:
//! clients that flood the server take no more of the board than before.
//!
//! If the kernel refuses any of this, the server does not start: a user that requests real time must not get less.

use crate::scheduler;
use crate::sync::inheritance;
use core::fmt;
use nix::errno::Errno;
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, rlim_t};

/// What the system refused.
#[derive(Debug)]
pub enum Error {
    /// The kernel has no mutexes with priority inheritance.
    Inheritance(Errno),
    /// The process may not run at that priority.
    Priority(u32, Errno),
    /// The process may not lock its memory.
    Memory(Errno),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("--realtime: ")?;
        match self {
            Self::Inheritance(errno) => {
                write!(f, "{}: it takes a kernel with CONFIG_FUTEX_PI", errno.desc())
            }
            Self::Priority(priority, Errno::EPERM)
                if soft_limit(Resource::RLIMIT_RTPRIO) >= (*priority).into() =>
            {
                write!(
                    f,
                    "not permitted: a sandbox or a control group forbids it; in systemd: RestrictRealtime=no"
                )
            }
            Self::Priority(priority, Errno::EPERM) => write!(
                f,
                "not permitted: the limit of real-time priority is {}; it takes ulimit -r {priority}, in systemd \
                 LimitRTPRIO={priority}, or the capability CAP_SYS_NICE",
                soft_limit(Resource::RLIMIT_RTPRIO)
            ),
            Self::Priority(priority, errno) => write!(f, "SCHED_FIFO at {priority}: {}", errno.desc()),
            Self::Memory(errno) => write!(
                f,
                "the memory cannot be locked ({errno:?}): the limit is {} KiB; it takes ulimit -l unlimited, in \
                 systemd LimitMEMLOCK=infinity, or the capability CAP_IPC_LOCK",
                soft_limit(Resource::RLIMIT_MEMLOCK) / 1024
            ),
        }
    }
}

/// Turns priority inheritance on. Call it at the start, before there are other threads.
///
/// # Errors
/// If the kernel does not have it.
pub fn prepare() -> Result<(), Error> {
    inheritance::turn_on().map_err(|error| Error::Inheritance(Errno::from_raw(error.raw_os_error())))
}

/// Calls `spawn` in real time at that priority, so that the thread that it makes runs so.
///
/// # Errors
/// If that is not permitted. Then `spawn` is not called.
pub fn run<R>(priority: u32, spawn: impl FnOnce() -> R) -> Result<R, Error> {
    scheduler::in_real_time(priority, spawn).map_err(|errno| Error::Priority(priority, errno))
}

/// Locks all mapped memory, including the stacks. Nothing is mapped after "ready", so this covers all that the server
/// will use.
///
/// # Errors
/// If that is not permitted.
pub fn lock_memory() -> Result<(), Error> {
    mlockall(MlockAllFlags::MCL_CURRENT).map_err(Error::Memory)
}

fn soft_limit(resource: Resource) -> rlim_t {
    getrlimit(resource).map_or(RLIM_INFINITY, |(soft, _)| soft)
}
