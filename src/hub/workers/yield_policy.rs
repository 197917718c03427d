//! Decides when a busy worker yields its processor to another worker.
//!
//! If two busy threads share a processor, Linux lets one of them run until the next tick, for up to 4 ms with 250
//! ticks a second, although the other has requested shorter slices. An urgent line for the other worker would wait for
//! that long. So after some lines a worker checks whether another worker has work, but has made no progress since the
//! last check. That worker may be waiting for this processor.
//!
//! A worker that the kernel has woken, and that has not run yet, still counts as waiting for work. The kernel usually
//! runs it at once, because a thread that wakes with short slices preempts others.

use crate::clock;
use crate::hub::rate_limit::{Rate, RateLimiter};
use crate::hub::workers::progress::{Progress, Steps};
use crate::hub::workers::worker_id::WorkerId;
use crate::limits::{LINES_BETWEEN_YIELDS, YIELD_BURST_MS, YIELD_DIVISOR, YIELD_US_MAX};
use std::thread;

/// The limit of the time that yields give to other programs: an event is one nanosecond.
const RATE: Rate = Rate::new(1, YIELD_DIVISOR, YIELD_DIVISOR * YIELD_BURST_NS);

const YIELD_BURST_NS: u64 = YIELD_BURST_MS * 1_000_000;

/// When a worker yields: it records its own progress, and observes the other workers, one after the other.
pub struct YieldPolicy {
    progress: &'static Progress,
    worker: WorkerId,
    /// How many workers there are.
    workers: usize,
    /// The worker that is observed now, and its progress when the observation began.
    observed: usize,
    seen: Steps,
    /// How many lines the worker has taken since then.
    lines: usize,
    /// Limits the time that yields give to other programs.
    given: RateLimiter,
}

/// A worker that has work, and has made no progress.
#[derive(Clone, Copy)]
pub struct Stalled {
    worker: usize,
    steps: Steps,
}

impl YieldPolicy {
    /// For a worker, which is one of `workers`.
    pub fn new(progress: &'static Progress, worker: WorkerId, workers: usize) -> Self {
        Self {
            progress,
            worker,
            workers,
            observed: worker.index(),
            seen: Steps::NONE,
            lines: 0,
            given: RateLimiter::FULL,
        }
    }

    /// Records that the worker has work, and gets on with it.
    pub fn note_step(&self) {
        self.progress.note_step(self.worker);
    }

    /// Records that the worker waits for work.
    pub fn note_wait(&self) {
        self.progress.note_wait(self.worker);
    }

    /// Counts lines that the worker has taken.
    pub fn count_lines(&mut self, lines: usize) {
        self.lines = self.lines.saturating_add(lines);
    }

    /// After [`LINES_BETWEEN_YIELDS`] lines, returns the observed worker if it is stalled, and observes the next one.
    pub fn next_stalled(&mut self) -> Option<Stalled> {
        if self.lines < LINES_BETWEEN_YIELDS {
            return None;
        }
        let last = Stalled { worker: self.observed, steps: self.seen };
        self.observed = self.next();
        self.seen =
            if self.observed == self.worker.index() { Steps::NONE } else { self.progress.of(self.observed) };
        self.lines = 0;
        (last.steps.is_busy() && !self.has_moved(last)).then_some(last)
    }

    fn has_moved(&self, stalled: Stalled) -> bool {
        self.progress.of(stalled.worker) != stalled.steps
    }

    /// Yields the processor to a stalled worker, unless yields have given too much time to other programs lately.
    pub fn yield_to(&mut self, stalled: Stalled) {
        let from_ns = clock::now_ns();
        if self.given.has_one(RATE, from_ns) {
            thread::yield_now();
            let now_ns = clock::now_ns();
            self.note_yield(now_ns.saturating_sub(from_ns), self.has_moved(stalled), now_ns);
        }
    }

    /// Charges a yield that did not help, or that took so long that another program has probably run. A long stop of
    /// the whole process counts as one burst.
    fn note_yield(&mut self, taken_ns: u64, has_helped: bool, now_ns: u64) {
        if !has_helped || taken_ns > YIELD_US_MAX * 1_000 {
            self.given.charge(RATE, taken_ns.min(YIELD_BURST_NS), now_ns);
        }
    }

    /// The worker after the one that is observed, but not the worker itself, unless it is the only one.
    fn next(&self) -> usize {
        let after = |worker| (worker + 1) % self.workers;
        let next = after(self.observed);
        if next == self.worker.index() { after(next) } else { next }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::limits::CLIENTS;

    fn policy(worker: usize, workers: usize, progress: &'static Progress) -> YieldPolicy {
        YieldPolicy::new(progress, WorkerId::new(worker), workers)
    }

    fn progress() -> &'static Progress {
        std::boxed::Box::leak(std::boxed::Box::new(Progress::new()))
    }

    fn yields(policy: &mut YieldPolicy) -> bool {
        policy.count_lines(LINES_BETWEEN_YIELDS);
        policy.next_stalled().is_some()
    }

    #[test]
    fn worker_yields_only_to_one_that_has_work_and_takes_no_step() {
        let progress = progress();
        let (mut policy, other) = (self::policy(0, 2, progress), self::policy(1, 2, progress));
        assert!(!yields(&mut policy) && !yields(&mut policy), "the other has had no work");
        other.note_step();
        assert!(!yields(&mut policy), "the other was not observed before");
        assert!(yields(&mut policy) && yields(&mut policy));
        other.note_step();
        assert!(!yields(&mut policy), "the other has taken a step");
        assert!(yields(&mut policy));
        policy.count_lines(LINES_BETWEEN_YIELDS - 1);
        assert!(policy.next_stalled().is_none(), "the worker has taken few lines");
        policy.count_lines(1);
        let stalled = policy.next_stalled().unwrap();
        assert!(!policy.has_moved(stalled));
        other.note_wait();
        assert!(policy.has_moved(stalled));
        assert!(!yields(&mut policy) && !yields(&mut policy), "the other waits for work");
    }

    #[test]
    fn worker_observes_all_others_and_not_itself() {
        for workers in [1, 2, 3, CLIENTS] {
            let progress = progress();
            let all: Vec<_> = (0..workers).map(|worker| policy(worker, workers, progress)).collect();
            for worker in [0, workers - 1] {
                all.iter().for_each(YieldPolicy::note_step);
                let mut policy = policy(worker, workers, progress);
                let mut observe = |_| {
                    let _ = yields(&mut policy);
                    policy.observed
                };
                let mut observed: Vec<_> = (1..workers).map(&mut observe).collect();
                observed.sort_unstable();
                assert!(observed.into_iter().eq((0..workers).filter(|other| *other != worker)));
                assert_eq!(yields(&mut policy), workers > 1);
            }
        }
    }

    #[test]
    fn other_programs_get_a_share_of_the_time_and_other_workers_all_that_they_take() {
        let (mut policy, now_ns) = (policy(0, 2, progress()), 1_000_000_000);
        let is_permitted = |policy: &YieldPolicy, now_ns| policy.given.has_one(RATE, now_ns);
        for _ in 0..1_000 {
            policy.note_yield(YIELD_US_MAX * 1_000, true, now_ns);
        }
        assert!(is_permitted(&policy, now_ns), "another worker has had the processor");
        policy.note_yield(YIELD_BURST_NS / 2, true, now_ns);
        assert!(is_permitted(&policy, now_ns));
        policy.note_yield(YIELD_BURST_NS / 2, false, now_ns);
        assert!(!is_permitted(&policy, now_ns), "other programs have had the processor");
        let full_ns = now_ns + YIELD_DIVISOR * YIELD_BURST_NS;
        policy.note_yield(u64::MAX / 2, false, full_ns);
        assert!(!is_permitted(&policy, full_ns), "the process was stopped");
        assert!(is_permitted(&policy, full_ns + YIELD_DIVISOR), "it was not stopped for ever");
    }
}
