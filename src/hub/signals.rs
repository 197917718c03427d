//! The signals the server takes: blocked in every thread, and read like a file by the acceptor's.

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::{AsFd, BorrowedFd};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// SIGTERM or SIGINT: to end. The number of the signal.
    End(i32),
    /// SIGHUP: to reopen the log file, and to read the auth file again.
    Reload,
}

/// The signals that were sent to the process.
pub struct Signals {
    fd: SignalFd,
}

impl Signals {
    /// Blocks them in this thread and those it will make, so that they come here only. To be called before there
    /// is another thread. SIGXFSZ is blocked too, and never read: a file that may not grow is an error of the write then (`EFBIG`), as a
    /// full disk is.
    ///
    /// # Errors
    /// When there are not enough descriptors, or the kernel has no signalfd.
    pub fn block() -> nix::Result<Self> {
        let taken: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect();
        let mut blocked = taken;
        blocked.add(Signal::SIGXFSZ);
        blocked.thread_block()?;
        let fd = SignalFd::with_flags(&taken, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { fd })
    }

    /// The next one that came, if one did.
    pub fn next(&self) -> Option<Wish> {
        let number = self.fd.read_signal().ok()??.ssi_signo as i32;
        Some(if number == Signal::SIGHUP as i32 { Wish::Reload } else { Wish::End(number) })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
