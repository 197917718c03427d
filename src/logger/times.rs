//! The time at the beginning of a line: the seconds since the start, or the date.
//!
//! Records hold the time since the start, which cannot be set. The writer computes the date from it, with the wall
//! clock at the time of writing. So the lines of one batch are in order whatever the wall clock does, and a record
//! needs no room for a second time.

use core::fmt::{self, Display};

use crate::clock::Utc;
use crate::limits::LOG_DATE_JUMP_MS;

/// How lines show their time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// As `12.345678`: for a terminal, and for a service manager that puts the date before each line itself.
    SinceStart,
    /// As `2026-11-28T16:41:31.123Z`, RFC 3339: for a file, which is read later.
    Utc {
        /// The wall clock at the start, in nanoseconds since 1970. It is before 1970 if the wall clock was set back
        /// that far.
        start_ns: i64,
    },
}

/// A jump of the wall clock: it advanced by more or less than the time since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump {
    /// By how much more, in nanoseconds.
    ns: i64,
}

impl Times {
    /// The date, by the current wall clock.
    pub fn utc() -> Self {
        Self::Utc { start_ns: start_ns(crate::clock::utc_ns(), crate::clock::now_ns()) }
    }

    /// Follows the wall clock, which may have been set. Returns the jump if it is [`LOG_DATE_JUMP_MS`] or more.
    pub fn follow(&mut self, utc_ns: u64, now_ns: u64) -> Option<Jump> {
        let Self::Utc { start_ns: followed_ns } = self else { return None };
        let jump = Jump { ns: start_ns(utc_ns, now_ns).saturating_sub(*followed_ns) };
        // A smaller difference comes from the time between the two readings.
        if jump.ns.unsigned_abs() >= MS_NS {
            *followed_ns = start_ns(utc_ns, now_ns);
        }
        (jump.ns.unsigned_abs() >= LOG_DATE_JUMP_MS * MS_NS).then_some(jump)
    }

    /// Formats a time since the start.
    pub fn shown(&self, time_ns: u64) -> impl Display {
        Shown { times: *self, time_ns }
    }
}

const MS_NS: u64 = 1_000_000;

/// The wall clock at the start, from the current values of both clocks.
fn start_ns(utc_ns: u64, now_ns: u64) -> i64 {
    signed(utc_ns).saturating_sub(signed(now_ns))
}

/// Converts to a signed number: at most 292 years.
fn signed(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}

struct Shown {
    times: Times,
    time_ns: u64,
}

impl Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.times {
            Times::SinceStart => {
                let micros = self.time_ns / 1_000;
                write!(f, "{}.{:06}", micros / 1_000_000, micros % 1_000_000)
            }
            Times::Utc { start_ns } => {
                let utc_ns = start_ns.saturating_add(signed(self.time_ns)).max(0);
                write!(f, "{}", Utc(utc_ns.unsigned_abs() / MS_NS))
            }
        }
    }
}

impl Display for Jump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (way, cause) = if self.ns < 0 {
            ("back", "the clock was set")
        } else {
            ("forward", "the clock was set, or the board slept")
        };
        let ms = self.ns.unsigned_abs() / MS_NS;
        write!(f, "the date jumps {way} by {}.{:03} s: {cause}", ms / 1_000, ms % 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;
    /// 2026-11-28T16:41:31.123Z.
    const DATE_NS: u64 = 1_795_884_091 * SECOND_NS + 123 * MS_NS;

    fn utc(utc_ns: u64, now_ns: u64) -> Times {
        Times::Utc { start_ns: start_ns(utc_ns, now_ns) }
    }

    #[test]
    fn time_is_shown_since_the_start_or_as_a_date() {
        assert_eq!(Times::SinceStart.shown(12_345_678_901).to_string(), "12.345678");
        let times = utc(DATE_NS, 5 * SECOND_NS);
        assert_eq!(times.shown(5 * SECOND_NS).to_string(), "2026-11-28T16:41:31.123Z");
        assert_eq!(times.shown(0).to_string(), "2026-11-28T16:41:26.123Z");
        assert_eq!(times.shown(u64::MAX).to_string(), "2262-04-11T23:47:16.854Z", "the last one");
    }

    #[test]
    fn before_the_clock_is_set_the_date_is_that_of_the_board() {
        let mut times = utc(14 * SECOND_NS, SECOND_NS);
        assert_eq!(times.shown(SECOND_NS).to_string(), "1970-01-01T00:00:14.000Z");
        let jump = times.follow(DATE_NS, 3 * SECOND_NS).unwrap();
        assert_eq!(
            jump.to_string(),
            "the date jumps forward by 1795884075.123 s: the clock was set, or the board slept"
        );
        assert_eq!(times.shown(3 * SECOND_NS).to_string(), "2026-11-28T16:41:31.123Z");
        assert_eq!(times.follow(DATE_NS + SECOND_NS, 4 * SECOND_NS), None, "it is reported once");
    }

    #[test]
    fn clock_that_is_set_back_is_reported_and_no_date_is_before_1970() {
        let mut times = utc(DATE_NS, 100 * SECOND_NS);
        let jump = times.follow(SECOND_NS, 100 * SECOND_NS).unwrap();
        assert_eq!(jump.to_string(), "the date jumps back by 1795884090.123 s: the clock was set");
        assert_eq!(times.shown(100 * SECOND_NS).to_string(), "1970-01-01T00:00:01.000Z");
        assert_eq!(times.shown(0).to_string(), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn small_correction_of_the_clock_is_followed_silently() {
        let mut times = utc(DATE_NS, SECOND_NS);
        assert_eq!(times.follow(DATE_NS + MS_NS - 1, SECOND_NS), None);
        assert_eq!(times, utc(DATE_NS, SECOND_NS), "two readings of clocks are not one moment");
        let less = LOG_DATE_JUMP_MS * MS_NS - 1;
        assert_eq!(times.follow(DATE_NS + less, SECOND_NS), None);
        assert_eq!(times, utc(DATE_NS + less, SECOND_NS));
        assert!(times.follow(DATE_NS + 2 * less + 1, SECOND_NS).is_some());
    }

    #[test]
    fn time_since_the_start_follows_no_clock() {
        let mut times = Times::SinceStart;
        assert_eq!(times.follow(DATE_NS, 0), None);
        assert_eq!(times, Times::SinceStart);
    }
}
