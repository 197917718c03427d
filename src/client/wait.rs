//! Waits for a descriptor or a time, with poll(2).

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::BorrowedFd;
use std::time::Instant;

/// Waits until the descriptor is ready or `due` has passed. Without both, it waits for a signal. It may return early,
/// so the caller must check.
pub fn wait(interest: Option<(BorrowedFd<'_>, PollFlags)>, due: Option<Instant>) {
    let mut fds: Vec<_> = interest.map(|(fd, flags)| PollFd::new(fd, flags)).into_iter().collect();
    // An error, such as an interruption by a signal, is an early return.
    let _ = poll(&mut fds, poll_timeout(due, Instant::now()));
}

/// The time-out of a poll that ends at `due`; `None`: the poll has no time-out.
pub fn poll_timeout(due: Option<Instant>, now: Instant) -> PollTimeout {
    let Some(due) = due else { return PollTimeout::NONE };
    // Rounded up, so that the poll does not end before `due`.
    let ms = due.saturating_duration_since(now).as_micros().div_ceil(1_000);
    PollTimeout::try_from(i32::try_from(ms).unwrap_or(i32::MAX)).unwrap_or(PollTimeout::MAX)
}
