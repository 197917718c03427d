//! The signals the server takes: blocked in every thread, and read like a file by the acceptor's.

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::sys::stat::Mode;
use nix::unistd::getsid;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalAction {
    /// SIGTERM or SIGINT: to end. The number of the signal.
    End(i32),
    /// SIGHUP: to reopen the log file, and to read the auth file again.
    Reload,
    /// SIGHUP, because the terminal has gone that the server was started from: to end.
    HangUp,
}

/// The signals that were sent to the process.
pub struct Signals {
    fd: SignalFd,
    /// It was started from a terminal, and not so that it outlives that, as `nohup` does.
    ends_with_terminal: bool,
    /// The process that leads the session: a shell, or this one.
    session: u32,
}

impl Signals {
    /// Blocks them in this thread and those it will make, so that they come here only. To be called before there
    /// is another thread. SIGXFSZ is blocked too, and never read: a file that may not grow is an error of the write then (`EFBIG`), as a
    /// full disk is.
    ///
    /// # Errors
    /// When there are not enough descriptors, or the kernel has no signalfd.
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

    /// The next one that came, if one did.
    pub fn next(&self) -> Option<SignalAction> {
        let signal = self.fd.read_signal().ok()??;
        let number = signal.ssi_signo as i32;
        Some(match number {
            _ if number != Signal::SIGHUP as i32 => SignalAction::End(number),
            _ if self.is_hang_up(&signal) => SignalAction::HangUp,
            _ => SignalAction::Reload,
        })
    }

    /// Whether a SIGHUP says that the terminal has gone. The kernel sends it then, or the shell that leads the session passes it on;
    /// a SIGHUP from any other process asks for a reload, even if the terminal closed long before, as with a disowned server.
    fn is_hang_up(&self, signal: &siginfo) -> bool {
        let is_of_session = signal.ssi_code == libc::SI_KERNEL || signal.ssi_pid == self.session;
        self.ends_with_terminal && is_of_session && terminal().is_err()
    }
}

/// The terminal that controls this process, if there is one.
fn terminal() -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    open("/dev/tty", flags, Mode::empty())
}

/// Whether this process was started with SIGHUP ignored. The signal comes all the same, because it is blocked, and read.
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
