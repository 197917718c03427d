//! The time since the process started, for all that measures or stamps: log lines, latencies, time-outs.
//!
//! It is monotonic: nobody who sets the wall clock can turn it back. It reads no date, for most boards have no
//! clock that survives a power cut.

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
pub fn now_ns() -> u64 {
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

#[cfg(test)]
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
