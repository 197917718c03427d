//! Which class sends next: deficit round robin (Shreedhar and Varghese, "Efficient Fair Queuing Using Deficit
//! Round-Robin", 1996) with two queues, of which the urgent one leads. Knows sizes only.
//!
//! While both classes have messages, each urgent byte earns the rest credit for its share. The rest sends as soon as
//! the credit covers its next message. So with a share of up to a half, an urgent message waits for at most one message
//! of the rest, and the rest gets its share of the bytes, except for the credit that it has not spent.

use super::class::Class;

/// The largest share that the rest may be given, in percent: beyond it, "urgent" means nothing.
pub const SHARE_MAX: u64 = 90;

/// The state of the turns.
#[derive(Debug)]
pub struct Turns {
    /// The share of the bytes that the rest gets, in percent.
    share: u64,
    /// The credit of the rest, in bytes times (100 - `share`).
    earned: u64,
    /// The size of the largest message. It bounds the credit that the rest can earn while it may not send.
    bytes_max: u64,
}

impl Turns {
    /// The rest gets `share` percent, 1 to [`SHARE_MAX`]. No message has more than `bytes_max`.
    pub fn new(share: u64, bytes_max: usize) -> Self {
        Self { share: share.clamp(1, SHARE_MAX), earned: 0, bytes_max: bytes_max as u64 }
    }

    /// The class that sends next. `urgent` and `rest` are the sizes of their next messages, if they may send one.
    pub fn next(&self, urgent: Option<usize>, rest: Option<usize>) -> Option<Class> {
        match (urgent, rest) {
            (None, None) => None,
            (Some(_), None) => Some(Class::Urgent),
            (None, Some(_)) => Some(Class::Rest),
            (Some(_), Some(bytes)) if self.earned >= self.price(bytes) => Some(Class::Rest),
            (Some(_), Some(_)) => Some(Class::Urgent),
        }
    }

    /// Records that a class has sent a message of that size. `other_waits` says that the other class has a message,
    /// whether or not it may send it now.
    pub fn sent(&mut self, class: Class, bytes: usize, other_waits: bool) {
        match class {
            Class::Urgent if other_waits => {
                let most = self.bytes_max * 100;
                self.earned = (self.earned + bytes as u64 * self.share).min(most);
            }
            // The rest has no message, so its credit expires.
            Class::Urgent => self.earned = 0,
            Class::Rest => self.earned = self.earned.saturating_sub(self.price(bytes)),
        }
    }

    fn price(&self, bytes: usize) -> u64 {
        bytes as u64 * (100 - self.share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BYTES_MAX: usize = 2_000;

    #[test]
    fn a_class_alone_sends_at_once() {
        let mut turns = Turns::new(10, BYTES_MAX);
        assert_eq!(turns.next(None, None), None);
        for _ in 0..1_000 {
            assert_eq!(turns.next(None, Some(BYTES_MAX)), Some(Class::Rest));
            turns.sent(Class::Rest, BYTES_MAX, false);
            assert_eq!(turns.next(Some(1), None), Some(Class::Urgent));
        }
        assert_eq!(turns.next(Some(BYTES_MAX), Some(1)), Some(Class::Urgent), "it leads");
    }

    proptest! {
        #[test]
        fn rest_gets_its_share_of_the_bytes_and_no_more(
            share in 1..=SHARE_MAX,
            sizes in prop::collection::vec((1..=BYTES_MAX, 1..=BYTES_MAX), 1..400),
        ) {
            let mut turns = Turns::new(share, BYTES_MAX);
            let (mut urgent, mut rest) = (0, 0);
            for (urgent_bytes, rest_bytes) in sizes {
                match turns.next(Some(urgent_bytes), Some(rest_bytes)).unwrap() {
                    Class::Urgent => {
                        turns.sent(Class::Urgent, urgent_bytes, true);
                        urgent += urgent_bytes as u64;
                    }
                    Class::Rest => {
                        turns.sent(Class::Rest, rest_bytes, true);
                        rest += rest_bytes as u64;
                    }
                }
                let due = urgent * share / (100 - share);
                // The credit for one more message, and the credit from the last urgent one.
                let most = BYTES_MAX as u64 + BYTES_MAX as u64 * share / (100 - share) + 1;
                prop_assert!(rest + most >= due);
                prop_assert!(rest <= due + 1, "it gets no more than it earned");
            }
        }

        #[test]
        fn equal_sizes_split_exactly_and_urgent_waits_for_one_message(share in 1..=50_u64, bytes in 1..=BYTES_MAX) {
            let mut turns = Turns::new(share, BYTES_MAX);
            let mut rest = 0_u64;
            let rounds = 10_000;
            let mut previous = Class::Urgent;
            for _ in 0..rounds {
                let class = turns.next(Some(bytes), Some(bytes)).unwrap();
                prop_assert!(!(previous == Class::Rest && class == Class::Rest), "urgent waits for one message");
                turns.sent(class, bytes, true);
                rest += u64::from(class == Class::Rest);
                previous = class;
            }
            prop_assert!(rest.abs_diff(rounds * share / 100) <= 2, "{rest}");
        }
    }
}
