//! The ends of processes that this one started, as a descriptor to poll.

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::{AsFd, BorrowedFd};

/// Is readable when a process has ended. It does not say which one.
#[derive(Debug)]
pub struct Children {
    fd: SignalFd,
}

impl Children {
    /// Blocks SIGCHLD in this thread and in those that it starts later, so that it comes here only. The processes that
    /// it starts do not inherit that: std unblocks all signals for them.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn watch() -> nix::Result<Self> {
        let taken = SigSet::from(Signal::SIGCHLD);
        taken.thread_block()?;
        Ok(Self { fd: SignalFd::with_flags(&taken, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)? })
    }

    /// Takes what is known: the next end makes the descriptor readable again. The caller asks each process.
    pub fn clear(&self) {
        while let Ok(Some(_)) = self.fd.read_signal() {}
    }
}

impl AsFd for Children {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
