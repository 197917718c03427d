//! A worker's alarm: a descriptor that reports when a time has come, for its epoll set.
//!
//! Deadlines nearly always move on before they come: each line that is received puts the idle time-out off. A
//! time-out of each wait would be started and cancelled each time; the alarm is set once, rings at the earliest
//! deadline of then, and is set again to the earliest of now.

use crate::clock;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// An alarm. It is meant for edge-triggered epoll: nobody reads it.
pub struct Alarm {
    timer: TimerFd,
    set_ns: u64,
}

impl Alarm {
    /// An alarm that does not ring before it is [set](Self::set).
    ///
    /// # Errors
    /// When there are not enough descriptors.
    pub fn new() -> nix::Result<Self> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        Ok(Self { timer: TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?, set_ns: u64::MAX })
    }

    /// Makes it ring at that time, in nanoseconds, and at no other; `u64::MAX`: no matter when. A time that has
    /// passed rings at once.
    pub fn set(&mut self, deadline_ns: u64) {
        if deadline_ns != self.set_ns && deadline_ns != u64::MAX {
            // Zero would mean never.
            let left_ns = deadline_ns.saturating_sub(clock::now_ns()).max(1);
            let left = TimeSpec::from_duration(Duration::from_nanos(left_ns));
            let set = self.timer.set(Expiration::OneShot(left), TimerSetTimeFlags::empty());
            debug_assert!(set.is_ok(), "a time of at most years is valid");
        }
        self.set_ns = deadline_ns;
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    fn rings(alarm: &Alarm, timeout: PollTimeout) -> bool {
        poll(&mut [PollFd::new(alarm.as_fd(), PollFlags::POLLIN)], timeout) == Ok(1)
    }

    #[test]
    fn it_rings_when_it_is_set_to_and_not_before_it_is_set() {
        let mut alarm = Alarm::new().unwrap();
        assert!(!rings(&alarm, PollTimeout::ZERO));
        alarm.set(u64::MAX);
        assert!(!rings(&alarm, PollTimeout::ZERO));
        let deadline_ns = clock::now_ns() + 1_000_000;
        alarm.set(deadline_ns);
        assert!(rings(&alarm, PollTimeout::NONE));
        assert!(clock::now_ns() >= deadline_ns);
    }

    #[test]
    fn a_time_that_has_passed_rings_at_once() {
        let mut alarm = Alarm::new().unwrap();
        alarm.set(1);
        assert!(rings(&alarm, PollTimeout::NONE));
    }

    #[test]
    fn the_last_setting_holds() {
        let mut alarm = Alarm::new().unwrap();
        alarm.set(1);
        let hour_ns = 3_600_000_000_000;
        alarm.set(clock::now_ns() + hour_ns);
        assert!(!rings(&alarm, PollTimeout::ZERO));
        alarm.set(clock::now_ns() + 1);
        assert!(rings(&alarm, PollTimeout::NONE));
    }
}
