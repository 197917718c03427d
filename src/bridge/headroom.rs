//! How long until the journal's ring overwrites unsent messages. Knows no clock and no journal.

use super::limits::RATE_MEMORY_S;

/// The rate at which messages arrive.
#[derive(Debug, Default)]
pub struct Rate {
    /// The last sample: its time in seconds, and the next ID then.
    last: Option<(f64, u64)>,
    /// IDs a second, averaged.
    per_second: Option<f64>,
}

impl Rate {
    /// Adds a sample: the next ID at a time. Samples of two journals must not be mixed: begin another journal with
    /// [`Rate::default`]. A sample covers the time since the previous one, so a sample after a long outage covers the
    /// whole outage.
    pub fn sample(&mut self, at_s: f64, next_id: u64) {
        if let Some((before_s, before)) = self.last
            && at_s > before_s
        {
            let now = next_id.saturating_sub(before) as f64 / (at_s - before_s);
            let weight = 1.0 - (-(at_s - before_s) / RATE_MEMORY_S).exp();
            let averaged = |rate: f64| rate + weight * (now - rate);
            self.per_second = Some(self.per_second.map_or(now, averaged));
        }
        self.last = Some((at_s, next_id));
    }

    /// How many seconds that many IDs take, or `None` if no rate is known or no messages arrive.
    pub fn seconds(&self, ids: u64) -> Option<u64> {
        let rate = self.per_second.filter(|rate| *rate > 1e-6)?;
        Some((ids as f64 / rate) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headroom_follows_the_rate() {
        let mut rate = Rate::default();
        assert_eq!(rate.seconds(1_000), None);
        rate.sample(0.0, 100);
        assert_eq!(rate.seconds(1_000), None, "one sample is no rate");
        rate.sample(10.0, 200);
        assert_eq!(rate.seconds(1_000), Some(100));
        for second in 2..200 {
            rate.sample(f64::from(second) * 10.0, 200);
        }
        assert_eq!(rate.seconds(1_000), None, "nothing comes any more");
        rate.sample(2_000.0, 200);
        rate.sample(2_000.0, 900);
        assert_eq!(rate.seconds(1_000), None, "no time has passed");
    }

    #[test]
    fn rate_after_an_outage_is_that_of_the_outage() {
        let mut rate = Rate::default();
        rate.sample(0.0, 0);
        rate.sample(10.0, 10_000);
        rate.sample(10_010.0, 20_000);
        assert_eq!(rate.seconds(1_000), Some(1_000));
    }
}
