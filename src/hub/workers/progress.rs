//! How far each worker has come, so that a busy worker notices another that does not get on, and gives way to it.
//!
//! If two busy threads share a processor, Linux lets one of them run until the next tick, for up to 4 ms with 250
//! ticks a second, although the other has requested shorter slices. An urgent line for the other worker would wait for
//! that long. So a worker that has taken many lines looks whether another worker has work, but has not got on with it
//! meanwhile. Perhaps that worker waits for this worker's processor.

use crate::hub::workers::worker_id::WorkerId;
use crate::limits::{CLIENTS, LINES_BETWEEN_TURNS};
use crate::sync::atomic::{AtomicU32, Ordering};

/// How far each worker has come. A new one is all zeroes: it takes no space in the binary.
pub struct Progress([Steps; CLIENTS]);

/// The steps of one worker, in a cache line of its own, because the worker changes it often.
#[repr(align(64))]
struct Steps(AtomicU32);

/// Set while the worker has work. The other bits count its steps, and wrap around.
const BUSY: u32 = 1;

impl Progress {
    /// Of workers that have had no work yet.
    #[expect(clippy::new_without_default, reason = "startup makes the only one")]
    pub const fn new() -> Self {
        Self([const { Steps(AtomicU32::new(0)) }; CLIENTS])
    }

    /// Each worker only changes its own steps. They order nothing else.
    fn set(&self, worker: WorkerId, next: impl FnOnce(u32) -> u32) {
        let steps = &self.0[worker.index()].0;
        steps.store(next(steps.load(Ordering::Relaxed)), Ordering::Relaxed);
    }

    fn steps(&self, worker: usize) -> u32 {
        self.0[worker].0.load(Ordering::Relaxed)
    }
}

/// A worker among the others: it records its own progress, and observes the others, one after the other.
pub struct Peers {
    progress: &'static Progress,
    worker: WorkerId,
    /// How many workers there are.
    workers: usize,
    /// The worker that is observed now, and its steps when the observation began.
    observed: usize,
    seen: u32,
    /// How many lines the worker has taken since then.
    lines: usize,
}

impl Peers {
    /// For a worker, which is one of `workers`.
    pub fn new(progress: &'static Progress, worker: WorkerId, workers: usize) -> Self {
        Self { progress, worker, workers, observed: worker.index(), seen: 0, lines: 0 }
    }

    /// Records that the worker has work, and gets on with it.
    pub fn note_step(&self) {
        self.progress.set(self.worker, |steps| steps.wrapping_add(2) | BUSY);
    }

    /// Records that the worker waits for work.
    pub fn note_wait(&self) {
        self.progress.set(self.worker, |steps| steps & !BUSY);
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
        let is_held_up = self.seen & BUSY != 0 && self.progress.steps(self.observed) == self.seen;
        self.observed = self.next();
        self.seen = if self.observed == self.worker.index() { 0 } else { self.progress.steps(self.observed) };
        self.lines = 0;
        is_held_up
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
}
