//! A task that is offered to a handler, the result of the offer, and the status of the handler.

use crate::protocol::Priority;

/// A task, as a handler gets it.
pub struct Offer<'a, T> {
    /// The number of the task on the handler's connection.
    pub number: u64,
    /// The message.
    pub item: &'a T,
    /// Its priority.
    pub priority: Priority,
    /// How long the handler has, in nanoseconds.
    pub left_ns: u64,
}

/// The result of [`TaskTable::give`](super::table::TaskTable::give).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// The handler has one more task.
    Task,
    /// There is no task for it now, it wants none, or no entry is free.
    Nothing,
    /// There is a task, but no room for its line in the handler's outbox.
    NoRoom,
}

/// The tasks of one handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// How many it has.
    pub given: usize,
    /// When the time of the earliest of them ends, in nanoseconds.
    pub due_ns: Option<u64>,
}
