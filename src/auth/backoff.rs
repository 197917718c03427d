//! The login back-off: an address waits longer after each wrong token. All its connections share the back-off.
//!
//! Two delays bound how many tokens an address can try. The *reply* to a wrong token is delayed, longer each time. And
//! for [`WRONG_TOKEN_MS`] after a wrong token, the server *checks* no token from that address, not even a right one.
//! Otherwise a client could avoid the delay: it would try the next token at once on another connection. Connections
//! whose token is not checked yet wait in a queue, each at most once. So a client that shares its address with clients
//! that try wrong tokens waits for at most [`WRONG_TOKEN_MS`] per connection of the address. A client that reconnects
//! goes to the end of the queue.
//!
//! Other addresses are not affected. A table of fixed size holds the addresses. When it is full, all further addresses
//! share one record, as if they were one address. So a client with many addresses can try at most [`SUSPECTS_MAX`]
//! tokens at a time, and one more for all further addresses together.

use crate::conn_id::ConnId;
use crate::limits::{CLIENTS, SUSPECTS_MAX, WRONG_TOKEN_MEMORY_MS, WRONG_TOKEN_MS, WRONG_TOKEN_MS_MAX};
use heapless::Vec;
use std::net::IpAddr;

const MEMORY_NS: u64 = WRONG_TOKEN_MEMORY_MS * 1_000_000;
const INTERVAL_NS: u64 = WRONG_TOKEN_MS * 1_000_000;

/// The addresses that have tried wrong tokens recently, and the queue of the connections that wait.
#[derive(Default)]
pub struct LoginBackoff {
    suspects: Vec<(IpAddr, Record), SUSPECTS_MAX>,
    /// The record shared by all addresses that found no room in the table.
    others: Record,
    /// The connections whose token is not checked yet, with their addresses, in order of arrival.
    queue: Vec<(ConnId, IpAddr), CLIENTS>,
}

/// The wrong tokens of one address.
#[derive(Clone, Copy, Default)]
struct Record {
    wrong: u32,
    /// Until when no token is checked, in nanoseconds.
    until_ns: u64,
    /// When the last wrong token gets its reply, in nanoseconds.
    answer_ns: u64,
}

impl Record {
    const NOTHING: Self = Self { wrong: 0, until_ns: 0, answer_ns: 0 };

    fn is_forgotten(&self, now_ns: u64) -> bool {
        self.answer_ns + MEMORY_NS <= now_ns
    }

    /// Adds a wrong token, and returns when it gets its reply.
    fn add(&mut self, now_ns: u64) -> u64 {
        let doubled = 1_u64.checked_shl(self.wrong).and_then(|times| WRONG_TOKEN_MS.checked_mul(times));
        let cost_ms = doubled.map_or(WRONG_TOKEN_MS_MAX, |cost_ms| cost_ms.min(WRONG_TOKEN_MS_MAX));
        self.wrong = self.wrong.saturating_add(1);
        self.until_ns = now_ns + INTERVAL_NS;
        self.answer_ns = now_ns + cost_ms * 1_000_000;
        self.answer_ns
    }
}

impl LoginBackoff {
    /// A back-off without any wrong tokens.
    pub const fn new() -> Self {
        Self { suspects: Vec::new(), others: Record::NOTHING, queue: Vec::new() }
    }

    /// When the connection must show its token again, in nanoseconds; `None`: check the token now. Until then, the
    /// connection stays in the queue unless it [leaves](Self::leave).
    pub fn waits_until(&mut self, conn: ConnId, address: IpAddr, now_ns: u64) -> Option<u64> {
        self.forget(now_ns);
        let until_ns = self.record(address).map_or(0, |record| record.until_ns).max(now_ns);
        let place = self.queue.iter().position(|(waiting, _)| *waiting == conn);
        let before = &self.queue[..place.unwrap_or(self.queue.len())];
        let ahead = before.iter().filter(|(_, other)| self.wait_together(*other, address)).count();
        if ahead == 0 && until_ns == now_ns {
            self.leave(conn);
            return None;
        }
        if place.is_none() {
            // The queue has room, because it holds each connection at most once.
            let _ = self.queue.push((conn, address));
        }
        Some(until_ns + ahead as u64 * INTERVAL_NS)
    }

    /// Removes a connection from the queue, if it is there.
    pub fn leave(&mut self, conn: ConnId) {
        self.queue.retain(|(waiting, _)| *waiting != conn);
    }

    /// Records a wrong token from that address, and returns when it gets its reply, in nanoseconds.
    pub fn note_wrong(&mut self, address: IpAddr, now_ns: u64) -> u64 {
        self.forget(now_ns);
        if let Some(record) = self.record(address) {
            return record.add(now_ns);
        }
        let mut record = Record::NOTHING;
        let answer_ns = record.add(now_ns);
        // The table has room; otherwise `record` would have returned the shared record.
        let _ = self.suspects.push((address, record));
        answer_ns
    }

    /// The record of that address; `None`: it has no record yet, and the table has room for one.
    fn record(&mut self, address: IpAddr) -> Option<&mut Record> {
        match self.place(address) {
            Some(place) => Some(&mut self.suspects[place].1),
            None if self.suspects.is_full() => Some(&mut self.others),
            None => None,
        }
    }

    fn place(&self, address: IpAddr) -> Option<usize> {
        self.suspects.iter().position(|(suspect, _)| *suspect == address)
    }

    /// Whether two addresses share a record.
    fn wait_together(&self, one: IpAddr, other: IpAddr) -> bool {
        let is_other = |address| self.suspects.is_full() && self.place(address).is_none();
        one == other || is_other(one) && is_other(other)
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
    use crate::limits::PER_ADDRESS_DEFAULT;
    use std::net::Ipv4Addr;

    const S: u64 = 1_000_000_000;

    fn conn(index: usize) -> ConnId {
        ConnId::new(index)
    }

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    #[test]
    fn each_wrong_token_costs_twice_as_much_up_to_a_bound() {
        let (mut backoff, mut now_ns) = (LoginBackoff::new(), 5);
        assert_eq!(backoff.waits_until(conn(1), address(1), now_ns), None);
        for cost_s in [1, 2, 4, 8].into_iter().chain([8; 100]) {
            assert_eq!(backoff.note_wrong(address(1), now_ns), now_ns + cost_s * S);
            let until_ns = now_ns + INTERVAL_NS;
            assert_eq!(backoff.waits_until(conn(1), address(1), now_ns), Some(until_ns));
            assert_eq!(backoff.waits_until(conn(1), address(1), until_ns - 1), Some(until_ns));
            assert_eq!(backoff.waits_until(conn(1), address(1), until_ns), None);
            assert_eq!(backoff.waits_until(conn(2), address(2), now_ns), None, "others do not wait");
            now_ns = until_ns;
        }
    }

    #[test]
    fn wrong_tokens_are_forgotten_after_a_time_and_not_before() {
        let mut backoff = LoginBackoff::new();
        let first_ns = backoff.note_wrong(address(1), 0);
        let second_ns = backoff.note_wrong(address(1), first_ns + MEMORY_NS - 1);
        assert_eq!(second_ns, first_ns + MEMORY_NS - 1 + 2 * S);
        assert_eq!(backoff.note_wrong(address(1), second_ns + MEMORY_NS), second_ns + MEMORY_NS + S);
    }

    #[test]
    fn addresses_without_room_in_the_table_wait_together() {
        let mut backoff = LoginBackoff::new();
        for number in 0..SUSPECTS_MAX as u32 {
            assert_eq!(backoff.note_wrong(address(number), 0), S);
        }
        assert_eq!(
            backoff.waits_until(conn(0), address(1000), 0),
            None,
            "none of them has tried a wrong token yet"
        );
        assert_eq!(backoff.note_wrong(address(1000), 0), S);
        assert_eq!(backoff.waits_until(conn(1), address(1001), 0), Some(S));
        assert_eq!(backoff.waits_until(conn(2), address(1002), 0), Some(2 * S), "in a queue");
        assert_eq!(
            backoff.waits_until(conn(3), address(0), S),
            None,
            "an address in the table has its own time"
        );
        assert_eq!(backoff.waits_until(conn(1), address(1001), S), None);
        assert_eq!(backoff.note_wrong(address(1001), S), 3 * S);
        assert_eq!(backoff.note_wrong(address(0), S), 3 * S);
        let later_ns = 3 * S + MEMORY_NS;
        backoff.leave(conn(2));
        assert_eq!(backoff.waits_until(conn(4), address(1003), later_ns), None);
        assert_eq!(backoff.note_wrong(address(1003), later_ns), later_ns + S, "all is forgotten");
    }

    /// One connection of an address.
    struct Connection {
        conn: ConnId,
        /// When it shows a token next, in nanoseconds.
        due_ns: u64,
    }

    #[test]
    fn client_that_shares_its_address_with_guessers_waits_for_a_bounded_time() {
        let (mut backoff, mut now_ns, mut wrong) = (LoginBackoff::new(), 0, 0_u64);
        const HONEST: ConnId = ConnId::FIRST;
        // All others try as fast as they can: they leave as soon as their token is checked, and connect again at once.
        let mut others: Vec<Connection, PER_ADDRESS_DEFAULT> = Vec::new();
        for conn in ConnId::range(1..PER_ADDRESS_DEFAULT) {
            let _ = others.push(Connection { conn, due_ns: 0 });
        }
        for try_ in 0..20 {
            // The honest client connects in between, at another moment each time.
            let comes_ns = now_ns + try_ * S / 7;
            let (mut due_ns, mut is_in) = (comes_ns, false);
            while !is_in {
                now_ns = others.iter().map(|other| other.due_ns).chain([due_ns]).min().unwrap();
                for other in others.iter_mut().filter(|other| other.due_ns == now_ns) {
                    other.due_ns = backoff.waits_until(other.conn, address(1), now_ns).unwrap_or_else(|| {
                        wrong += 1;
                        backoff.note_wrong(address(1), now_ns);
                        now_ns + 1
                    });
                }
                if due_ns == now_ns {
                    match backoff.waits_until(HONEST, address(1), now_ns) {
                        Some(later_ns) => due_ns = later_ns,
                        None => is_in = true,
                    }
                }
            }
            let waited_ns = now_ns - comes_ns;
            assert!(waited_ns <= PER_ADDRESS_DEFAULT as u64 * INTERVAL_NS, "try {try_}: {waited_ns}");
        }
        assert!(wrong <= now_ns / INTERVAL_NS + 1, "{wrong} wrong ones in {now_ns} ns");
    }

    #[test]
    fn connection_that_leaves_the_queue_delays_no_other() {
        let mut backoff = LoginBackoff::new();
        backoff.note_wrong(address(1), 0);
        for conn in ConnId::all() {
            let due_ns = (conn.index() as u64 + 1) * S;
            assert_eq!(backoff.waits_until(conn, address(1), 0), Some(due_ns));
            assert_eq!(backoff.waits_until(conn, address(1), 0), Some(due_ns), "it is in the queue once");
        }
        ConnId::range(0..CLIENTS - 1).for_each(|conn| backoff.leave(conn));
        assert_eq!(backoff.waits_until(conn(CLIENTS - 1), address(1), S), None);
        assert_eq!(backoff.queue.len(), 0);
    }
}
