//! Which threads may run the pipeline, and by when one of them must.

use crate::clock;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Which threads may run the pipeline, and by when one of them must.
pub struct Policy {
    /// Whether the consumer has a thread of its own.
    has_own_thread: bool,
    /// Whether that thread alone may run the pipeline: it runs in real time, and workers do not.
    dedicated_only: bool,
    /// Whether workers may run it now: no sink holds them up for long.
    workers_may_run: AtomicBool,
    /// By when the pipeline must be run, in nanoseconds, if something is to be done by then. The consumer's own thread sees to it.
    due_ns: Mutex<Option<u64>>,
}

impl Policy {
    /// `dedicated_only`: the consumer's own thread alone may run the pipeline. Otherwise there is such a thread if the consumer
    /// `needs_thread`, and workers may run the pipeline while it `lets_workers_run`.
    pub fn new(dedicated_only: bool, needs_thread: bool, lets_workers_run: bool) -> Self {
        Self {
            has_own_thread: dedicated_only || needs_thread,
            dedicated_only,
            workers_may_run: AtomicBool::new(lets_workers_run && !dedicated_only),
            due_ns: Mutex::new(None),
        }
    }

    /// Whether the consumer has a thread of its own.
    pub fn has_own_thread(&self) -> bool {
        self.has_own_thread
    }

    /// Whether that thread alone may run the pipeline.
    pub fn dedicated_only(&self) -> bool {
        self.dedicated_only
    }

    /// Whether workers may run the pipeline now.
    pub fn workers_may_run(&self) -> bool {
        self.workers_may_run.load(Ordering::Relaxed)
    }

    /// Lets workers run the pipeline from now on, or not. It has no effect if the consumer's own thread alone may.
    pub fn let_workers_run(&self, may_run: bool) {
        self.workers_may_run.store(may_run && !self.dedicated_only, Ordering::Relaxed);
    }

    /// The pipeline must be run by that time, in nanoseconds; none: nothing is due. The caller wakes the consumer's own thread.
    pub fn set_due_ns(&self, due_ns: Option<u64>) {
        *self.due_ns.lock() = due_ns;
    }

    /// How long the consumer's own thread may sleep; none: until it is woken. If something is due now, only the first call says so:
    /// whichever thread runs the pipeline then sets the next time.
    pub fn timeout(&self) -> Option<Duration> {
        let mut due_ns = self.due_ns.lock();
        let timeout = Duration::from_nanos((*due_ns)?.saturating_sub(clock::now_ns()));
        if timeout.is_zero() {
            *due_ns = None;
        }
        Some(timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_may_run_only_if_no_thread_is_dedicated() {
        for (dedicated_only, lets_workers_run) in [(false, false), (false, true), (true, false), (true, true)]
        {
            let policy = Policy::new(dedicated_only, false, lets_workers_run);
            assert_eq!(policy.has_own_thread(), dedicated_only);
            assert_eq!(policy.workers_may_run(), lets_workers_run && !dedicated_only);
            policy.let_workers_run(true);
            assert_eq!(policy.workers_may_run(), !dedicated_only);
        }
    }

    #[test]
    fn what_is_due_now_is_told_once() {
        let policy = Policy::new(false, true, false);
        assert_eq!(policy.timeout(), None);
        policy.set_due_ns(Some(clock::now_ns() + 3_600_000_000_000));
        assert!((3_500..=3_600).contains(&policy.timeout().unwrap().as_secs()));
        policy.set_due_ns(Some(0));
        assert_eq!((policy.timeout(), policy.timeout()), (Some(Duration::ZERO), None));
    }
}
