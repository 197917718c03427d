//! The last hour, with a point every [`POINT_S`] seconds. All of its memory is allocated at once: 160 kB.

use crate::figures::{Figures, Histogram};
use crate::limits::{POINT_S, POINTS_MAX};
use firstline::protocol::Priority;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

const P: usize = Priority::COUNT;

/// The figures of one interval.
#[derive(Clone, Copy, Debug, Default)]
struct Point {
    /// When it ended, in seconds of the caller's clock.
    at_s: u64,
    /// How long it lasted, in milliseconds.
    took_ms: u64,
    waiting: [u32; P],
    oldest_ms: [u32; P],
    processed: [u32; P],
    /// Percentiles of the time to the ACK, or 0 if no message was processed.
    p50_us: [u32; P],
    p99_us: [u32; P],
    journal_bytes: u64,
}

/// The points, the oldest first.
#[derive(Debug)]
pub struct History {
    /// Never more than [`POINTS_MAX`], so it never grows.
    points: VecDeque<Point>,
    /// The counters at the end of the last point, and when that was, in milliseconds.
    last: Option<(u64, Arc<Figures>)>,
}

/// The history as columns, for the page.
#[derive(Debug, Default, Serialize)]
pub struct Columns {
    /// When each interval ended, in seconds.
    at_s: Vec<u64>,
    /// The columns of each priority that had a message.
    priorities: BTreeMap<u8, Column>,
}

#[derive(Debug, Default, Serialize)]
struct Column {
    waiting: Vec<u32>,
    oldest_ms: Vec<u32>,
    /// Messages a second, in thousandths.
    rate_milli: Vec<u64>,
    p50_us: Vec<u32>,
    p99_us: Vec<u32>,
}

impl Default for History {
    fn default() -> Self {
        Self { points: VecDeque::with_capacity(POINTS_MAX), last: None }
    }
}

impl History {
    /// Takes the counters at `now_ms`. Returns whether they ended an interval.
    pub fn take(&mut self, now_ms: u64, figures: &Arc<Figures>) -> bool {
        let Some((then_ms, before)) = &self.last else {
            self.last = Some((now_ms, Arc::clone(figures)));
            return false;
        };
        let took_ms = now_ms.saturating_sub(*then_ms);
        // The counters come about once a second, so an interval may end half a second early.
        if took_ms + 500 < POINT_S * 1_000 {
            return false;
        }
        let point = point(now_ms / 1_000, took_ms, before, figures);
        if self.points.len() == POINTS_MAX {
            self.points.pop_front();
        }
        self.points.push_back(point);
        self.last = Some((now_ms, Arc::clone(figures)));
        true
    }

    /// Records that the hub is away: the next counters begin a new interval, so that the plot has a gap.
    pub fn interrupt(&mut self) {
        self.last = None;
    }

    /// All points, or only the last one.
    pub fn columns(&self, is_all: bool) -> Columns {
        let from = if is_all { 0 } else { self.points.len().saturating_sub(1) };
        let points = || self.points.iter().skip(from);
        let mut columns = Columns { at_s: points().map(|point| point.at_s).collect(), ..Columns::default() };
        for priority in 0..P {
            let has_messages = |point: &Point| point.waiting[priority] > 0 || point.processed[priority] > 0;
            if is_all && !self.points.iter().any(has_messages) {
                continue;
            }
            let column = Column {
                waiting: points().map(|point| point.waiting[priority]).collect(),
                oldest_ms: points().map(|point| point.oldest_ms[priority]).collect(),
                rate_milli: points()
                    .map(|point| u64::from(point.processed[priority]) * 1_000_000 / point.took_ms.max(1))
                    .collect(),
                p50_us: points().map(|point| point.p50_us[priority]).collect(),
                p99_us: points().map(|point| point.p99_us[priority]).collect(),
            };
            columns.priorities.insert(priority as u8, column);
        }
        columns
    }

    /// For how long a journal of that capacity keeps a message, at the rate of the history, in seconds. Returns `None`
    /// if the journal wrote no bytes in that time.
    pub fn journal_headroom_s(&self, capacity_bytes: u64) -> Option<u64> {
        let bytes: u64 = self.points.iter().map(|point| point.journal_bytes).sum();
        let took_ms: u64 = self.points.iter().map(|point| point.took_ms).sum();
        let seconds = u128::from(capacity_bytes) * u128::from(took_ms) / 1_000 / u128::from(bytes.max(1));
        (bytes > 0).then(|| u64::try_from(seconds).unwrap_or(u64::MAX))
    }
}

fn point(at_s: u64, took_ms: u64, before: &Figures, now: &Figures) -> Point {
    let small = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    let mut point =
        Point { at_s, took_ms, journal_bytes: grown(before, now, "journal-bytes"), ..Point::default() };
    for priority in Priority::all() {
        let index = priority.index();
        point.waiting[index] = small(now.of(priority, "waiting").unwrap_or(0));
        point.oldest_ms[index] = small(now.of(priority, "oldest-ms").unwrap_or(0));
        point.processed[index] = small(grown(before, now, &format!("{priority}-processed")));
        let name = format!("{priority}-ack");
        if let Some(all) = now.histogram(&name) {
            let interval = before.histogram(&name).map_or_else(|| all.clone(), |before| all.since(&before));
            let percentile = |percent| Histogram::percentile_us(&interval, percent).map_or(0, small);
            (point.p50_us[index], point.p99_us[index]) = (percentile(50), percentile(99));
        }
    }
    point
}

/// By how much a counter has grown.
fn grown(before: &Figures, now: &Figures, name: &str) -> u64 {
    now.get(name).unwrap_or(0).saturating_sub(before.get(name).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(uptime_s: u64, processed: u64) -> Arc<Figures> {
        let mut figures = Figures::default();
        let lines = [
            ("uptime-s", uptime_s),
            ("p9-processed", processed),
            ("p9-waiting", 3),
            ("journal-bytes", 100 * processed),
        ];
        lines.into_iter().for_each(|(name, value)| figures.insert(name.to_string(), value));
        Arc::new(figures)
    }

    #[test]
    fn history_keeps_one_hour() {
        let mut history = History::default();
        for second in 0..2 * 60 * 60 {
            history.take(second * 1_000, &figures(second, 10 * second));
        }
        let columns = history.columns(true);
        assert_eq!((columns.at_s.len(), columns.at_s[1] - columns.at_s[0]), (POINTS_MAX, POINT_S));
        assert_eq!(columns.priorities.keys().collect::<Vec<_>>(), [&9]);
        assert!(columns.priorities[&9].rate_milli.iter().all(|rate| *rate == 10_000));
        assert_eq!(history.journal_headroom_s(1_000_000), Some(1_000));
        assert_eq!(history.columns(false).at_s.len(), 1);
        assert!(history.points.capacity() * size_of::<Point>() <= 164_000, "the documentation says 160 kB");
    }

    #[test]
    fn absence_of_the_hub_makes_no_false_rates() {
        let mut history = History::default();
        history.take(0, &figures(100, 1_000));
        assert!(history.take(5_000, &figures(105, 1_005)));
        history.interrupt();
        // A restarted server counts from 0 again; its connection was lost.
        assert!(!history.take(60_000, &figures(60, 500)));
        assert!(history.take(65_000, &figures(65, 505)));
        assert_eq!(history.columns(true).priorities[&9].rate_milli, [1_000, 1_000]);
        assert_eq!(history.columns(true).at_s, [5, 65]);
    }
}
