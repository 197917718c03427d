//! What to do when accept(2) fails. An error of one connection costs that connection. After any other error the listener is left alone for
//! a while, or the acceptor would spin; so it is after many errors of connections in a row.

use crate::limits::{ACCEPT_FAILURES_MAX, ACCEPT_RETRY_MS, ACCEPT_RETRY_MS_MAX, LOG_THROTTLE_MS};
use nix::errno::Errno;

/// What a failure was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    /// The connection that was to be accepted: after such an error, accept(2) says, the call is to be tried again.
    Connection,
    /// Descriptors or memory, which may be available again at any time.
    Want,
    /// The listener, or the system.
    Listener,
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Accept the next one.
    GoOn,
    /// Leave the listener alone for a while.
    Pause {
        /// Whether to log it: it was not logged lately.
        is_told: bool,
    },
}

/// How accepting on one listener goes.
#[derive(Default)]
pub struct Backoff {
    /// Failures since the last success.
    failures: u32,
    /// Pauses since then.
    pauses: u32,
    /// The end of the pause, in nanoseconds.
    until_ns: Option<u64>,
    /// When a failure was last logged, in nanoseconds.
    told_ns: Option<u64>,
    /// A failure was logged, and not that accepting works again.
    is_owed: bool,
}

impl Backoff {
    /// Accepting failed at that time, in nanoseconds.
    pub fn failed(&mut self, errno: Errno, now_ns: u64) -> Next {
        self.failures = self.failures.saturating_add(1);
        let about = about(errno);
        if about == About::Connection && self.failures <= ACCEPT_FAILURES_MAX {
            return Next::GoOn;
        }
        let doublings = if about == About::Want { 0 } else { self.pauses.min(u32::BITS) };
        let pause_ms = (ACCEPT_RETRY_MS << doublings).min(ACCEPT_RETRY_MS_MAX);
        self.pauses = self.pauses.saturating_add(1);
        self.until_ns = Some(now_ns + pause_ms * 1_000_000);
        let is_told = self.told_ns.is_none_or(|told_ns| now_ns - told_ns >= LOG_THROTTLE_MS * 1_000_000);
        if is_told {
            (self.told_ns, self.is_owed) = (Some(now_ns), true);
        }
        Next::Pause { is_told }
    }

    /// Accepting works. True: log that.
    pub fn works(&mut self) -> bool {
        (self.failures, self.pauses, self.until_ns) = (0, 0, None);
        core::mem::take(&mut self.is_owed)
    }

    /// The end of the pause, in nanoseconds; none: there is none.
    pub fn until_ns(&self) -> Option<u64> {
        self.until_ns
    }

    /// Whether the listener is left alone at that time, in nanoseconds.
    pub fn is_pausing(&self, now_ns: u64) -> bool {
        self.until_ns.is_some_and(|until_ns| now_ns < until_ns)
    }
}

fn about(errno: Errno) -> About {
    match errno {
        Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM => About::Want,
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

    /// The pauses of so many failures one after the other, in milliseconds; each is tried again when it may be.
    fn pauses(errno: Errno, count: usize) -> Vec<u64> {
        let mut backoff = Backoff::default();
        let mut now_ns = 1;
        let pause = |_| {
            backoff.failed(errno, now_ns);
            let until_ns = backoff.until_ns().unwrap_or(now_ns);
            assert_eq!(backoff.is_pausing(now_ns), until_ns > now_ns);
            let pause_ms = (until_ns - now_ns) / 1_000_000;
            now_ns = until_ns;
            pause_ms
        };
        (0..count).map(pause).collect()
    }

    #[test]
    fn only_what_is_about_one_connection_goes_on_at_once_and_not_for_ever() {
        let first = ACCEPT_FAILURES_MAX as usize;
        for errno in [Errno::ECONNABORTED, Errno::EPROTO, Errno::EHOSTUNREACH, Errno::EINTR] {
            let pauses = pauses(errno, first + 2);
            assert!(pauses[..first].iter().all(|pause_ms| *pause_ms == 0), "{errno}");
            assert_eq!(pauses[first..], [ACCEPT_RETRY_MS, 2 * ACCEPT_RETRY_MS], "{errno}");
        }
        // Whatever it is: 4095 is the highest number of an error.
        for number in 1..=4095 {
            let pauses = pauses(Errno::from_raw(number), first + 1);
            assert!(pauses[first] >= ACCEPT_RETRY_MS, "{number}");
        }
    }

    #[test]
    fn pauses_grow_up_to_their_bound_but_where_something_is_wanting() {
        let listener = pauses(Errno::EINVAL, 100);
        assert_eq!(listener[..3], [1, 2, 4].map(|times| times * ACCEPT_RETRY_MS));
        assert!(listener[10..].iter().all(|pause_ms| *pause_ms == ACCEPT_RETRY_MS_MAX));
        assert!(pauses(Errno::EMFILE, 100).iter().all(|pause_ms| *pause_ms == ACCEPT_RETRY_MS));
    }

    #[test]
    fn a_success_ends_it_and_is_told_if_the_failure_was() {
        let mut backoff = Backoff::default();
        assert!(!backoff.works(), "it never failed");
        assert_eq!(backoff.failed(Errno::EPERM, 1), Next::Pause { is_told: true });
        assert_eq!(backoff.failed(Errno::EPERM, 2), Next::Pause { is_told: false });
        assert!(backoff.works() && !backoff.works());
        assert_eq!(backoff.until_ns(), None);
        // It comes and goes: told once in a while, and each in its turn.
        for now_ns in 3..100 {
            assert_eq!(backoff.failed(Errno::EMFILE, now_ns), Next::Pause { is_told: false });
            assert!(!backoff.works());
        }
        let later_ns = 1 + LOG_THROTTLE_MS * 1_000_000;
        assert_eq!(backoff.failed(Errno::EMFILE, later_ns), Next::Pause { is_told: true });
        assert!(backoff.works());
    }
}
