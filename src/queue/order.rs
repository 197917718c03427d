//! The order of waiting messages.
//!
//! Each admitted message gets a *stamp*: the time of its admission in nanoseconds, made strictly increasing, so that
//! it also gives the order of admission. Priority and stamp together are one integer, the *key*. The message with the
//! greatest key is processed next.
//!
//! Without aging, the upper bits of the key are the priority, and the lower bits are the inverted stamp: priority
//! first, then the order of admission. With aging, a message counts one priority higher for every `aging_ns` that it
//! has waited. That is pro rata, so the order of two messages never changes while they wait, and a heap is enough.
//! Priority `p` at stamp `s` is equivalent to priority 9 at the virtual stamp `s + (9 - p) * aging_ns`, and the least
//! virtual stamp comes first. So only messages that were admitted within `(9 - p) * aging_ns` after a message of
//! priority `p` can overtake it: that is the bound on its wait.

use crate::protocol::Priority;

/// Bits of a stamp: nanoseconds of 36 years.
const STAMP_BITS: u32 = 60;
const STAMP_MASK: u64 = (1 << STAMP_BITS) - 1;

/// The order of messages: with aging or without.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// How long a message waits to count one priority higher, in nanoseconds; 0 for no aging.
    aging_ns: u64,
}

impl Order {
    /// Priority first, then the order of admission.
    pub const STRICT: Self = Self { aging_ns: 0 };

    /// A message counts one priority higher for every `aging_ns` nanoseconds that it has waited.
    ///
    /// # Panics
    /// If `aging_ns` is 0: that would make all priorities equal.
    pub const fn aging(aging_ns: u64) -> Self {
        assert!(aging_ns > 0);
        Self { aging_ns }
    }

    /// The key of a message. The message with the greater key is processed first.
    pub const fn key(self, priority: Priority, stamp: u64) -> u64 {
        if self.aging_ns == 0 {
            return (priority.number() as u64) << STAMP_BITS | (STAMP_MASK & !stamp);
        }
        // If two levels are equal, the less urgent message was admitted earlier. The lowest digit of the key makes it
        // go first.
        let level = stamp + Self::distance(priority) * self.aging_ns;
        !(level << 4 | priority.number() as u64)
    }

    /// The priority and the stamp that make up a key.
    pub fn read(self, key: u64) -> (Priority, u64) {
        if self.aging_ns == 0 {
            return (Self::priority(key >> STAMP_BITS), STAMP_MASK & !key);
        }
        let priority = Self::priority(!key & 0xf);
        (priority, (!key >> 4) - Self::distance(priority) * self.aging_ns)
    }

    /// How many priorities there are above that one.
    const fn distance(priority: Priority) -> u64 {
        (Priority::URGENT.number() - priority.number()) as u64
    }

    fn priority(number: u64) -> Priority {
        Priority::new(number as u8).expect("a key holds a priority")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn priorities() -> impl Strategy<Value = Priority> {
        (0..Priority::COUNT as u8).prop_map(|number| Priority::new(number).unwrap())
    }

    proptest! {
        #[test]
        fn key_can_be_read(p in priorities(), stamp in 0u64..1 << 59, aging in 0u64..86_400_000_000_000) {
            let order = if aging == 0 { Order::STRICT } else { Order::aging(aging) };
            prop_assert_eq!(order.read(order.key(p, stamp)), (p, stamp));
        }

        #[test]
        fn strictly_priority_comes_first_then_admission(
            (a, b) in (priorities(), priorities()),
            (s, t) in (0u64..99, 0u64..99),
        ) {
            let first = Order::STRICT.key(a, s) > Order::STRICT.key(b, t);
            prop_assert_eq!(first, (a, t) > (b, s));
        }

        #[test]
        fn aging_compares_priority_plus_wait(a in priorities(), s in 0u64..999, b in priorities(), t in 0u64..999,
                                             aging in 1u64..200) {
            prop_assume!(s != t);
            let order = Order::aging(aging);
            // The aged priority of each message at a later time, in units of 1 / aging. If they are equal, the earlier
            // message comes first.
            let (now, unit) = (1_000, aging);
            let worth = |p: Priority, stamp| u64::from(p.number()) * unit + (now - stamp);
            let first = (worth(a, s), t) > (worth(b, t), s);
            prop_assert_eq!(order.key(a, s) > order.key(b, t), first);
        }
    }
}
