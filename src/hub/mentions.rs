//! What the log tells of addresses that are turned away, or try wrong tokens: each of them once in a while for each reason, however often
//! it tries, and no more of them than a table of fixed size holds.

use crate::limits::{MENTION_INTERVAL_MS, MENTIONS_MAX};
use crate::wire::reply::Farewell;
use heapless::Vec;
use std::net::IpAddr;

const INTERVAL_NS: u64 = MENTION_INTERVAL_MS * 1_000_000;

/// What the log is to tell now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mention {
    /// That address.
    Address,
    /// That there are more than it can tell of.
    Crowd,
    /// Nothing: it was told lately.
    Nothing,
}

/// The addresses that the log has told of lately.
#[derive(Default)]
pub struct Mentions {
    /// With the time when it was told, in nanoseconds.
    recent: Vec<(IpAddr, Farewell, u64), MENTIONS_MAX>,
    crowd_ns: Option<u64>,
}

impl Mentions {
    /// It has told of nobody.
    pub const fn new() -> Self {
        Self { recent: Vec::new(), crowd_ns: None }
    }

    /// What to tell of that address at this time, which is told that.
    pub fn of(&mut self, address: IpAddr, why: Farewell, now_ns: u64) -> Mention {
        self.recent.retain(|(.., told_ns)| !is_over(*told_ns, now_ns));
        if self.recent.iter().any(|(told, reason, _)| (*told, *reason) == (address, why)) {
            return Mention::Nothing;
        }
        match self.recent.push((address, why, now_ns)) {
            Ok(()) => Mention::Address,
            Err(_) if self.crowd_ns.is_none_or(|told_ns| is_over(told_ns, now_ns)) => {
                self.crowd_ns = Some(now_ns);
                Mention::Crowd
            }
            Err(_) => Mention::Nothing,
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
    use std::net::Ipv4Addr;

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    #[test]
    fn an_address_is_told_once_in_its_time() {
        let mut mentions = Mentions::default();
        for (number, now_ns, expected) in [
            (1, 5, Mention::Address),
            (1, 5, Mention::Nothing),
            (2, 6, Mention::Address),
            (1, 4 + INTERVAL_NS, Mention::Nothing),
            (1, 5 + INTERVAL_NS, Mention::Address),
            (2, 5 + INTERVAL_NS, Mention::Nothing),
            (2, 6 + INTERVAL_NS, Mention::Address),
        ] {
            assert_eq!(
                mentions.of(address(number), Farewell::Full, now_ns),
                expected,
                "{number} at {now_ns}"
            );
        }
        let other = mentions.of(address(2), Farewell::AddressFull, 6 + INTERVAL_NS);
        assert_eq!(other, Mention::Address, "another reason is told too");
    }

    #[test]
    fn a_flood_of_addresses_is_told_in_a_bounded_number_of_lines() {
        let mut mentions = Mentions::default();
        let mut lines = [0; 3];
        for number in 0..100_000_u32 {
            // Ten times the interval in all.
            let now_ns = u64::from(number) * (INTERVAL_NS / 10_000);
            match mentions.of(address(number), Farewell::Full, now_ns) {
                Mention::Address => lines[0] += 1,
                Mention::Crowd => lines[1] += 1,
                Mention::Nothing => lines[2] += 1,
            }
        }
        assert_eq!(lines[..2], [10 * MENTIONS_MAX, 10]);
    }
}
