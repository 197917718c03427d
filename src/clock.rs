//! The time since the process started: for log lines, latencies and time-outs.
//!
//! It is monotonic: setting the wall clock does not change it. The wall clock, [`utc_ns`], is only for the readers of
//! a journal or a log file, and no time-out depends on it: most boards have no clock that survives a power cut.
//!
//! In fuzzers and models the time stands still until they advance it (`by_hand::advance`), so that each run can be
//! repeated.

#[cfg(any(fuzzing, shuttle))]
pub use by_hand::{now_ns, now_ns as thread_cpu_ns};
#[cfg(not(any(fuzzing, shuttle)))]
use nix::time::{ClockId, clock_gettime};
use std::fmt::{self, Display};
use std::sync::OnceLock;
#[cfg(not(any(fuzzing, shuttle)))]
use std::time::Duration;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

static START: OnceLock<Instant> = OnceLock::new();

/// Makes this moment zero, unless the clock already runs. Call it early at the start.
pub fn start() {
    START.get_or_init(Instant::now);
}

/// Nanoseconds since [`start`]. It never goes back, and 64 bits last for 584 years.
///
/// It starts the clock if [`start`] was not called. It does not allocate, and makes no system call where the kernel
/// has a vDSO clock.
#[cfg(not(any(fuzzing, shuttle)))]
pub fn now_ns() -> u64 {
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// The CPU time of the calling thread, in nanoseconds; 0 if the kernel does not say. It does not allocate. In fuzzers
/// and models it is [`now_ns`].
#[cfg(not(any(fuzzing, shuttle)))]
pub fn thread_cpu_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(0, |time| Duration::from(time).as_nanos() as u64)
}

/// The wall clock, in nanoseconds since 1970; 0 if it is before 1970. It may have any value, and jumps when it is set:
/// a board without a clock of its own begins at 1970, or at the time of its last shutdown. It does not allocate, and
/// makes no system call where the kernel has a vDSO clock.
pub fn utc_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64)
}

/// Milliseconds since 1970, shown as date and time in UTC: ISO 8601, RFC 3339.
#[derive(Clone, Copy, Debug)]
pub struct Utc(pub u64);

impl Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, ms) = (self.0 / 1_000, self.0 % 1_000);
        let (year, month, day) = date(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

/// Year, month and day of a day number since 1970-01-01. Years begin in March here, so that the leap day is the last
/// day of a year. Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn date(day: u64) -> (u64, u64, u64) {
    /// From 0000-03-01 to 1970-01-01.
    const DAYS_BEFORE_1970: u64 = 719_468;
    const DAYS_OF_400_YEARS: u64 = 146_097;
    let day = day + DAYS_BEFORE_1970;
    let (era, day) = (day / DAYS_OF_400_YEARS, day % DAYS_OF_400_YEARS);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // The five months from March on have 153 days, and so do the next five.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, of_next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (400 * era + year + of_next_year, month, day)
}

/// The clock of fuzzers and models.
#[cfg(any(fuzzing, shuttle))]
pub mod by_hand {
    use std::cell::Cell;

    thread_local! {
        // All threads of a model run on one thread of the system; other models run on others.
        static NOW_NS: Cell<u64> = const { Cell::new(1) };
    }

    /// The time, in nanoseconds.
    pub fn now_ns() -> u64 {
        NOW_NS.get()
    }

    /// Advances the time.
    pub fn advance(ns: u64) {
        NOW_NS.set(NOW_NS.get() + ns);
    }
}

#[cfg(all(test, not(any(fuzzing, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn clock_starts_once_and_never_goes_back() {
        start();
        let mut last = now_ns();
        for _ in 0..1_000 {
            start();
            let now = now_ns();
            assert!(now >= last);
            last = now;
        }
    }

    #[test]
    fn dates_of_a_thousand_years_are_consecutive() {
        let is_leap = |year| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..366_000 {
            assert_eq!(date(days), (year, month, day), "{days}");
            let length = match month {
                2 if is_leap(year) => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    #[test]
    fn times_are_shown_in_utc() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_001, "2000-02-29T00:00:00.001Z"),
            (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Utc(ms).to_string(), text);
        }
        assert!(Utc(u64::MAX).to_string().ends_with(":51.615Z"), "a clock may say anything");
    }
}
