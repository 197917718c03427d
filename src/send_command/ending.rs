//! Ends a call after signals.

use crate::process_io::interruption::Interruption;
use crate::process_io::ready::ready;
use nix::poll::{PollFd, PollFlags};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

/// How long the process waits after a signal for the replies to messages in flight. On a LAN they arrive in that time,
/// so fewer outcomes are unknown.
const GRACE: Duration = Duration::from_secs(1);

/// The longest wait for the lock while other processes add their messages to the spool. Each of them holds it for two
/// syncs of the disk. If that takes longer, a process is stopped, or its disk is gone.
const LOCK_WAIT: Duration = Duration::from_secs(60);

/// The signals that came. After the first, the call waits for [`GRACE`]; after the second it ends at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ending {
    /// The last signal, and until when the call waits.
    last: Option<(u8, Instant)>,
    /// A second signal came.
    is_urgent: bool,
}

impl Ending {
    /// Records that a signal came.
    pub fn interrupt(&mut self, signal: u8, now: Instant) {
        self.is_urgent = self.last.is_some();
        self.last = Some((signal, if self.is_urgent { now } else { now + GRACE }));
    }

    /// Restarts the grace time, for the output that is left, unless a second signal came.
    pub fn renew(&mut self, now: Instant) {
        if let Some((_, until)) = self.last.as_mut().filter(|_| !self.is_urgent) {
            *until = now + GRACE;
        }
    }

    /// The last signal, if one came.
    pub fn signal(&self) -> Option<u8> {
        self.last.map(|(signal, _)| signal)
    }

    /// Until when the call waits, if a signal came.
    pub fn due(&self) -> Option<Instant> {
        self.last.map(|(_, until)| until)
    }

    /// Whether the call waits no longer.
    pub fn is_over(&self, now: Instant) -> bool {
        self.due().is_some_and(|until| now >= until)
    }

    /// Waits until that descriptor is ready; false: signals or [`LOCK_WAIT`] ended the wait.
    pub fn wait_for_lock(&mut self, lock: BorrowedFd<'_>, interruption: &Interruption) -> bool {
        let until = Instant::now() + LOCK_WAIT;
        while !self.is_over(Instant::now()) && Instant::now() < until {
            let [signals, lock] = [interruption.as_fd(), lock].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            let due = self.due().map_or(until, |due| due.min(until));
            let [has_signal, is_free] = ready([Some(signals), Some(lock)], Some(due));
            if is_free {
                return true;
            }
            if has_signal && let Some(number) = interruption.next() {
                self.interrupt(number, Instant::now());
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_ends_some_time_after_the_first_signal_and_at_once_after_the_second() {
        let (mut ending, start) = (Ending::default(), Instant::now());
        assert!(ending.signal().is_none() && !ending.is_over(start));
        ending.interrupt(2, start);
        assert!(!ending.is_over(start) && ending.is_over(start + GRACE));
        ending.renew(start + GRACE);
        assert!(!ending.is_over(start + GRACE));
        ending.interrupt(15, start + GRACE);
        ending.renew(start + GRACE);
        assert!(ending.is_over(start + GRACE));
        assert_eq!(ending.signal(), Some(15));
    }
}
