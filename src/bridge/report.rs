//! The log lines of the bridge, on standard error. The journal of systemd adds the time.

use super::limits::{LASTS_MS, REPEAT_MS, SERIES_MS, TROUBLES_MAX};
use crate::process_io::standard_error;
use std::collections::VecDeque;
use std::fmt::{Arguments, Display};
use std::time::{Duration, Instant};

/// Logs one line; see [`standard_error::say`].
pub fn say(line: Arguments<'_>) {
    standard_error::say("firstline-bridge", line);
}

/// Logs failures: each one once, and again after [`REPEAT_MS`]. If a failure occurs again before that, it is logged
/// only after it has lasted for [`LASTS_MS`], so that a connection that comes and goes does not fill the log.
#[derive(Debug, Default)]
pub struct Throttle {
    /// The failures that were logged recently.
    said: VecDeque<(String, Instant)>,
    /// Since when there is a failure.
    since: Option<Instant>,
    /// Whether a failure was logged and has not ended.
    is_open: bool,
}

impl Throttle {
    /// Logs a failure, unless it was logged recently.
    pub fn say(&mut self, trouble: impl Display) {
        self.say_at(trouble, Instant::now());
    }

    /// Returns true if it was logged.
    fn say_at(&mut self, trouble: impl Display, now: Instant) -> bool {
        let (line, since) = (trouble.to_string(), *self.since.get_or_insert(now));
        let is_over = |at: Instant, ms| now.duration_since(at) >= Duration::from_millis(ms);
        self.said.retain(|(_, at)| !is_over(*at, REPEAT_MS));
        let is_known = self.said.iter().any(|(said, _)| *said == line);
        if is_known && (self.is_open || !is_over(since, LASTS_MS)) {
            return false;
        }
        say(format_args!("{line}"));
        self.said.retain(|(said, _)| *said != line);
        if self.said.len() == TROUBLES_MAX {
            self.said.pop_front();
        }
        self.said.push_back((line, now));
        self.is_open = true;
        true
    }

    /// Records that the failure has ended. Returns true if it was logged, so that its end should be logged, too.
    pub fn clear(&mut self) -> bool {
        self.since = None;
        std::mem::take(&mut self.is_open)
    }
}

/// Log lines that can occur for each message: the first one is logged at once, and those that follow within
/// [`SERIES_MS`] are only counted.
#[derive(Debug, Default)]
pub struct Series {
    began: Option<Instant>,
    /// The line that was logged.
    first: String,
    held: u64,
}

impl Series {
    /// Logs the line, unless one was logged recently.
    pub fn say(&mut self, line: impl Display, now: Instant) {
        self.flush(now);
        if self.began.is_some() {
            self.held += 1;
        } else {
            self.first = line.to_string();
            say(format_args!("{line}"));
            self.began = Some(now);
        }
    }

    /// If it is time, logs how many lines were left out.
    pub fn flush(&mut self, now: Instant) {
        if self.began.is_some_and(|began| now.duration_since(began) >= Duration::from_millis(SERIES_MS)) {
            self.end();
        }
    }

    /// Logs how many lines were left out, and the one that was not.
    pub fn end(&mut self) {
        if self.held > 0 {
            say(format_args!("{} more lines of this kind were left out: {}", self.held, self.first));
        }
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_that_comes_and_goes_is_said_once_and_one_that_lasts_again() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        let (lasts, repeat) = (Duration::from_millis(LASTS_MS), Duration::from_millis(REPEAT_MS));
        assert!(!throttle.clear());
        for line in ["lost", "refused"] {
            assert!(throttle.say_at(line, start) && !throttle.say_at(line, start + lasts));
            assert!(throttle.clear(), "its end is said");
        }
        for line in ["lost", "refused", "lost"] {
            assert!(!throttle.say_at(line, start) && !throttle.clear(), "neither is its end");
        }
        assert!(!throttle.say_at("lost", start));
        assert!(throttle.say_at("lost", start + lasts), "it has come again, and stays");
        assert!(!throttle.say_at("lost", start + lasts + lasts));
        assert!(throttle.say_at("lost", start + lasts + repeat));
        assert!(throttle.clear());
        for number in 0..2 * TROUBLES_MAX {
            throttle.say_at(number, start);
        }
        assert!(throttle.said.len() <= TROUBLES_MAX);
    }

    #[test]
    fn series_says_the_first_one_and_counts_the_others() {
        let (mut series, start) = (Series::default(), Instant::now());
        for _ in 0..5 {
            series.say("lost", start);
        }
        assert_eq!(series.held, 4);
        series.flush(start + Duration::from_millis(SERIES_MS - 1));
        assert_eq!(series.held, 4);
        series.flush(start + Duration::from_millis(SERIES_MS));
        assert!(series.held == 0 && series.began.is_none());
    }
}
