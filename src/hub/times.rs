//! The values of a histogram of times that `/stats` lists.

use crate::histogram::Histogram;
use crate::limits::STAT_BUCKETS_US;
use core::fmt;

/// The percentiles, the maximum, the sum and the number of the times; for `/stats full` also the coarse buckets: how
/// many times do not exceed each of [`STAT_BUCKETS_US`].
#[derive(Clone, Copy, Default)]
pub struct Times {
    /// Half of the times do not exceed this, in nanoseconds.
    pub p50_ns: u64,
    /// 99 of 100 times do not exceed this, in nanoseconds.
    pub p99_ns: u64,
    /// The longest time, in nanoseconds.
    pub max_ns: u64,
    sum_ns: u64,
    count: u64,
    counts: [u64; STAT_BUCKETS_US.len()],
}

/// The end of the name of a line about a histogram.
pub enum LineName {
    /// The sum of the values.
    Sum,
    /// The number of values.
    Count,
    /// The values that do not exceed a bound, in microseconds.
    Le(u64),
}

impl Times {
    /// The lines that only `/stats full` has: the sum, the number of times, and the buckets.
    pub const LINES_FULL: usize = 2 + STAT_BUCKETS_US.len();

    /// The values of a histogram of nanoseconds, with the buckets only if `is_full`.
    pub fn of(histogram: &Histogram, is_full: bool) -> Self {
        let mut times = Self {
            p50_ns: histogram.percentile(500),
            p99_ns: histogram.percentile(990),
            max_ns: histogram.max(),
            sum_ns: histogram.sum(),
            count: histogram.count(),
            ..Self::default()
        };
        if is_full {
            times.counts = histogram.cumulative(STAT_BUCKETS_US.map(|bound_us| bound_us * 1_000));
        }
        times
    }

    /// Line `number` of [`LINES_FULL`](Self::LINES_FULL): the end of its name, and its value. The sum is in
    /// microseconds.
    ///
    /// # Panics
    /// If there is no such line.
    pub fn line(&self, number: usize) -> (LineName, u64) {
        match number {
            0 => (LineName::Sum, self.sum_ns / 1_000),
            1 => (LineName::Count, self.count),
            _ => (LineName::Le(STAT_BUCKETS_US[number - 2]), self.counts[number - 2]),
        }
    }
}

impl fmt::Display for LineName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sum => out.write_str("sum-us"),
            Self::Count => out.write_str("count"),
            Self::Le(bound_us) => write!(out, "le-{bound_us}-us"),
        }
    }
}
