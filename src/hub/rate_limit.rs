//! A rate limiter: the generic cell rate algorithm (GCRA, ITU-T I.371). It is equivalent to a token bucket, but keeps
//! only one number: the time at which the bucket will be full again. Each event that passes moves that time later, so
//! nothing has to refill the bucket.

/// How many events may pass in a period, and how many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The time between two events at a steady rate, in nanoseconds.
    interval_ns: u64,
    /// How long an empty limiter takes to be full, in nanoseconds.
    burst_ns: u64,
}

impl Rate {
    /// `count` events in `period_ns` nanoseconds. The largest burst is the number of events that the rate gives in
    /// `burst_ns` nanoseconds, but at least one.
    ///
    /// # Panics
    /// If the count is zero. The options do not allow that.
    pub const fn new(count: u64, period_ns: u64, burst_ns: u64) -> Self {
        let interval_ns = period_ns.div_ceil(count);
        Self { interval_ns, burst_ns: if burst_ns > interval_ns { burst_ns } else { interval_ns } }
    }
}

/// The limiter of one client. A new one is full.
#[derive(Default)]
pub struct RateLimiter {
    /// When the limiter will be full again, in nanoseconds.
    full_at_ns: u64,
}

impl RateLimiter {
    /// A full limiter.
    pub const FULL: Self = Self { full_at_ns: 0 };

    /// Whether an event may pass now.
    pub fn has_one(&self, rate: Rate, now_ns: u64) -> bool {
        self.ready_ns(rate) <= now_ns
    }

    /// When the next event may pass, in nanoseconds. That time may be in the past.
    pub fn ready_ns(&self, rate: Rate) -> u64 {
        (self.full_at_ns + rate.interval_ns).saturating_sub(rate.burst_ns)
    }

    /// Lets one event pass. Returns false, and does not change the limiter, if the event may not pass now.
    pub fn take(&mut self, rate: Rate, now_ns: u64) -> bool {
        let has_one = self.has_one(rate, now_ns);
        if has_one {
            self.charge(rate, 1, now_ns);
        }
        has_one
    }

    /// Counts events that have passed, also more than may pass now: for work whose cost is known only afterwards.
    pub fn charge(&mut self, rate: Rate, events: u64, now_ns: u64) {
        self.full_at_ns = self.full_at_ns.max(now_ns) + events * rate.interval_ns;
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
    fn full_limiter_allows_a_burst_and_then_one_each_interval() {
        let (mut limiter, rate) = (RateLimiter::FULL, Rate::new(5, SECOND_NS, SECOND_NS));
        assert_eq!(taken(&mut limiter, rate, 7 * SECOND_NS), 5);
        assert_eq!(limiter.ready_ns(rate), 7 * SECOND_NS + 200_000_000);
        assert_eq!(taken(&mut limiter, rate, 7 * SECOND_NS + 199_999_999), 0);
        assert_eq!(taken(&mut limiter, rate, 7 * SECOND_NS + 200_000_000), 1);
        assert_eq!(taken(&mut limiter, rate, 8 * SECOND_NS - 200_000_000), 3);
        assert_eq!(
            taken(&mut limiter, rate, 100 * SECOND_NS),
            5,
            "a long pause allows no more than the burst"
        );
    }

    #[test]
    fn slow_rate_allows_one_at_once() {
        let (mut limiter, rate) = (RateLimiter::FULL, Rate::new(1, 60 * SECOND_NS, SECOND_NS));
        assert_eq!(taken(&mut limiter, rate, 0), 1);
        assert!(!limiter.has_one(rate, 60 * SECOND_NS - 1));
        assert_eq!(taken(&mut limiter, rate, 60 * SECOND_NS), 1);
    }

    proptest! {
        /// Compares the limiter with a plain model: a number of tokens that grows with time.
        #[test]
        fn limiter_gives_what_a_token_bucket_gives(
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
