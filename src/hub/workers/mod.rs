//! The threads that serve connections, and how they are woken.

pub mod timer;
pub mod wakeups;
pub mod worker;

use crate::limits::CLIENTS;

/// Which worker: its index, below the number of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerId(u16);

const _: () = assert!(CLIENTS <= u16::MAX as usize, "there are no more workers than connections");

impl WorkerId {
    /// The one with that index, which must be below [`CLIENTS`].
    pub const fn new(index: usize) -> Self {
        debug_assert!(index < CLIENTS);
        Self(index as u16)
    }

    /// Its index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Which thread runs the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// That worker.
    Worker(WorkerId),
    /// A thread that serves no connections: the consumer's or the delivery's own.
    OwnThread,
}
