//! The ends of processes that this one started, as a descriptor to poll.

#![expect(unsafe_code, reason = "no crate has a safe way to set a signal to its default action")]

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::{AsFd, BorrowedFd};

/// Is readable when a process has ended. It does not say which one.
#[derive(Debug)]
pub struct Children {
    fd: SignalFd,
}

impl Children {
    /// Blocks SIGCHLD in this thread and in those that it starts later, so that it comes here only. The processes that
    /// it starts do not inherit that: std unblocks all signals for them. If this process was started with SIGCHLD
    /// ignored, the system would reap the processes itself, and nobody would learn of their ends: so SIGCHLD gets its
    /// default action.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn watch() -> nix::Result<Self> {
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: The default action runs no code of this process, and nobody uses the action that was set before.
        unsafe { sigaction(Signal::SIGCHLD, &default) }?;
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
