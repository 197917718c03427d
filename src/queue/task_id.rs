//! The ID of a task that is done.

use crate::limits::TASKS_MAX;

/// The index of a task in the table of tasks, below [`TASKS_MAX`]. The next task may get the same ID once this one is
/// acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskId(u16);

impl TaskId {
    /// The ID with that index.
    ///
    /// # Panics
    /// In debug builds, if the index is [`TASKS_MAX`] or more.
    pub const fn new(index: usize) -> Self {
        debug_assert!(index < TASKS_MAX);
        Self(index as u16)
    }

    /// The index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}
