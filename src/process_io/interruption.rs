//! The signals that end a command, as a descriptor to poll.

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::fs;
use std::os::fd::{AsFd, BorrowedFd};

/// The signals that end a command.
#[derive(Debug)]
pub struct Interruption {
    fd: SignalFd,
}

impl Interruption {
    /// Blocks SIGTERM, SIGINT and SIGHUP in this thread and in those that it starts later, so that only this descriptor
    /// reports them. A signal that was ignored when the process started, as by `nohup` or in the background of a
    /// script, stays ignored.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn block() -> nix::Result<Self> {
        let ignored = fs::read_to_string("/proc/self/status").map_or(0, |status| ignored(&status));
        let is_heard = |signal: &Signal| ignored >> (*signal as u32 - 1) & 1 == 0;
        let taken: SigSet =
            [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().filter(is_heard).collect();
        taken.thread_block()?;
        Ok(Self { fd: SignalFd::with_flags(&taken, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)? })
    }

    /// The number of the next signal; `None`: no signal is pending.
    pub fn next(&self) -> Option<u8> {
        let signal = self.fd.read_signal().ok()??;
        u8::try_from(signal.ssi_signo).ok()
    }
}

impl AsFd for Interruption {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The signals that a process ignores, one bit each, from the text of its `/proc/PID/status` (proc(5)).
fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mask_of_ignored_signals_is_parsed() {
        assert_eq!(ignored("Name:\tx\nSigIgn:\t0000000000001002\nSigCgt:\t0\n"), 0x1002);
        assert_eq!(ignored("nonsense"), 0);
    }
}
