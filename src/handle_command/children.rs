//! The exits of child processes, as a descriptor to poll.

#![expect(unsafe_code, reason = "no crate has a safe way to set a signal to its default action")]

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::{AsFd, BorrowedFd};

/// Readable when a child process has ended. It does not say which one.
#[derive(Debug)]
pub struct Children {
    fd: SignalFd,
}

impl Children {
    /// Blocks SIGCHLD in this thread and in those that it starts later, so that only this descriptor reports it. Also
    /// sets SIGCHLD to its default action: if it was ignored when this process started, the system would reap the
    /// children, and their exits would go unnoticed.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn watch() -> nix::Result<Self> {
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: The default action runs no code of this process, and the previous action is not used.
        unsafe { sigaction(Signal::SIGCHLD, &default) }?;
        let taken = SigSet::from(Signal::SIGCHLD);
        taken.thread_block()?;
        Ok(Self { fd: SignalFd::with_flags(&taken, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)? })
    }

    /// Clears the descriptor: the next exit makes it readable again. The caller then checks each process.
    pub fn clear(&self) {
        while let Ok(Some(_)) = self.fd.read_signal() {}
    }
}

impl AsFd for Children {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
