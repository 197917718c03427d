//! The report: a table, and a plot of the times, as text.

use super::figures::Figures;
use super::limits::TEXT_BYTES;
use super::machine::Machine;
use super::saved::Saved;
use super::target::Target;
use super::work::{Bench, Work};
use crate::counted::Counted;
use crate::histogram::Histogram;
use crate::options::{BenchOptions, version};
use std::fmt::Write as _;

/// The plot's bars have these upper bounds, in nanoseconds: each is twice the one before.
const BOUNDS: usize = 20;
const FIRST_BOUND_NS: u64 = 16_000;

/// The length of the longest bar, in characters.
const BAR: usize = 40;

/// What is measured and how, in one line.
pub fn circumstances(options: &BenchOptions, target: &Target, bench: &Bench<'_>) -> String {
    let (rounds, seconds) = (Counted(options.rounds, "round"), options.duration.as_secs_f64());
    let clients = Counted(bench.clients(Work::Flood) as u64, "client");
    let machine = Machine::this();
    format!("{target}; from {machine} by {}; {rounds} of {seconds} s, up to {clients}", version())
}

/// The report; each line ends with LF. Writing to a String does not fail.
pub fn text(
    options: &BenchOptions,
    target: &Target,
    bench: &Bench<'_>,
    figures: &[Figures],
    before: Option<&Saved>,
) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "server:        {target}");
    let _ = writeln!(text, "measured from: {}", Machine::this());
    if let Some(before) = before {
        let _ = writeln!(text, "compared with: {}", before.circumstances);
    }
    let (rounds, seconds) = (Counted(options.rounds, "round"), options.duration.as_secs_f64());
    let _ = writeln!(
        text,
        "{rounds} of {seconds} s, texts of {TEXT_BYTES} bytes: the median of the rounds (the least to the most)\n",
    );
    for measured in figures {
        let _ = writeln!(text, "{}", row(measured, &bench.title(measured.work), before));
    }
    for measured in figures.iter().filter(|measured| measured.work == Work::Urgent) {
        let _ = write!(
            text,
            "\n{} with {}: the times to the ACK\n{}",
            bench.title(measured.work),
            rate(measured.median_rate()),
            plot(&measured.latency)
        );
    }
    text
}

/// One measurement as a line.
fn row(figures: &Figures, title: &str, before: Option<&Saved>) -> String {
    let (least, most) = figures.range();
    let (show, kind): (fn(f64) -> String, _) = match figures.work {
        Work::Urgent => (time_of_us, "p99 "),
        _ => (rate, ""),
    };
    let mut row = format!("{title:<32} {kind}{} ({} to {})", show(figures.median()), show(least), show(most));
    let percentile = |permille| time(figures.latency.percentile(permille));
    let _ = match figures.work {
        Work::FanOut => Ok(()),
        Work::Urgent => write!(row, ", p50 {}, longest {}", percentile(500), time(figures.latency.max())),
        _ => write!(row, ", p50 {}, p99 {}", percentile(500), percentile(990)),
    };
    if let Some(before) = before.and_then(|before| before.median(figures.work)) {
        let _ = write!(row, "; {:.2} x before", figures.median() / before);
    }
    row
}

/// How many values are within each bound, as bars.
fn plot(latency: &Histogram) -> String {
    let bounds: [u64; BOUNDS] = core::array::from_fn(|power| FIRST_BOUND_NS << power);
    let up_to = latency.cumulative(bounds);
    let below = |at: usize| at.checked_sub(1).map_or(0, |at| up_to[at]);
    // The last one has no upper bound.
    let within: Vec<u64> = (0..BOUNDS)
        .map(|at| if at + 1 == BOUNDS { latency.count() } else { up_to[at] } - below(at))
        .collect();
    let most = within.iter().copied().max().unwrap_or(0).max(1);
    let is_used = |count: &u64| *count > 0;
    let (Some(first), Some(last)) = (within.iter().position(is_used), within.iter().rposition(is_used))
    else {
        return String::new();
    };
    let mut plot = String::new();
    for at in first..=last {
        let length = (within[at] as usize * BAR).div_ceil(most as usize);
        let percent = within[at] as f64 * 100.0 / latency.count().max(1) as f64;
        let (word, bound) = if at + 1 == BOUNDS { ("over ", bounds[at - 1]) } else { ("up to", bounds[at]) };
        let (bound, bar) = (time(bound), "#".repeat(length));
        let _ = writeln!(plot, "  {word} {bound:>7}  {bar:<BAR$} {percent:5.1} %");
    }
    plot
}

/// A rate, in its shortest form.
fn rate(per_second: f64) -> String {
    match per_second {
        1e6.. => format!("{:.2} M/s", per_second / 1e6),
        1e4.. => format!("{:.1} k/s", per_second / 1e3),
        _ => format!("{per_second:.0}/s"),
    }
}

fn time_of_us(us: f64) -> String {
    time((us * 1e3) as u64)
}

/// A time, in its shortest form.
fn time(ns: u64) -> String {
    match ns {
        10_000_000_000.. => format!("{} s", ns / 1_000_000_000),
        10_000_000.. => format!("{} ms", ns / 1_000_000),
        1_000_000.. => format!("{:.1} ms", ns as f64 / 1e6),
        _ => format!("{} us", ns / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!([999.4, 12_649.0, 2_920_000.0].map(rate), ["999/s", "12.6 k/s", "2.92 M/s"]);
        assert_eq!(
            [79_000, 1_260_000, 45_000_000, 12_000_000_000].map(time),
            ["79 us", "1.3 ms", "45 ms", "12 s"]
        );
    }

    #[test]
    fn plot_has_a_bar_for_each_doubling_between_the_least_and_the_most() {
        let mut latency = Histogram::new();
        latency.record_many(20_000, 3);
        latency.record_many(200_000, 1);
        let plot = plot(&latency);
        let lines: Vec<&str> = plot.lines().collect();
        assert_eq!(lines.len(), 4, "{plot}");
        assert!(lines[0].contains(&"#".repeat(BAR)) && lines[0].ends_with(" 75.0 %"), "{plot}");
        assert!(!lines[1].contains('#') && lines[3].ends_with(" 25.0 %"), "{plot}");
    }
}
