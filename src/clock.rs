//! The time since the process started, for all that measures or stamps: log lines, latencies, time-outs.
//!
//! It is monotonic: nobody who sets the wall clock can turn it back. It reads no date, for most boards have no
//! clock that survives a power cut.
//!
//! For fuzzers and models it stands still until they put it forward (`by_hand::advance`), so that each run of theirs can be had again.

#[cfg(any(fuzzing, shuttle))]
pub use by_hand::now_ns;
use std::sync::OnceLock;
use std::time::Instant;

static START: OnceLock<Instant> = OnceLock::new();

/// Makes this moment zero, unless the clock already runs. To be called first thing at start-up.
pub fn start() {
    START.get_or_init(Instant::now);
}

/// Nanoseconds since [`start`]. Never goes back; 64 bits last for 584 years.
///
/// Starts the clock if nobody has. Does not allocate, and makes no system call where the kernel offers its
/// clock without one.
#[cfg(not(any(fuzzing, shuttle)))]
pub fn now_ns() -> u64 {
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// The clock of fuzzers and models.
#[cfg(any(fuzzing, shuttle))]
pub mod by_hand {
    use std::cell::Cell;

    thread_local! {
        // All threads of a model are one to the system, and other models have others.
        static NOW_NS: Cell<u64> = const { Cell::new(1) };
    }

    /// Nanoseconds since the start, and those by which it was put forward.
    pub fn now_ns() -> u64 {
        NOW_NS.get()
    }

    /// Puts it forward.
    pub fn advance(ns: u64) {
        NOW_NS.set(NOW_NS.get() + ns);
    }
}

#[cfg(all(test, not(any(fuzzing, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn it_starts_once_and_never_goes_back() {
        start();
        let mut last = now_ns();
        for _ in 0..1_000 {
            start();
            let now = now_ns();
            assert!(now >= last);
            last = now;
        }
    }
}
