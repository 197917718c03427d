//! Waits for several descriptors at once.

use nix::poll::{PollFd, PollTimeout, poll};

/// Waits until one of these descriptors is ready, has an error or is closed at the other end, and returns which ones
/// are. All are false after the time-out, after an error of poll(2), and after a signal.
pub fn ready<const N: usize>(fds: [Option<PollFd<'_>>; N], timeout: PollTimeout) -> [bool; N] {
    let is_waited_for = fds.each_ref().map(Option::is_some);
    let mut waiting: Vec<PollFd<'_>> = fds.into_iter().flatten().collect();
    // An error, such as an interruption by a signal, counts as a time-out.
    if poll(&mut waiting, timeout).is_err() {
        return [false; N];
    }
    let mut waited = waiting.into_iter();
    is_waited_for.map(|is_waited_for| is_waited_for && waited.next().and_then(|fd| fd.any()).unwrap_or(false))
}
