//! What is measured each second, and whether it stays constant.

use crate::handlers::{TIME_LIMIT, WAIT_LIMIT};
use crate::plot::{Panel, Series};
use crate::shared::Shared;
use crate::support::Server;
use crate::support::accounts::Violation;
use firstline::histogram::Histogram;
use firstline::limits::{PENDING_MAX, REJECTED_MAX};
use std::fmt::Write;
use std::time::Duration;

/// How much memory may still grow after the first third, in KiB: pages of code that runs for the first time,
/// and of stacks that were never that deep. A leak of a hundred bytes a connection exceeds this in a minute.
const GROWTH_KIB_MAX: u64 = 512;

/// How many times longer urgent messages may take in the last third than in the first.
const SLOWER_MAX: u32 = 3;

/// A latency of urgent messages that is always accepted. The soak also runs on busy machines with slow disks; it looks
/// for growth without a bound.
const SLOW_NO_MATTER: Duration = Duration::from_millis(50);

/// The same with handlers: a message may wait for one, and then get one that does not answer.
const SLOW_NO_MATTER_HANDLED: Duration = WAIT_LIMIT.saturating_add(TIME_LIMIT);

/// The server at one moment, and the urgent messages of the second before it.
pub struct Sample {
    second: u64,
    resident_kib: u64,
    descriptors: usize,
    threads: u64,
    messages: u64,
    urgent: Histogram,
}

impl Sample {
    pub fn take(second: u64, server: &Server, shared: &Shared) -> Self {
        let tally = shared.ledger.tally();
        Self {
            second,
            resident_kib: server.status("VmRSS"),
            descriptors: server.descriptors(),
            threads: server.status("Threads"),
            messages: tally.matched + tally.unacknowledged + tally.without_account,
            urgent: shared.take_urgent(),
        }
    }
}

/// All samples, and what the server used without clients.
pub struct Samples {
    pub all: Vec<Sample>,
    pub idle_descriptors: usize,
    pub places: usize,
    pub has_handlers: bool,
}

/// A part of the time; the parts are compared.
struct Third<'a>(&'a [Sample]);

impl Third<'_> {
    fn resident_kib(&self) -> u64 {
        self.0.iter().map(|sample| sample.resident_kib).max().unwrap_or(0)
    }

    fn urgent(&self) -> Histogram {
        let mut all = Histogram::new();
        self.0.iter().for_each(|sample| all.merge(&sample.urgent));
        all
    }

    /// The median of the 99th percentiles of all seconds: a stall of the machine in one second says nothing of
    /// the server.
    fn urgent_p99(&self) -> Duration {
        let mut all: Vec<u64> = self.0.iter().map(|sample| sample.urgent.percentile(990)).collect();
        all.sort_unstable();
        Duration::from_nanos(all.get(all.len() / 2).copied().unwrap_or(0))
    }
}

impl Samples {
    fn thirds(&self) -> [Third<'_>; 3] {
        let third = self.all.len() / 3;
        [&self.all[..third], &self.all[third..2 * third], &self.all[2 * third..]].map(Third)
    }

    /// Whether everything stays constant.
    pub fn check(&self) -> Result<(), Violation> {
        let [first, _, last] = self.thirds();
        let (before_kib, after_kib) = (first.resident_kib(), last.resident_kib());
        if after_kib > before_kib + GROWTH_KIB_MAX {
            return Err(format!(
                "resident memory grew: at most {before_kib} KiB in the first third, and {after_kib} KiB in the last"
            ));
        }
        let descriptors_max = self.idle_descriptors + self.places + PENDING_MAX + REJECTED_MAX + 1;
        if let Some(sample) = self.all.iter().find(|sample| sample.descriptors > descriptors_max) {
            let (count, second) = (sample.descriptors, sample.second);
            return Err(format!(
                "{count} descriptors in second {second}, at most {descriptors_max} are allowed"
            ));
        }
        if let Some(pair) = self.all.windows(2).find(|pair| pair[0].threads != pair[1].threads) {
            let [before, after] = [pair[0].threads, pair[1].threads];
            return Err(format!("{before} threads became {after} in second {}", pair[1].second));
        }
        let (before, after) = (first.urgent_p99(), last.urgent_p99());
        let accepted = if self.has_handlers { SLOW_NO_MATTER_HANDLED } else { SLOW_NO_MATTER };
        if after > accepted.max(before * SLOWER_MAX) {
            return Err(format!("p99 of urgent lines went from {before:?} to {after:?}"));
        }
        Ok(())
    }

    pub fn csv(&self) -> String {
        let mut csv =
            String::from("second,resident_kib,descriptors,threads,messages,urgent,p50_us,p99_us,max_us\n");
        for sample in &self.all {
            let Sample { second, resident_kib, descriptors, threads, messages, urgent } = sample;
            let [p50, p99, max] = [500, 990, 1000].map(|permille| urgent.percentile(permille) / 1_000);
            let count = urgent.count();
            let _ = writeln!(
                csv,
                "{second},{resident_kib},{descriptors},{threads},{messages},{count},{p50},{p99},{max}"
            );
        }
        csv
    }

    /// The figures of each third.
    pub fn summary(&self) -> String {
        let mut summary = String::from(
            "| | resident KiB, at most | urgent lines | p50 ms | p99 ms | max ms | p99 ms of the median second |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        );
        for (third, name) in self.thirds().iter().zip(["first third", "second third", "last third"]) {
            let urgent = third.urgent();
            let ms = |ns: u64| ns as f64 / 1e6;
            let _ = writeln!(
                summary,
                "| {name} | {} | {} | {:.2} | {:.2} | {:.1} | {:.2} |",
                third.resident_kib(),
                urgent.count(),
                ms(urgent.percentile(500)),
                ms(urgent.percentile(990)),
                ms(urgent.max()),
                third.urgent_p99().as_secs_f64() * 1e3,
            );
        }
        summary
    }

    pub fn panels(&self) -> [Panel; 3] {
        let series =
            |name, of: fn(&Sample) -> f64| Series { name, values: self.all.iter().map(of).collect() };
        [
            Panel {
                title: "resident memory, KiB",
                is_logarithmic: false,
                series: vec![series("VmRSS", |sample| sample.resident_kib as f64)],
            },
            Panel {
                title: "descriptors and threads",
                is_logarithmic: false,
                series: vec![
                    series("descriptors", |sample| sample.descriptors as f64),
                    series("threads", |sample| sample.threads as f64),
                ],
            },
            Panel {
                title: "an urgent line until its ACK, ms (logarithmic)",
                is_logarithmic: true,
                series: vec![
                    series("p50", |sample| sample.urgent.percentile(500) as f64 / 1e6),
                    series("p99", |sample| sample.urgent.percentile(990) as f64 / 1e6),
                    series("max", |sample| sample.urgent.max() as f64 / 1e6),
                ],
            },
        ]
    }
}
