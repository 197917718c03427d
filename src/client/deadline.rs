//! The time-out of a sender that makes no progress. Knows no clock: callers pass the time.

use std::time::{Duration, Instant};

/// The time-out of a sender that makes no progress. It runs while a message waits, and restarts whenever a message gets
/// its outcome.
#[derive(Debug)]
pub struct Deadline {
    /// `None`: it never passes.
    timeout: Option<Duration>,
    /// When the time-out started; `None`: no message waits.
    since: Option<Instant>,
}

impl Deadline {
    /// A deadline with that time-out; `None`: it never passes.
    pub fn new(timeout: Option<Duration>) -> Self {
        Self { timeout, since: None }
    }

    /// Records that a message waits. The first one starts the time-out; `now` is called only then.
    pub fn begin(&mut self, now: impl FnOnce() -> Instant) {
        self.since.get_or_insert_with(now);
    }

    /// Records that a message has its outcome: the time-out restarts if another message waits, and stops otherwise.
    pub fn settle(&mut self, now: Instant, is_waiting: bool) {
        self.since = is_waiting.then_some(now);
    }

    /// When the time-out passes, if it runs.
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
    fn time_out_runs_while_a_message_waits_and_restarts_after_progress() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut deadline = Deadline::new(Some(3 * second));
        assert!(!deadline.is_over(start + 100 * second));
        deadline.begin(|| start);
        deadline.begin(|| start + second);
        assert_eq!(deadline.due(), Some(start + 3 * second), "the first counts");
        deadline.settle(start + 2 * second, true);
        assert!(!deadline.is_over(start + 4 * second) && deadline.is_over(start + 5 * second));
        deadline.settle(start + 2 * second, false);
        assert_eq!(deadline.due(), None);
        let mut never = Deadline::new(None);
        never.begin(|| start);
        assert!(!never.is_over(start + 1_000_000 * second));
    }
}
