//! The log throttle: the log names an address that is rejected, or that tries wrong tokens, once in a period for each
//! reason, however often the address tries. It names at most as many addresses as a table of fixed size holds.

use crate::limits::{LOG_THROTTLE_ADDRESSES_MAX, LOG_THROTTLE_MS};
use heapless::Vec;
use std::net::IpAddr;

const INTERVAL_NS: u64 = LOG_THROTTLE_MS * 1_000_000;

/// What to log now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogDecision {
    /// The address.
    Address,
    /// That there are more addresses than the table holds.
    Overflow,
    /// Nothing: it was logged recently.
    Nothing,
}

/// The addresses that the log has named recently.
pub struct LogThrottle<R> {
    /// Each address with the reason, and when it was logged, in nanoseconds.
    recent: Vec<(IpAddr, R, u64), LOG_THROTTLE_ADDRESSES_MAX>,
    overflow_ns: Option<u64>,
}

impl<R: Copy + PartialEq> Default for LogThrottle<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Copy + PartialEq> LogThrottle<R> {
    /// A throttle for a log that has named no address.
    pub const fn new() -> Self {
        Self { recent: Vec::new(), overflow_ns: None }
    }

    /// What to log about an address at `now_ns`, in nanoseconds. The caller then logs that.
    pub fn of(&mut self, address: IpAddr, why: R, now_ns: u64) -> LogDecision {
        self.recent.retain(|(.., logged_ns)| !is_over(*logged_ns, now_ns));
        if self.recent.iter().any(|(named, reason, _)| (*named, *reason) == (address, why)) {
            return LogDecision::Nothing;
        }
        match self.recent.push((address, why, now_ns)) {
            Ok(()) => LogDecision::Address,
            Err(_) if self.overflow_ns.is_none_or(|logged_ns| is_over(logged_ns, now_ns)) => {
                self.overflow_ns = Some(now_ns);
                LogDecision::Overflow
            }
            Err(_) => LogDecision::Nothing,
        }
    }
}

/// Whether what was logged at `logged_ns` may be logged again.
fn is_over(logged_ns: u64, now_ns: u64) -> bool {
    now_ns - logged_ns >= INTERVAL_NS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::reply::Farewell;
    use std::net::Ipv4Addr;

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    #[test]
    fn address_is_logged_once_in_each_period() {
        let mut throttle = LogThrottle::new();
        for (number, now_ns, expected) in [
            (1, 5, LogDecision::Address),
            (1, 5, LogDecision::Nothing),
            (2, 6, LogDecision::Address),
            (1, 4 + INTERVAL_NS, LogDecision::Nothing),
            (1, 5 + INTERVAL_NS, LogDecision::Address),
            (2, 5 + INTERVAL_NS, LogDecision::Nothing),
            (2, 6 + INTERVAL_NS, LogDecision::Address),
        ] {
            assert_eq!(
                throttle.of(address(number), Farewell::Full, now_ns),
                expected,
                "{number} at {now_ns}"
            );
        }
        let other = throttle.of(address(2), Farewell::AddressFull, 6 + INTERVAL_NS);
        assert_eq!(other, LogDecision::Address, "another reason is logged, too");
    }

    #[test]
    fn flood_of_addresses_is_logged_in_a_bounded_number_of_lines() {
        let mut throttle = LogThrottle::new();
        let mut lines = [0; 3];
        for number in 0..100_000_u32 {
            // Ten times the interval in all.
            let now_ns = u64::from(number) * (INTERVAL_NS / 10_000);
            match throttle.of(address(number), Farewell::Full, now_ns) {
                LogDecision::Address => lines[0] += 1,
                LogDecision::Overflow => lines[1] += 1,
                LogDecision::Nothing => lines[2] += 1,
            }
        }
        assert_eq!(lines[..2], [10 * LOG_THROTTLE_ADDRESSES_MAX, 10]);
    }
}
