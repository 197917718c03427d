//! The signals that the server handles. They are blocked in every thread; the acceptor's thread reads them from a
//! descriptor.

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::sys::stat::Mode;
use nix::unistd::getsid;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What a signal requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalAction {
    /// SIGTERM or SIGINT, by its number: end the server.
    End(i32),
    /// SIGHUP: reopen the log file, and read the auth file again.
    Reload,
    /// SIGHUP because the terminal that the server was started from has closed: end the server.
    HangUp,
}

/// The signals that other processes or the kernel have sent.
pub struct Signals {
    fd: SignalFd,
    /// The server was started from a terminal, and without `nohup` or the like, with which it would outlive the
    /// terminal.
    ends_with_terminal: bool,
    /// The process ID of the session leader: a shell, or this process.
    session: u32,
}

impl Signals {
    /// Blocks the signals in this thread and in the threads that it will make, so that only this descriptor delivers
    /// them. Call it before there is another thread. SIGXFSZ is blocked, too, and never read: so a write to a file that
    /// may not grow fails with `EFBIG`, like a write to a full disk.
    ///
    /// # Errors
    /// If there are not enough descriptors, or the kernel has no signalfd.
    pub fn block() -> nix::Result<Self> {
        let ends_with_terminal = terminal().is_ok() && !is_hang_up_ignored();
        let taken: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect();
        let mut blocked = taken;
        blocked.add(Signal::SIGXFSZ);
        blocked.thread_block()?;
        let fd = SignalFd::with_flags(&taken, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let session = getsid(None).map_or(0, |id| id.as_raw() as u32);
        Ok(Self { fd, ends_with_terminal, session })
    }

    /// The action of the next pending signal, if there is one.
    pub fn next(&self) -> Option<SignalAction> {
        let signal = self.fd.read_signal().ok()??;
        let number = signal.ssi_signo as i32;
        Some(if number != Signal::SIGHUP as i32 {
            SignalAction::End(number)
        } else if self.is_hang_up(&signal) {
            SignalAction::HangUp
        } else {
            SignalAction::Reload
        })
    }

    /// Whether a SIGHUP means that the terminal has closed. In that case the kernel sends it, or the shell that leads
    /// the session passes it on. A SIGHUP from any other process requests a reload, even if the terminal closed long
    /// before, as with a disowned server.
    fn is_hang_up(&self, signal: &siginfo) -> bool {
        let is_of_session = signal.ssi_code == libc::SI_KERNEL || signal.ssi_pid == self.session;
        self.ends_with_terminal && is_of_session && terminal().is_err()
    }
}

/// Opens the controlling terminal of this process.
fn terminal() -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    open("/dev/tty", flags, Mode::empty())
}

/// Whether this process was started with SIGHUP ignored. The descriptor delivers the signal even then, because the
/// signal is blocked.
fn is_hang_up_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask >> (Signal::SIGHUP as i32 - 1) & 1 == 1)
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
