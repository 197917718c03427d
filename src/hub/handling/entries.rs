//! The entries of all tasks that handlers have or have done. Knows no handlers.

use crate::hub::handling::entry::{Entry, Phase};
use crate::limits::TASKS_MAX;
use crate::queue::TaskId;
use core::ops::{Index, IndexMut};
use heapless::Vec;

/// [`TASKS_MAX`] entries. New ones are all zeroes.
pub struct Entries<T> {
    all: [Entry<T>; TASKS_MAX],
    /// The entries that were taken and are free again.
    free: Vec<TaskId, TASKS_MAX>,
    /// How many were ever taken. The others are free.
    used: usize,
}

impl<T> Entries<T> {
    /// Entries that are all free.
    #[expect(clippy::new_without_default, reason = "the table makes the only ones")]
    pub const fn new() -> Self {
        Self { all: [const { Entry::new() }; TASKS_MAX], free: Vec::new(), used: 0 }
    }

    /// Whether no entry is free.
    pub fn are_all_taken(&self) -> bool {
        self.free.is_empty() && self.used == TASKS_MAX
    }

    /// Takes a free entry, if there is one.
    pub fn take_free(&mut self) -> Option<TaskId> {
        self.free.pop().or_else(|| {
            let id = (self.used < TASKS_MAX).then(|| TaskId::new(self.used))?;
            self.used += 1;
            Some(id)
        })
    }

    /// Records that an entry is free. It must have no task any more.
    pub fn free(&mut self, id: TaskId) {
        debug_assert!(self[id].phase == Phase::Free && !self.free.contains(&id));
        // This cannot fail: each entry is taken once before it is free again.
        let _ = self.free.push(id);
    }

    /// An entry in that phase, if there is one. It reads all entries.
    pub fn find(&self, phase: Phase) -> Option<TaskId> {
        self.all.iter().position(|entry| entry.phase == phase).map(TaskId::new)
    }

    /// The entries whose tasks handlers have. It reads all entries.
    pub fn given(&self) -> impl Iterator<Item = &Entry<T>> {
        self.all.iter().filter(|entry| entry.phase == Phase::Given)
    }
}

impl<T> Index<TaskId> for Entries<T> {
    type Output = Entry<T>;

    fn index(&self, id: TaskId) -> &Entry<T> {
        &self.all[id.index()]
    }
}

impl<T> IndexMut<TaskId> for Entries<T> {
    fn index_mut(&mut self, id: TaskId) -> &mut Entry<T> {
        &mut self.all[id.index()]
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_taken_once_before_it_is_free_again() {
        let mut entries = Box::new(Entries::<()>::new());
        let taken: std::vec::Vec<TaskId> = core::iter::from_fn(|| entries.take_free()).collect();
        assert!(taken.iter().map(|id| id.index()).eq(0..TASKS_MAX) && entries.are_all_taken());
        entries.free(taken[1]);
        entries.free(taken[0]);
        assert!(!entries.are_all_taken());
        assert_eq!(
            [entries.take_free(), entries.take_free(), entries.take_free()],
            [Some(taken[0]), Some(taken[1]), None]
        );
    }
}
