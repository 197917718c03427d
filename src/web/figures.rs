//! The hub's counters at one moment, as `/stats full` lists them.

use crate::limits::STATS_MAX;
use firstline::limits::STAT_BUCKETS_US;
use firstline::protocol::Priority;
use std::collections::BTreeMap;

/// The counters by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures(BTreeMap<String, u64>);

/// A histogram of times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// The sum of all times, in microseconds.
    pub sum_us: u64,
    /// How many times there are.
    pub count: u64,
    /// For each bound of [`STAT_BUCKETS_US`], how many of the times do not exceed it.
    pub cumulative: [u64; STAT_BUCKETS_US.len()],
}

impl Figures {
    /// Adds a counter; drops it if there are [`STATS_MAX`] already.
    pub fn insert(&mut self, name: String, value: u64) {
        if self.0.len() < STATS_MAX {
            self.0.insert(name, value);
        }
    }

    /// The counter of that name, if the hub has it.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied()
    }

    /// The counter of that name for a priority, or `None` if the hub does not list it, as for priorities without
    /// messages.
    pub fn of(&self, priority: Priority, name: &str) -> Option<u64> {
        self.get(&format!("{priority}-{name}"))
    }

    /// The histogram of that name, if the hub lists it.
    pub fn histogram(&self, name: &str) -> Option<Histogram> {
        let mut cumulative = [0; STAT_BUCKETS_US.len()];
        for (count, bound_us) in cumulative.iter_mut().zip(STAT_BUCKETS_US) {
            *count = self.get(&format!("{name}-le-{bound_us}-us"))?;
        }
        let (sum_us, count) = (self.get(&format!("{name}-sum-us"))?, self.get(&format!("{name}-count"))?);
        Some(Histogram { sum_us, count, cumulative })
    }

    /// The counters whose names begin with `prefix`, each with the rest of its name.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, u64)> {
        self.0.iter().filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, *value)))
    }

    /// The counters for people: without those of the histograms.
    pub fn plain(&self) -> impl Iterator<Item = (&str, u64)> {
        let is_of_histogram = |name: &str| {
            name.ends_with("-sum-us")
                || name.contains("-le-")
                || name.ends_with("-ack-count")
                || ["journal-sync-count", "task-wait-count", "task-work-count"].contains(&name)
        };
        self.0
            .iter()
            .filter(move |(name, _)| !is_of_histogram(name))
            .map(|(name, value)| (name.as_str(), *value))
    }
}

impl Histogram {
    /// The histogram of the times since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut cumulative = self.cumulative;
        for (count, before) in cumulative.iter_mut().zip(earlier.cumulative) {
            *count = count.saturating_sub(before);
        }
        let count = self.count.saturating_sub(earlier.count);
        Self { sum_us: self.sum_us.saturating_sub(earlier.sum_us), count, cumulative }
    }

    /// The percentile `percent`, in microseconds: the bound of its bucket, or `None` if there are no times. Times
    /// beyond the last bound count as that bound.
    pub fn percentile_us(&self, percent: u64) -> Option<u64> {
        let rank = (u128::from(self.count) * u128::from(percent)).div_ceil(100);
        let bucket = self.cumulative.iter().position(|count| u128::from(*count) >= rank);
        (self.count > 0).then(|| STAT_BUCKETS_US[bucket.unwrap_or(STAT_BUCKETS_US.len() - 1)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(name: &str, times_us: &[u64]) -> Figures {
        let mut figures = Figures::default();
        figures.insert(format!("{name}-sum-us"), times_us.iter().sum());
        figures.insert(format!("{name}-count"), times_us.len() as u64);
        for bound_us in STAT_BUCKETS_US {
            let count = times_us.iter().filter(|time_us| **time_us <= bound_us).count();
            figures.insert(format!("{name}-le-{bound_us}-us"), count as u64);
        }
        figures
    }

    #[test]
    fn percentiles_of_an_interval_are_those_of_its_times() {
        let before = figures("p9-ack", &[40; 90]).histogram("p9-ack").unwrap();
        let times: Vec<_> = [40; 90].into_iter().chain([90; 9]).chain([70_000_000]).collect();
        let after = figures("p9-ack", &times).histogram("p9-ack").unwrap();
        let interval = after.since(&before);
        assert_eq!(
            (interval.count, interval.percentile_us(50), interval.percentile_us(99)),
            (10, Some(100), Some(60_000_000))
        );
        assert_eq!(after.percentile_us(90), Some(50));
        assert_eq!(after.since(&after).percentile_us(50), None);
    }

    #[test]
    fn plain_counters_have_no_buckets() {
        let mut figures = figures("p9-ack", &[1]);
        figures.insert("p9-admitted".to_string(), 1);
        assert_eq!(figures.plain().collect::<Vec<_>>(), [("p9-admitted", 1)]);
    }

    #[test]
    fn number_of_counters_is_bounded() {
        let mut figures = Figures::default();
        (0..2 * STATS_MAX as u64).for_each(|value| figures.insert(value.to_string(), value));
        assert_eq!(figures.0.len(), STATS_MAX);
    }
}
