//! The back-off after a failure of accept(2). An error of a single connection loses that connection, and the acceptor
//! retries at once. After any other error, and after many errors of connections in a row, the acceptor pauses
//! accepting on the listener, or it would spin.

use crate::limits::{ACCEPT_FAILURES_MAX, ACCEPT_RETRY_MS, ACCEPT_RETRY_MS_MAX, LOG_THROTTLE_MS};
use nix::errno::Errno;

/// The cause of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    /// The connection that would have been accepted. accept(2) says that after such an error the caller should retry.
    Connection,
    /// The process or the system has no descriptor or memory left. They may be available again at any time.
    Exhaustion,
    /// The listener, or the system.
    Listener,
}

/// The action after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Call accept(2) again at once.
    Retry,
    /// Pause accepting on the listener.
    Pause {
        /// Whether to log the failure: none has been logged recently.
        is_logged: bool,
    },
}

/// The failures of accept(2) on one listener, and the pause that follows them.
#[derive(Default)]
pub struct Backoff {
    /// Failures since the last success.
    failures: u32,
    /// Pauses since the last success.
    pauses: u32,
    /// The end of the pause, in nanoseconds.
    until_ns: Option<u64>,
    /// When a failure was last logged, in nanoseconds.
    logged_ns: Option<u64>,
    /// A failure has been logged, but not yet the success after it.
    has_logged_failure: bool,
}

impl Backoff {
    /// Records that accept(2) failed at `now_ns`, in nanoseconds, and returns what to do.
    pub fn note_failure(&mut self, errno: Errno, now_ns: u64) -> Next {
        self.failures = self.failures.saturating_add(1);
        let about = about(errno);
        if about == About::Connection && self.failures <= ACCEPT_FAILURES_MAX {
            return Next::Retry;
        }
        let doublings = if about == About::Exhaustion { 0 } else { self.pauses.min(u32::BITS) };
        let pause_ms = (ACCEPT_RETRY_MS << doublings).min(ACCEPT_RETRY_MS_MAX);
        self.pauses = self.pauses.saturating_add(1);
        self.until_ns = Some(now_ns + pause_ms * 1_000_000);
        let is_logged =
            self.logged_ns.is_none_or(|logged_ns| now_ns - logged_ns >= LOG_THROTTLE_MS * 1_000_000);
        if is_logged {
            (self.logged_ns, self.has_logged_failure) = (Some(now_ns), true);
        }
        Next::Pause { is_logged }
    }

    /// Records that accept(2) works. Returns true if the caller has to log that.
    pub fn note_success(&mut self) -> bool {
        (self.failures, self.pauses, self.until_ns) = (0, 0, None);
        core::mem::take(&mut self.has_logged_failure)
    }

    /// The end of the pause, in nanoseconds, or `None` if the listener does not pause.
    pub fn until_ns(&self) -> Option<u64> {
        self.until_ns
    }

    /// Whether the listener pauses at `now_ns`, in nanoseconds.
    pub fn is_pausing(&self, now_ns: u64) -> bool {
        self.until_ns.is_some_and(|until_ns| now_ns < until_ns)
    }
}

fn about(errno: Errno) -> About {
    match errno {
        Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM => About::Exhaustion,
        Errno::ECONNABORTED
        | Errno::EINTR
        | Errno::ENETDOWN
        | Errno::EPROTO
        | Errno::ENOPROTOOPT
        | Errno::EHOSTDOWN
        | Errno::ENONET
        | Errno::EHOSTUNREACH
        | Errno::EOPNOTSUPP
        | Errno::ENETUNREACH
        | Errno::ETIMEDOUT => About::Connection,
        _ => About::Listener,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pauses after `count` failures in a row, in milliseconds, with a retry at the end of each pause.
    fn pauses(errno: Errno, count: usize) -> Vec<u64> {
        let mut backoff = Backoff::default();
        let mut now_ns = 1;
        let pause = |_| {
            backoff.note_failure(errno, now_ns);
            let until_ns = backoff.until_ns().unwrap_or(now_ns);
            assert_eq!(backoff.is_pausing(now_ns), until_ns > now_ns);
            let pause_ms = (until_ns - now_ns) / 1_000_000;
            now_ns = until_ns;
            pause_ms
        };
        (0..count).map(pause).collect()
    }

    #[test]
    fn errors_of_connections_are_retried_at_once_up_to_a_bound() {
        let first = ACCEPT_FAILURES_MAX as usize;
        for errno in [Errno::ECONNABORTED, Errno::EPROTO, Errno::EHOSTUNREACH, Errno::EINTR] {
            let pauses = pauses(errno, first + 2);
            assert!(pauses[..first].iter().all(|pause_ms| *pause_ms == 0), "{errno}");
            assert_eq!(pauses[first..], [ACCEPT_RETRY_MS, 2 * ACCEPT_RETRY_MS], "{errno}");
        }
        // Every errno: 4095 is the highest.
        for number in 1..=4095 {
            let pauses = pauses(Errno::from_raw(number), first + 1);
            assert!(pauses[first] >= ACCEPT_RETRY_MS, "{number}");
        }
    }

    #[test]
    fn pauses_grow_up_to_a_bound_except_after_exhaustion() {
        let listener = pauses(Errno::EINVAL, 100);
        assert_eq!(listener[..3], [1, 2, 4].map(|times| times * ACCEPT_RETRY_MS));
        assert!(listener[10..].iter().all(|pause_ms| *pause_ms == ACCEPT_RETRY_MS_MAX));
        assert!(pauses(Errno::EMFILE, 100).iter().all(|pause_ms| *pause_ms == ACCEPT_RETRY_MS));
    }

    #[test]
    fn success_ends_the_pause_and_is_logged_if_the_failure_was() {
        let mut backoff = Backoff::default();
        assert!(!backoff.note_success(), "it never failed");
        assert_eq!(backoff.note_failure(Errno::EPERM, 1), Next::Pause { is_logged: true });
        assert_eq!(backoff.note_failure(Errno::EPERM, 2), Next::Pause { is_logged: false });
        assert!(backoff.note_success() && !backoff.note_success());
        assert_eq!(backoff.until_ns(), None);
        // The failure comes and goes: it is logged once in each period, and so is the success.
        for now_ns in 3..100 {
            assert_eq!(backoff.note_failure(Errno::EMFILE, now_ns), Next::Pause { is_logged: false });
            assert!(!backoff.note_success());
        }
        let later_ns = 1 + LOG_THROTTLE_MS * 1_000_000;
        assert_eq!(backoff.note_failure(Errno::EMFILE, later_ns), Next::Pause { is_logged: true });
        assert!(backoff.note_success());
    }
}
