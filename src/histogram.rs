//! A histogram of latencies in fixed memory: it counts every value and stores none.
//!
//! The buckets are those of Gil Tene's HdrHistogram (<https://github.com/HdrHistogram/HdrHistogram>,
//! `countsArrayIndex` and `highestEquivalentValue` in `AbstractHistogram.java`): each doubling of the value has the
//! same number of equal buckets, so that the relative error is constant.
//!
//! This module knows neither what is measured, nor the clock, nor other threads: the caller holds the lock.

use crate::limits::{HISTOGRAM_BUCKETS, HISTOGRAM_BYTES, HISTOGRAM_PRECISION_BITS, HISTOGRAM_VALUE_NS_MAX};

/// Counts values in nanoseconds, 0 to [`HISTOGRAM_VALUE_NS_MAX`]. A larger value counts as that maximum, except for
/// [`max`](Self::max).
///
/// Values up to 31 are exact, all others have an error of at most 1/16 (1/2^[`HISTOGRAM_PRECISION_BITS`]). A histogram
/// takes [`HISTOGRAM_BYTES`], and a new one is all zeroes: a static one takes no space in the binary.
///
/// ```
/// use firstline::histogram::Histogram;
///
/// let mut histogram = Histogram::new();
/// (1..=1_000).for_each(|us| histogram.record(us * 1_000));
/// let median = histogram.percentile(500);
/// assert!((500_000..500_000 + 500_000 / 16).contains(&median));
/// assert_eq!(histogram.max(), 1_000_000);
/// ```
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: [u64; HISTOGRAM_BUCKETS],
    count: u64,
    sum: u64,
    max: u64,
}

const _: () = assert!(size_of::<Histogram>() == HISTOGRAM_BYTES);
const _: () = assert!(bucket_of(HISTOGRAM_VALUE_NS_MAX) == HISTOGRAM_BUCKETS - 1);

impl Histogram {
    /// An empty histogram.
    pub const fn new() -> Self {
        Self { buckets: [0; HISTOGRAM_BUCKETS], count: 0, sum: 0, max: 0 }
    }

    /// Counts one value.
    pub fn record(&mut self, value_ns: u64) {
        self.record_many(value_ns, 1);
    }

    /// Counts a value `times` times, at least once.
    pub fn record_many(&mut self, value_ns: u64, times: u64) {
        self.buckets[bucket_of(value_ns.min(HISTOGRAM_VALUE_NS_MAX))] += times;
        self.count += times;
        self.sum = self.sum.saturating_add(value_ns.saturating_mul(times));
        self.max = self.max.max(value_ns);
    }

    /// Adds the counts of `other`, as if each of its values had been recorded here.
    pub fn merge(&mut self, other: &Self) {
        for (mine, others) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += others;
        }
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
    }

    /// The number of values.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The exact sum of all values, or `u64::MAX` if it is larger than that.
    pub const fn sum(&self) -> u64 {
        self.sum
    }

    /// How many values do not exceed each of these bounds, which must rise. Values above a bound by less than 1/16 may
    /// count as not above it.
    pub fn cumulative<const N: usize>(&self, bounds: [u64; N]) -> [u64; N] {
        let (mut seen, mut next) = (0, 0);
        bounds.map(|bound| {
            let end = bucket_of(bound.min(HISTOGRAM_VALUE_NS_MAX)) + 1;
            seen += self.buckets[next..end.max(next)].iter().sum::<u64>();
            next = end.max(next);
            seen
        })
    }

    /// The exact largest value; 0 if there is none.
    pub const fn max(&self) -> u64 {
        self.max
    }

    /// The value that `permille` thousandths of all values do not exceed: 500 gives the median, 999 gives p99.9, and
    /// 1000 or more gives the exact largest value. 0 if there are no values.
    ///
    /// Up to [`HISTOGRAM_VALUE_NS_MAX`] the result is never below the exact percentile, and above it by less than
    /// 1/16. Beyond that it is [`HISTOGRAM_VALUE_NS_MAX`].
    pub fn percentile(&self, permille: u16) -> u64 {
        let rank = self.rank(u64::from(permille));
        if rank >= self.count {
            return self.max;
        }
        let mut seen = 0;
        let within = self.buckets.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        within.map_or(self.max, |bucket| highest_of(bucket).min(self.max))
    }

    /// The rank, from 1, of the percentile among the sorted values. It is computed in two parts, because the whole
    /// product could overflow.
    const fn rank(&self, permille: u64) -> u64 {
        let permille = if permille > 1000 { 1000 } else { permille };
        let rank = self.count / 1000 * permille + (self.count % 1000 * permille).div_ceil(1000);
        if rank == 0 { 1 } else { rank }
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

/// The bucket of a value: the number of dropped low bits, followed by the leading bits.
const fn bucket_of(value: u64) -> usize {
    let left_off = (value | 1 << HISTOGRAM_PRECISION_BITS).ilog2() - HISTOGRAM_PRECISION_BITS;
    ((left_off as usize) << HISTOGRAM_PRECISION_BITS) + (value >> left_off) as usize
}

/// The largest value of a bucket.
const fn highest_of(bucket: usize) -> u64 {
    let left_off = (bucket >> HISTOGRAM_PRECISION_BITS).saturating_sub(1);
    let leading = bucket - (left_off << HISTOGRAM_PRECISION_BITS);
    ((leading as u64 + 1) << left_off) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PARTS: u64 = 1 << HISTOGRAM_PRECISION_BITS;

    fn of(values: &[u64]) -> Histogram {
        let mut histogram = Histogram::new();
        values.iter().for_each(|value| histogram.record(*value));
        histogram
    }

    /// The percentile by its definition, from sorted values.
    fn exact(sorted: &[u64], permille: u16) -> u64 {
        let rank = (sorted.len() * usize::from(permille)).div_ceil(1000).max(1);
        sorted[rank - 1]
    }

    /// Values of every magnitude; most random numbers would be large.
    fn value() -> impl Strategy<Value = u64> {
        (any::<u64>(), 0..u64::BITS).prop_map(|(value, shift)| value >> shift)
    }

    #[test]
    fn buckets_have_no_gap_and_no_overlap() {
        let mut lowest = 0;
        for bucket in 0..HISTOGRAM_BUCKETS {
            let highest = highest_of(bucket);
            assert_eq!((bucket_of(lowest), bucket_of(highest)), (bucket, bucket));
            assert!((highest - lowest) * PARTS <= lowest, "bucket {bucket} is too wide");
            lowest = highest + 1;
        }
        assert_eq!(lowest, HISTOGRAM_VALUE_NS_MAX + 1);
    }

    #[test]
    fn empty_histogram_is_all_zero() {
        static HISTOGRAM: Histogram = Histogram::new();
        assert_eq!((HISTOGRAM.count(), HISTOGRAM.max(), HISTOGRAM.percentile(500)), (0, 0, 0));
    }

    #[test]
    fn small_values_are_exact() {
        let values: Vec<_> = (0..2 * PARTS).collect();
        let histogram = of(&values);
        for permille in 0..=1000 {
            assert_eq!(histogram.percentile(permille), exact(&values, permille), "{permille}");
        }
    }

    #[test]
    fn values_beyond_the_range_count_as_its_end_except_for_the_maximum() {
        let histogram = of(&[u64::MAX, u64::MAX - 1, HISTOGRAM_VALUE_NS_MAX + 1]);
        assert_eq!(histogram.percentile(500), HISTOGRAM_VALUE_NS_MAX);
        assert_eq!(histogram.percentile(1000), u64::MAX);
        assert_eq!(histogram.percentile(u16::MAX), u64::MAX);
        assert_eq!((histogram.count(), histogram.max()), (3, u64::MAX));
    }

    #[test]
    fn ranks_do_not_overflow() {
        let mut histogram = Histogram::new();
        histogram.count = u64::MAX;
        assert_eq!(histogram.rank(1000), u64::MAX);
        assert_eq!(histogram.rank(500), u64::MAX / 2 + 1);
    }

    proptest! {
        #[test]
        fn percentile_is_within_its_error(
            mut values in prop::collection::vec(value(), 1..300),
            permille in 0..=1000_u16,
        ) {
            let histogram = of(&values);
            values.sort_unstable();
            let (found, exact) = (histogram.percentile(permille), exact(&values, permille));
            if exact <= HISTOGRAM_VALUE_NS_MAX {
                prop_assert!(exact <= found && found - exact <= exact / PARTS, "{found} for {exact}");
            } else {
                prop_assert!(found == HISTOGRAM_VALUE_NS_MAX || found == histogram.max());
            }
            prop_assert_eq!(histogram.count(), values.len() as u64);
            prop_assert_eq!(Some(&histogram.max()), values.last());
        }

        #[test]
        fn cumulative_counts_are_within_their_error(
            values in prop::collection::vec(value(), 0..100),
            bounds in prop::collection::vec(0..HISTOGRAM_VALUE_NS_MAX, 4..=4),
        ) {
            let mut bounds: [u64; 4] = bounds.try_into().unwrap();
            bounds.sort_unstable();
            let histogram = of(&values);
            let within_range = || values.iter().map(|value| (*value).min(HISTOGRAM_VALUE_NS_MAX));
            let up_to = |bound: u64| within_range().filter(|value| *value <= bound).count() as u64;
            for (count, bound) in histogram.cumulative(bounds).into_iter().zip(bounds) {
                prop_assert!(up_to(bound) <= count && count <= up_to(bound + bound / PARTS), "{count} at {bound}");
            }
            prop_assert_eq!(histogram.sum(), values.iter().fold(0, |sum: u64, value| sum.saturating_add(*value)));
        }

        #[test]
        fn percentiles_never_fall(values in prop::collection::vec(value(), 0..100)) {
            let histogram = of(&values);
            let all: Vec<_> = (0..=1000).map(|permille| histogram.percentile(permille)).collect();
            prop_assert!(all.is_sorted());
        }

        #[test]
        fn merged_histogram_equals_one_histogram_of_all_values(
            values in prop::collection::vec(value(), 0..100),
            others in prop::collection::vec(value(), 0..100),
        ) {
            let mut merged = of(&values);
            merged.merge(&of(&others));
            let whole = of(&[values, others].concat());
            prop_assert_eq!(merged.buckets, whole.buckets);
            prop_assert_eq!((merged.count, merged.sum, merged.max), (whole.count, whole.sum, whole.max));
        }
    }
}
