//! Histograms, and what `/stats full` lists of them.

/// The leading bits of a value that a histogram distinguishes: each doubling has 2^4 buckets, so the
/// error of a value is at most 1/16.
pub const HISTOGRAM_PRECISION_BITS: u32 = 4;

/// The bits of the largest value that a histogram distinguishes: 2^42 ns is 73 minutes, longer than anything waits on
/// a server that works.
pub const HISTOGRAM_VALUE_BITS: u32 = 42;

/// The largest value that a histogram distinguishes, in nanoseconds. Larger values count as this one.
pub const HISTOGRAM_VALUE_NS_MAX: u64 = (1 << HISTOGRAM_VALUE_BITS) - 1;

/// The buckets of a histogram: one for each of the smallest values, and as many for each doubling above them.
pub const HISTOGRAM_BUCKETS: usize =
    ((HISTOGRAM_VALUE_BITS - HISTOGRAM_PRECISION_BITS + 1) as usize) << HISTOGRAM_PRECISION_BITS;

/// The size of a histogram, in bytes: its buckets, the number of values, their sum, and the largest value.
pub const HISTOGRAM_BYTES: usize = (HISTOGRAM_BUCKETS + 3) * size_of::<u64>();

/// The upper bounds of the coarse buckets that `/stats full` lists of each histogram, in microseconds: three for each
/// power of ten, from a line that finds an idle board to one that waits for a minute. Fixed, so that what collects them
/// can add those of many boards.
pub const STAT_BUCKETS_US: [u64; 19] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 25_000_000, 60_000_000,
];
