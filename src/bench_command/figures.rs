//! The figures of all rounds of one measurement.

use super::work::{Round, Work};
use crate::histogram::Histogram;

/// The figures of all rounds of one measurement.
#[derive(Debug)]
pub struct Figures {
    /// What was measured.
    pub work: Work,
    /// The times to the ACK in all rounds together.
    pub latency: Histogram,
    /// Messages a second of each round.
    rates: Vec<f64>,
    /// The 99th percentile of each round's times, in microseconds.
    p99_us: Vec<f64>,
}

impl Figures {
    /// No round yet.
    pub fn new(work: Work) -> Self {
        Self { work, latency: Histogram::new(), rates: Vec::new(), p99_us: Vec::new() }
    }

    /// Adds a round.
    pub fn add(&mut self, round: &Round) {
        self.rates.push(round.per_second);
        self.p99_us.push(round.latency.percentile(990) as f64 / 1e3);
        self.latency.merge(&round.latency);
    }

    /// What counts of each round: the 99th percentile for urgent lines, and otherwise the rate.
    fn rounds(&self) -> &[f64] {
        if self.work == Work::Urgent { &self.p99_us } else { &self.rates }
    }

    /// The median of the rounds: messages a second, or for urgent lines the 99th percentile in microseconds.
    ///
    /// # Panics
    /// There was no round.
    pub fn median(&self) -> f64 {
        median_of(self.rounds())
    }

    /// The median of the rounds' messages a second, for urgent lines those of the flood.
    ///
    /// # Panics
    /// There was no round.
    pub fn median_rate(&self) -> f64 {
        median_of(&self.rates)
    }

    /// The least and the greatest of the rounds.
    pub fn range(&self) -> (f64, f64) {
        self.rounds()
            .iter()
            .fold((f64::MAX, 0.0), |(least, most), figure| (figure.min(least), figure.max(most)))
    }
}

fn median_of(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_range_are_those_of_the_rounds() {
        let mut rates = Figures::new(Work::Flood);
        for rate in [3.0, 1.0, 20.0] {
            rates.add(&Round { per_second: rate, latency: Histogram::new() });
        }
        assert_eq!((rates.median(), rates.range()), (3.0, (1.0, 20.0)));
        rates.add(&Round { per_second: 5.0, latency: Histogram::new() });
        assert_eq!(rates.median(), 4.0, "of an even number, between the two in the middle");
        let mut times = Figures::new(Work::Urgent);
        let mut latency = Histogram::new();
        latency.record(31_000);
        times.add(&Round { per_second: 9.0, latency });
        assert!((31.0..33.0).contains(&times.median()), "{times:?}");
        assert_eq!((times.latency.max(), times.median_rate()), (31_000, 9.0));
    }
}
