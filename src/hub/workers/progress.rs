//! How far each worker has come.

use crate::hub::workers::worker_id::WorkerId;
use crate::limits::CLIENTS;
// Not those of the model checker: they order nothing, and outlive a schedule.
use core::sync::atomic::{AtomicU32, Ordering};

/// How far each worker has come. A new one is all zeroes: it takes no space in the binary.
pub struct Progress([Entry; CLIENTS]);

/// The steps of one worker, in a cache line of its own, because the worker changes it often.
#[repr(align(64))]
struct Entry(AtomicU32);

/// How far a worker has come: how many steps it has taken, which wraps around, and whether it has work.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Steps(u32);

impl Steps {
    const BUSY: u32 = 1;

    /// The progress of a worker that has had no work yet.
    pub const NONE: Self = Self(0);

    /// Whether the worker had work.
    pub fn is_busy(self) -> bool {
        self.0 & Self::BUSY != 0
    }
}

impl Progress {
    /// The progress of workers that have had no work yet.
    #[expect(clippy::new_without_default, reason = "startup makes the only one")]
    pub const fn new() -> Self {
        Self([const { Entry(AtomicU32::new(0)) }; CLIENTS])
    }

    /// Records that a worker has work, and gets on with it. Only the worker itself calls this.
    pub fn note_step(&self, worker: WorkerId) {
        self.set(worker, |steps| steps.wrapping_add(2) | Steps::BUSY);
    }

    /// Records that a worker waits for work. Only the worker itself calls this.
    pub fn note_wait(&self, worker: WorkerId) {
        self.set(worker, |steps| steps & !Steps::BUSY);
    }

    /// The steps order nothing else.
    fn set(&self, worker: WorkerId, next: impl FnOnce(u32) -> u32) {
        let steps = &self.0[worker.index()].0;
        steps.store(next(steps.load(Ordering::Relaxed)), Ordering::Relaxed);
    }

    /// How far a worker has come.
    pub fn of(&self, worker: usize) -> Steps {
        Steps(self.0[worker].0.load(Ordering::Relaxed))
    }
}
