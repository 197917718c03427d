//! Waits for several descriptors at once.

use crate::client::wait::poll_timeout;
use nix::poll::{PollFd, poll};
use std::time::Instant;

/// Waits until one of these descriptors is ready, has an error or is closed at the other end, or until `due`. Returns
/// which of them are. At `due`, and after a signal or another error of poll(2), all are false.
pub fn ready<const N: usize>(fds: [Option<PollFd<'_>>; N], due: Option<Instant>) -> [bool; N] {
    let is_waited_for = fds.each_ref().map(Option::is_some);
    let mut waiting: Vec<PollFd<'_>> = fds.into_iter().flatten().collect();
    // An error, such as an interruption by a signal, counts as a time-out.
    if poll(&mut waiting, poll_timeout(due, Instant::now())).is_err() {
        return [false; N];
    }
    let mut waited = waiting.into_iter();
    is_waited_for.map(|is_waited_for| is_waited_for && waited.next().and_then(|fd| fd.any()).unwrap_or(false))
}
