//! How often a client may do something: a token limiter, without tokens. It is one number, the time at which the limiter
//! will be full again; each thing done puts that off, and nothing has to be refilled.

/// So many in a time, of which so many may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The time from one to the next, in nanoseconds.
    interval_ns: u64,
    /// What fills an empty limiter, in nanoseconds.
    burst_ns: u64,
}

impl Rate {
    /// `count` in `period_ns` nanoseconds, as many at once as come in `burst_ns`, but one at least.
    ///
    /// # Panics
    /// If the count is zero: that is no rate. Options refuse it.
    pub const fn new(count: u64, period_ns: u64, burst_ns: u64) -> Self {
        let interval_ns = period_ns.div_ceil(count);
        Self { interval_ns, burst_ns: if burst_ns > interval_ns { burst_ns } else { interval_ns } }
    }
}

/// The limiter of one client. It begins full.
#[derive(Default)]
pub struct RateLimiter {
    full_at_ns: u64,
}

impl RateLimiter {
    /// A full one.
    pub const FULL: Self = Self { full_at_ns: 0 };

    /// Whether one may be taken now.
    pub fn has_one(&self, rate: Rate, now_ns: u64) -> bool {
        self.ready_ns(rate) <= now_ns
    }

    /// When one may be taken, in nanoseconds: it may have come already.
    pub fn ready_ns(&self, rate: Rate) -> u64 {
        (self.full_at_ns + rate.interval_ns).saturating_sub(rate.burst_ns)
    }

    /// Takes one; false: it has none, and is as it was.
    pub fn take(&mut self, rate: Rate, now_ns: u64) -> bool {
        let has_one = self.has_one(rate, now_ns);
        if has_one {
            self.full_at_ns = self.full_at_ns.max(now_ns) + rate.interval_ns;
        }
        has_one
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND_NS: u64 = 1_000_000_000;

    fn taken(limiter: &mut RateLimiter, rate: Rate, now_ns: u64) -> usize {
        std::iter::from_fn(|| limiter.take(rate, now_ns).then_some(())).count()
    }

    #[test]
    fn it_gives_its_burst_and_then_one_an_interval() {
        let (mut limiter, rate) = (RateLimiter::FULL, Rate::new(5, SECOND_NS, SECOND_NS));
        assert_eq!(taken(&mut limiter, rate, 7 * SECOND_NS), 5);
        assert_eq!(limiter.ready_ns(rate), 7 * SECOND_NS + 200_000_000);
        assert_eq!(taken(&mut limiter, rate, 7 * SECOND_NS + 199_999_999), 0);
        assert_eq!(taken(&mut limiter, rate, 7 * SECOND_NS + 200_000_000), 1);
        assert_eq!(taken(&mut limiter, rate, 8 * SECOND_NS - 200_000_000), 3);
        assert_eq!(
            taken(&mut limiter, rate, 100 * SECOND_NS),
            5,
            "no more than its burst, however long it was left alone"
        );
    }

    #[test]
    fn one_comes_at_once_even_of_a_rate_that_is_slower_than_its_burst() {
        let (mut limiter, rate) = (RateLimiter::FULL, Rate::new(1, 60 * SECOND_NS, SECOND_NS));
        assert_eq!(taken(&mut limiter, rate, 0), 1);
        assert!(!limiter.has_one(rate, 60 * SECOND_NS - 1));
        assert_eq!(taken(&mut limiter, rate, 60 * SECOND_NS), 1);
    }

    proptest! {
        /// Against the plain model: a number of tokens that grows with the time.
        #[test]
        fn it_never_gives_more_than_the_rate_and_the_burst_and_no_less(
            count in 1..2_000u64,
            burst in 1..2_000u64,
            waits in prop::collection::vec(0..50_000_000u64, 1..300),
        ) {
            let interval = SECOND_NS.div_ceil(count);
            let (mut limiter, rate) = (RateLimiter::FULL, Rate::new(count, SECOND_NS, burst * interval));
            let (mut now, mut tokens) = (0, burst * interval);
            for wait in waits {
                now += wait;
                tokens = (tokens + wait).min(burst * interval);
                let has_one = tokens >= interval;
                prop_assert_eq!(limiter.has_one(rate, now), has_one);
                prop_assert_eq!(limiter.take(rate, now), has_one);
                tokens -= if has_one { interval } else { 0 };
            }
        }
    }
}
