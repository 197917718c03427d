//! A worker's timer: a descriptor for its epoll set that becomes readable at a deadline.
//!
//! Most deadlines move before they expire: each received line postpones the idle time-out. A timer for each wait would
//! have to be armed and cancelled each time. Instead the worker arms the timer once, for the earliest deadline. When
//! the timer expires, the worker arms it again for the deadline that is the earliest by then.

use crate::clock;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// A timer for edge-triggered epoll. Nothing reads its descriptor.
pub struct Timer {
    fd: TimerFd,
    set_ns: u64,
}

impl Timer {
    /// A timer that does not expire until it is [set](Self::set).
    ///
    /// # Errors
    /// If there are not enough descriptors.
    pub fn new() -> nix::Result<Self> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        Ok(Self { fd: TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?, set_ns: u64::MAX })
    }

    /// Arms the timer for `deadline_ns` only, in nanoseconds. `u64::MAX` means no deadline; the timer may then still
    /// expire at the previous one. If the deadline has passed, the timer expires at once.
    pub fn set(&mut self, deadline_ns: u64) {
        if deadline_ns != self.set_ns && deadline_ns != u64::MAX {
            // Zero would disarm the timer.
            let left_ns = deadline_ns.saturating_sub(clock::now_ns()).max(1);
            let left = TimeSpec::from_duration(Duration::from_nanos(left_ns));
            let set = self.fd.set(Expiration::OneShot(left), TimerSetTimeFlags::empty());
            debug_assert!(set.is_ok(), "the kernel accepts any deadline within years");
        }
        self.set_ns = deadline_ns;
    }

    /// Records that epoll has reported the expiration. It reports it once, so the next [`set`](Self::set) arms the
    /// timer again, even for the same deadline.
    pub fn note_expired(&mut self) {
        self.set_ns = u64::MAX;
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

    fn expires(timer: &Timer, timeout: PollTimeout) -> bool {
        poll(&mut [PollFd::new(timer.as_fd(), PollFlags::POLLIN)], timeout) == Ok(1)
    }

    #[test]
    fn timer_expires_only_at_its_deadline() {
        let mut timer = Timer::new().unwrap();
        assert!(!expires(&timer, PollTimeout::ZERO));
        timer.set(u64::MAX);
        assert!(!expires(&timer, PollTimeout::ZERO));
        let deadline_ns = clock::now_ns() + 1_000_000;
        timer.set(deadline_ns);
        assert!(expires(&timer, PollTimeout::NONE));
        assert!(clock::now_ns() >= deadline_ns);
    }

    #[test]
    fn passed_deadline_expires_at_once() {
        let mut timer = Timer::new().unwrap();
        timer.set(1);
        assert!(expires(&timer, PollTimeout::NONE));
    }

    #[test]
    fn timer_that_expired_is_armed_again_for_the_same_deadline() {
        let epoll = Epoll::new(EpollCreateFlags::empty()).unwrap();
        let mut timer = Timer::new().unwrap();
        epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0)).unwrap();
        let reports = |timeout: EpollTimeout| epoll.wait(&mut [EpollEvent::empty()], timeout) == Ok(1);
        timer.set(1);
        assert!(reports(EpollTimeout::NONE));
        timer.set(1);
        assert!(!reports(EpollTimeout::ZERO), "it is not armed again");
        timer.note_expired();
        timer.set(1);
        assert!(reports(EpollTimeout::NONE));
    }

    #[test]
    fn later_deadline_replaces_earlier_one() {
        let mut timer = Timer::new().unwrap();
        timer.set(1);
        let hour_ns = 3_600_000_000_000;
        timer.set(clock::now_ns() + hour_ns);
        assert!(!expires(&timer, PollTimeout::ZERO));
        timer.set(clock::now_ns() + 1);
        assert!(expires(&timer, PollTimeout::NONE));
    }
}
