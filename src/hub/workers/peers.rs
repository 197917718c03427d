//! A worker among the others: a busy worker notices another that does not get on, and gives way to it.
//!
//! If two busy threads share a processor, Linux lets one of them run until the next tick, for up to 4 ms with 250
//! ticks a second, although the other has requested shorter slices. An urgent line for the other worker would wait for
//! that long. So a worker that has taken many lines looks whether another worker has work, but has not got on with it
//! meanwhile. Perhaps that worker waits for this worker's processor.

use crate::clock;
use crate::hub::rate_limit::{Rate, RateLimiter};
use crate::hub::workers::progress::{Progress, Steps};
use crate::hub::workers::worker_id::WorkerId;
use crate::limits::{GIVEN_BURST_MS, GIVEN_DIVISOR, LINES_BETWEEN_TURNS, TURN_US_MAX};
use std::thread;

/// The limit of the time that goes to other programs: an event is one nanosecond.
const RATE: Rate = Rate::new(1, GIVEN_DIVISOR, GIVEN_DIVISOR * GIVEN_BURST_MS * 1_000_000);

/// A worker among the others: it records its own progress, and observes the others, one after the other.
pub struct Peers {
    progress: &'static Progress,
    worker: WorkerId,
    /// How many workers there are.
    workers: usize,
    /// The worker that is observed now, and its steps when the observation began.
    observed: usize,
    seen: Steps,
    /// How many lines the worker has taken since then.
    lines: usize,
    /// Limits the time that it gives to other programs.
    given: RateLimiter,
}

impl Peers {
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
        self.lines += lines;
    }

    /// Whether the worker must give way. It looks for that after [`LINES_BETWEEN_TURNS`] lines: it must if the worker
    /// that it observes has had work all the time, and has not got on with it. Then it observes the next worker.
    pub fn must_give_way(&mut self) -> bool {
        if self.lines < LINES_BETWEEN_TURNS {
            return false;
        }
        let is_held_up = self.seen.is_busy() && self.progress.of(self.observed) == self.seen;
        self.observed = self.next();
        self.seen =
            if self.observed == self.worker.index() { Steps::NONE } else { self.progress.of(self.observed) };
        self.lines = 0;
        is_held_up
    }

    /// Gives way to the threads that wait for this processor, unless too much of the time went to other programs lately.
    pub fn give_way(&mut self) {
        let from_ns = clock::now_ns();
        if self.given.has_one(RATE, from_ns) {
            thread::yield_now();
            let now_ns = clock::now_ns();
            self.note_given(now_ns.saturating_sub(from_ns), now_ns);
        }
    }

    /// A worker gives way soon, too. So if the processor was away for long, another program has had it.
    fn note_given(&mut self, given_ns: u64, now_ns: u64) {
        if given_ns > TURN_US_MAX * 1_000 {
            self.given.charge(RATE, given_ns, now_ns);
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

    fn peers(worker: usize, workers: usize, progress: &'static Progress) -> Peers {
        Peers::new(progress, WorkerId::new(worker), workers)
    }

    fn progress() -> &'static Progress {
        std::boxed::Box::leak(std::boxed::Box::new(Progress::new()))
    }

    fn must_give_way(peers: &mut Peers) -> bool {
        peers.count_lines(LINES_BETWEEN_TURNS);
        peers.must_give_way()
    }

    #[test]
    fn worker_gives_way_only_to_one_that_has_work_and_takes_no_step() {
        let progress = progress();
        let (mut peers, other) = (self::peers(0, 2, progress), self::peers(1, 2, progress));
        assert!(!must_give_way(&mut peers) && !must_give_way(&mut peers), "the other has had no work");
        other.note_step();
        assert!(!must_give_way(&mut peers), "the other was not observed before");
        assert!(must_give_way(&mut peers) && must_give_way(&mut peers));
        other.note_step();
        assert!(!must_give_way(&mut peers), "the other has taken a step");
        assert!(must_give_way(&mut peers));
        peers.count_lines(LINES_BETWEEN_TURNS - 1);
        assert!(!peers.must_give_way(), "the worker has taken few lines");
        peers.count_lines(1);
        assert!(peers.must_give_way());
        other.note_wait();
        assert!(!must_give_way(&mut peers) && !must_give_way(&mut peers), "the other waits for work");
    }

    #[test]
    fn worker_observes_all_others_and_not_itself() {
        for workers in [1, 2, 3, CLIENTS] {
            let progress = progress();
            let all: Vec<_> = (0..workers).map(|worker| peers(worker, workers, progress)).collect();
            for worker in [0, workers - 1] {
                all.iter().for_each(Peers::note_step);
                let mut peers = peers(worker, workers, progress);
                let mut observe = |_| {
                    let _ = must_give_way(&mut peers);
                    peers.observed
                };
                let mut observed: Vec<_> = (1..workers).map(&mut observe).collect();
                observed.sort_unstable();
                assert!(observed.into_iter().eq((0..workers).filter(|other| *other != worker)));
                assert_eq!(must_give_way(&mut peers), workers > 1);
            }
        }
    }

    #[test]
    fn other_programs_get_a_share_of_the_time_and_other_workers_all_that_they_take() {
        let (mut peers, mut now_ns) = (peers(0, 2, progress()), 1_000_000_000);
        let is_permitted = |peers: &Peers, now_ns| peers.given.has_one(RATE, now_ns);
        for _ in 0..1_000 {
            peers.note_given(TURN_US_MAX * 1_000, now_ns);
        }
        assert!(is_permitted(&peers, now_ns), "another worker has had the processor");
        let burst_ns = GIVEN_BURST_MS * 1_000_000;
        peers.note_given(burst_ns, now_ns);
        assert!(!is_permitted(&peers, now_ns), "another program has had the processor");
        now_ns += GIVEN_DIVISOR * burst_ns;
        peers.note_given(burst_ns / 2, now_ns);
        assert!(is_permitted(&peers, now_ns));
        peers.note_given(burst_ns, now_ns);
        assert!(!is_permitted(&peers, now_ns + GIVEN_DIVISOR * burst_ns / 2 - 1));
        assert!(is_permitted(&peers, now_ns + GIVEN_DIVISOR * burst_ns / 2 + GIVEN_DIVISOR));
    }
}
