//! The ID of a worker.

use crate::limits::CLIENTS;

/// The index of a worker, below the number of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerId(u16);

const _: () = assert!(
    CLIENTS <= u16::MAX as usize,
    "a worker's index is below the number of connections, and has 16 bits"
);

impl WorkerId {
    /// The worker with that index.
    ///
    /// # Panics
    /// In debug builds, if the index is [`CLIENTS`] or more.
    pub const fn new(index: usize) -> Self {
        debug_assert!(index < CLIENTS);
        Self(index as u16)
    }

    /// The index of the worker.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}
