//! The policy: which threads may run the pipeline, and by when one of them must.

use crate::clock;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Which threads may run the pipeline, and by when one of them must.
pub struct Policy {
    /// Whether the consumer has a thread of its own.
    has_own_thread: bool,
    /// Whether only that thread may run the pipeline: it runs in real time, and workers do not.
    dedicated_only: bool,
    /// Whether workers may run the pipeline now: no sink blocks them for long.
    workers_may_run: AtomicBool,
    /// By when a thread must run the pipeline, in nanoseconds, or `None` if there is no deadline. The consumer's own
    /// thread meets the deadline if no other thread does.
    due_ns: Mutex<Option<u64>>,
}

impl Policy {
    /// With `dedicated_only`, only the consumer's own thread may run the pipeline. Otherwise the consumer has its own
    /// thread if it `needs_thread`, and workers may run the pipeline while the consumer `lets_workers_run`.
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

    /// Whether only the consumer's own thread may run the pipeline.
    pub fn dedicated_only(&self) -> bool {
        self.dedicated_only
    }

    /// Whether workers may run the pipeline now.
    pub fn workers_may_run(&self) -> bool {
        self.workers_may_run.load(Ordering::Relaxed)
    }

    /// Sets whether workers may run the pipeline from now on. It has no effect if only the consumer's own thread may.
    pub fn let_workers_run(&self, may_run: bool) {
        self.workers_may_run.store(may_run && !self.dedicated_only, Ordering::Relaxed);
    }

    /// Sets by when a thread must run the pipeline, in nanoseconds, or that there is no deadline. The caller wakes the
    /// consumer's own thread.
    pub fn set_due_ns(&self, due_ns: Option<u64>) {
        *self.due_ns.lock() = due_ns;
    }

    /// How long the consumer's own thread may sleep, or `None` if it may sleep until another thread wakes it. After the
    /// deadline only the first call returns zero: the thread that runs the pipeline then sets the next deadline.
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
    fn passed_deadline_is_returned_once() {
        let policy = Policy::new(false, true, false);
        assert_eq!(policy.timeout(), None);
        policy.set_due_ns(Some(clock::now_ns() + 3_600_000_000_000));
        assert!((3_500..=3_600).contains(&policy.timeout().unwrap().as_secs()));
        policy.set_due_ns(Some(0));
        assert_eq!((policy.timeout(), policy.timeout()), (Some(Duration::ZERO), None));
    }
}
