//! What the log tells of addresses that are turned away, or try wrong tokens: each of them once in a while for each reason, however often
//! it tries, and no more of them than a table of fixed size holds.

use crate::limits::{LOG_THROTTLE_ADDRESSES_MAX, LOG_THROTTLE_MS};
use heapless::Vec;
use std::net::IpAddr;

const INTERVAL_NS: u64 = LOG_THROTTLE_MS * 1_000_000;

/// What the log is to tell now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogDecision {
    /// That address.
    Address,
    /// That there are more than it can tell of.
    Overflow,
    /// Nothing: it was told lately.
    Nothing,
}

/// The addresses that the log has told of lately.
pub struct LogThrottle<R> {
    /// With the time when it was told, in nanoseconds.
    recent: Vec<(IpAddr, R, u64), LOG_THROTTLE_ADDRESSES_MAX>,
    crowd_ns: Option<u64>,
}

impl<R: Copy + PartialEq> Default for LogThrottle<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Copy + PartialEq> LogThrottle<R> {
    /// It has told of nobody.
    pub const fn new() -> Self {
        Self { recent: Vec::new(), crowd_ns: None }
    }

    /// What to tell of that address at this time, which is told that.
    pub fn of(&mut self, address: IpAddr, why: R, now_ns: u64) -> LogDecision {
        self.recent.retain(|(.., told_ns)| !is_over(*told_ns, now_ns));
        if self.recent.iter().any(|(told, reason, _)| (*told, *reason) == (address, why)) {
            return LogDecision::Nothing;
        }
        match self.recent.push((address, why, now_ns)) {
            Ok(()) => LogDecision::Address,
            Err(_) if self.crowd_ns.is_none_or(|told_ns| is_over(told_ns, now_ns)) => {
                self.crowd_ns = Some(now_ns);
                LogDecision::Overflow
            }
            Err(_) => LogDecision::Nothing,
        }
    }
}

/// Whether what was told then may be told again.
fn is_over(told_ns: u64, now_ns: u64) -> bool {
    now_ns - told_ns >= INTERVAL_NS
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
    fn an_address_is_told_once_in_its_time() {
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
        assert_eq!(other, LogDecision::Address, "another reason is told too");
    }

    #[test]
    fn a_flood_of_addresses_is_told_in_a_bounded_number_of_lines() {
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
