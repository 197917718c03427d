//! How long nothing may come of what waits. Knows no clock: it is told the time.

use std::time::{Duration, Instant};

/// The time-out of progress: it runs while something waits, and begins anew whenever something is settled.
#[derive(Debug)]
pub struct Deadline {
    /// None: for ever.
    timeout: Option<Duration>,
    /// When something was settled last, or began to wait; none: nothing waits.
    since: Option<Instant>,
}

impl Deadline {
    /// With that time-out, or none: it never passes.
    pub fn new(timeout: Option<Duration>) -> Self {
        Self { timeout, since: None }
    }

    /// Something waits; if it is the first, the time begins.
    pub fn begin(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// Something was settled, and this says whether something else waits.
    pub fn settle(&mut self, now: Instant, is_waiting: bool) {
        self.since = is_waiting.then_some(now);
    }

    /// When it passes, if it does.
    pub fn due(&self) -> Option<Instant> {
        self.since?.checked_add(self.timeout?)
    }

    /// Whether it has passed.
    pub fn is_over(&self, now: Instant) -> bool {
        self.due().is_some_and(|due| now >= due)
    }

    /// The time-out.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_only_while_something_waits_and_anew_after_progress() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut deadline = Deadline::new(Some(3 * second));
        assert!(!deadline.is_over(start + 100 * second));
        deadline.begin(start);
        deadline.begin(start + second);
        assert_eq!(deadline.due(), Some(start + 3 * second), "the first counts");
        deadline.settle(start + 2 * second, true);
        assert!(!deadline.is_over(start + 4 * second) && deadline.is_over(start + 5 * second));
        deadline.settle(start + 2 * second, false);
        assert_eq!(deadline.due(), None);
        let mut never = Deadline::new(None);
        never.begin(start);
        assert!(!never.is_over(start + 1_000_000 * second));
    }
}
