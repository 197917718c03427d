//! How long an address waits that tries wrong tokens: longer each time, on whichever connection it tries.
//!
//! While an address waits, no token from there is looked at, a right one neither: else who does not wait for the answer, and tries
//! on another connection at once, would not be slowed down at all. Others notice nothing of it. Addresses are remembered in a
//! table of fixed size. When it is full all further ones wait together, as if they were one: so who has many addresses tries
//! [`SUSPECTS_MAX`] tokens at a time and not one more.

use crate::limits::{SUSPECTS_MAX, WRONG_TOKEN_MEMORY_MS, WRONG_TOKEN_MS, WRONG_TOKEN_MS_MAX};
use heapless::Vec;
use std::net::IpAddr;

const MEMORY_NS: u64 = WRONG_TOKEN_MEMORY_MS * 1_000_000;

/// Who tried wrong tokens lately.
#[derive(Default)]
pub struct Brake {
    suspects: Vec<(IpAddr, Record), SUSPECTS_MAX>,
    /// All that the table has no room for.
    others: Record,
}

/// What is known of an address.
#[derive(Clone, Copy, Default)]
struct Record {
    wrong: u32,
    /// Until when it waits, in nanoseconds.
    until_ns: u64,
}

impl Record {
    const NOTHING: Self = Self { wrong: 0, until_ns: 0 };

    fn is_forgotten(&self, now_ns: u64) -> bool {
        self.until_ns + MEMORY_NS <= now_ns
    }

    /// One more; returns until when it waits.
    fn add(&mut self, now_ns: u64) -> u64 {
        let doubled = 1_u64.checked_shl(self.wrong).and_then(|times| WRONG_TOKEN_MS.checked_mul(times));
        let cost_ms = doubled.map_or(WRONG_TOKEN_MS_MAX, |cost_ms| cost_ms.min(WRONG_TOKEN_MS_MAX));
        self.wrong = self.wrong.saturating_add(1);
        self.until_ns = now_ns + cost_ms * 1_000_000;
        self.until_ns
    }
}

impl Brake {
    /// Nobody has tried anything.
    pub const fn new() -> Self {
        Self { suspects: Vec::new(), others: Record::NOTHING }
    }

    /// Until when no token from that address is looked at, in nanoseconds; none: it need not wait.
    pub fn waits_until(&mut self, address: IpAddr, now_ns: u64) -> Option<u64> {
        self.forget(now_ns);
        let until_ns = self.record(address).map_or(0, |record| record.until_ns);
        (now_ns < until_ns).then_some(until_ns)
    }

    /// That address has tried a wrong one; until when it waits, in nanoseconds.
    pub fn note(&mut self, address: IpAddr, now_ns: u64) -> u64 {
        self.forget(now_ns);
        if let Some(record) = self.record(address) {
            return record.add(now_ns);
        }
        let mut record = Record::NOTHING;
        let until_ns = record.add(now_ns);
        // There is room, or it would count as one of the others.
        let _ = self.suspects.push((address, record));
        until_ns
    }

    /// What that address shares; none: nothing is known of it, and there is room for it.
    fn record(&mut self, address: IpAddr) -> Option<&mut Record> {
        match self.suspects.iter().position(|(suspect, _)| *suspect == address) {
            Some(place) => Some(&mut self.suspects[place].1),
            None if self.suspects.is_full() => Some(&mut self.others),
            None => None,
        }
    }

    fn forget(&mut self, now_ns: u64) {
        self.suspects.retain(|(_, record)| !record.is_forgotten(now_ns));
        if self.others.is_forgotten(now_ns) {
            self.others = Record::NOTHING;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const S: u64 = 1_000_000_000;

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    #[test]
    fn each_wrong_token_costs_twice_as_much_up_to_a_bound() {
        let (mut brake, mut now_ns) = (Brake::new(), 5);
        assert_eq!(brake.waits_until(address(1), now_ns), None);
        for cost_s in [1, 2, 4, 8].into_iter().chain([8; 100]) {
            let until_ns = brake.note(address(1), now_ns);
            assert_eq!(until_ns, now_ns + cost_s * S);
            assert_eq!(brake.waits_until(address(1), now_ns), Some(until_ns));
            assert_eq!(brake.waits_until(address(1), until_ns - 1), Some(until_ns));
            assert_eq!(brake.waits_until(address(1), until_ns), None);
            assert_eq!(brake.waits_until(address(2), now_ns), None, "others do not wait");
            now_ns = until_ns;
        }
    }

    #[test]
    fn it_is_forgotten_after_a_time_and_not_before() {
        let mut brake = Brake::new();
        let first_ns = brake.note(address(1), 0);
        let second_ns = brake.note(address(1), first_ns + MEMORY_NS - 1);
        assert_eq!(second_ns, first_ns + MEMORY_NS - 1 + 2 * S);
        assert_eq!(brake.note(address(1), second_ns + MEMORY_NS), second_ns + MEMORY_NS + S);
    }

    #[test]
    fn those_who_find_no_room_wait_together() {
        let mut brake = Brake::new();
        for number in 0..SUSPECTS_MAX as u32 {
            assert_eq!(brake.note(address(number), 0), S);
        }
        assert_eq!(brake.waits_until(address(1000), 0), None, "one of them has to begin");
        assert_eq!(brake.note(address(1000), 0), S);
        assert_eq!(brake.waits_until(address(1001), 0), Some(S));
        assert_eq!(brake.note(address(1001), S), 3 * S);
        assert_eq!(brake.waits_until(address(0), S), None, "one in the table has its own time");
        assert_eq!(brake.note(address(0), S), 3 * S);
        let later_ns = 3 * S + MEMORY_NS;
        assert_eq!(brake.waits_until(address(1002), later_ns), None);
        assert_eq!(brake.note(address(1002), later_ns), later_ns + S, "all is forgotten");
    }
}
