//! Limits how long a thread waits for sends of other threads. A client whose thread sends all the time, because it
//! floods the server with commands, would otherwise delay the messages of all others.

use crate::clock;
use crate::hub::egress::shared_outbox::LockedOutbox;
use crate::hub::rate_limit::{Rate, RateLimiter};
use crate::limits::{SEND_WAIT_BURST_MS, SEND_WAIT_DIVISOR};

/// The limit: an event is one nanosecond of waiting.
const RATE: Rate = Rate::new(1, SEND_WAIT_DIVISOR, SEND_WAIT_DIVISOR * SEND_WAIT_BURST_MS * 1_000_000);

/// The time that a thread has waited for sends of others. A new one permits a whole burst.
#[derive(Default)]
pub struct SendWaits(RateLimiter);

impl SendWaits {
    /// Waits for the send in progress of another thread. Returns false if the thread must not wait now.
    pub fn await_send(&mut self, outbox: &mut LockedOutbox<'_>) -> bool {
        let from_ns = clock::now_ns();
        let is_permitted = self.is_permitted(from_ns);
        if is_permitted {
            outbox.await_send();
            let now_ns = clock::now_ns();
            self.charge(now_ns.saturating_sub(from_ns), now_ns);
        }
        is_permitted
    }

    /// One that permits no wait for a while.
    #[cfg(test)]
    pub fn exhausted() -> Self {
        let mut waits = Self::default();
        waits.charge(2 * SEND_WAIT_BURST_MS * 1_000_000, clock::now_ns());
        waits
    }

    fn is_permitted(&self, now_ns: u64) -> bool {
        self.0.has_one(RATE, now_ns)
    }

    fn charge(&mut self, waited_ns: u64, now_ns: u64) {
        self.0.charge(RATE, waited_ns, now_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn after_a_burst_only_a_share_of_the_time_is_permitted() {
        let (mut waits, mut now_ns) = (SendWaits::default(), 1_000 * MS);
        for waited_ms in (0..SEND_WAIT_BURST_MS).step_by(100) {
            assert!(waits.is_permitted(now_ns), "after {waited_ms} ms");
            waits.charge(100 * MS, now_ns);
        }
        assert!(!waits.is_permitted(now_ns));
        now_ns += MS;
        assert!(waits.is_permitted(now_ns));
        waits.charge(10 * MS, now_ns);
        now_ns += 10 * SEND_WAIT_DIVISOR * MS;
        assert!(!waits.is_permitted(now_ns - 2 * MS) && waits.is_permitted(now_ns));
    }
}
