//! What the bridge says on standard error, a line each. The journal of systemd adds the time.

use super::limits::{REPEAT_MS, SERIES_MS};
use crate::process_io::standard_error;
use std::fmt::{Arguments, Display};
use std::time::{Duration, Instant};

/// Says one line; see [`standard_error::say`].
pub fn say(line: Arguments<'_>) {
    standard_error::say("firstline-bridge", line);
}

/// A trouble that lasts is said once, and again after a while.
#[derive(Debug, Default)]
pub struct Throttle {
    said: Option<(String, Instant)>,
}

impl Throttle {
    /// Says it, unless it was said lately.
    pub fn say(&mut self, trouble: impl Display) {
        let (line, now) = (trouble.to_string(), Instant::now());
        let is_known = |(said, at): &(String, Instant)| {
            *said == line && now.duration_since(*at) < Duration::from_millis(REPEAT_MS)
        };
        if !self.said.as_ref().is_some_and(is_known) {
            say(format_args!("{line}"));
            self.said = Some((line, now));
        }
    }

    /// It is over. True: it was said.
    pub fn clear(&mut self) -> bool {
        self.said.take().is_some()
    }
}

/// Lines that can come for each message: the first one is said at once, and those that follow it within [`SERIES_MS`]
/// are counted.
#[derive(Debug, Default)]
pub struct Series {
    began: Option<Instant>,
    held: u64,
}

impl Series {
    /// Says it, unless one was said lately.
    pub fn say(&mut self, line: impl Display, now: Instant) {
        self.flush(now);
        if self.began.is_some() {
            self.held += 1;
        } else {
            say(format_args!("{line}"));
            self.began = Some(now);
        }
    }

    /// Says how many were held back, once it is time.
    pub fn flush(&mut self, now: Instant) {
        if self.began.is_some_and(|began| now.duration_since(began) >= Duration::from_millis(SERIES_MS)) {
            self.end();
        }
    }

    /// Says how many were held back.
    pub fn end(&mut self) {
        if self.held > 0 {
            say(format_args!("{} more like the last one", self.held));
        }
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
