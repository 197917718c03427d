//! Counts the events of tasks since the start.

use crate::histogram::Histogram;
use crate::protocol::Priority;

/// An event of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskEvent {
    /// A handler got it.
    Given,
    /// A handler has done it.
    Done,
    /// A handler refused it, or handlers gave it back too often.
    Refused,
    /// The connection of its handler broke.
    Lost,
    /// It exceeded its time.
    TimedOut,
    /// It waits for a handler again, for any reason.
    PutBack,
}

impl TaskEvent {
    /// All events, by their index.
    pub const ALL: [Self; 6] =
        [Self::Given, Self::Done, Self::Refused, Self::Lost, Self::TimedOut, Self::PutBack];

    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The name of the counter.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Given => "tasks-given",
            Self::Done => "tasks-done",
            Self::Refused => "tasks-refused",
            Self::Lost => "tasks-lost",
            Self::TimedOut => "tasks-timed-out",
            Self::PutBack => "tasks-put-back",
        }
    }
}

/// Counts tasks. New statistics are all zeroes.
pub struct TaskStats {
    events: [[u64; TaskEvent::COUNT]; Priority::COUNT],
    /// How long tasks waited for a handler, in nanoseconds.
    pub waits: Histogram,
    /// How long handlers had their tasks, in nanoseconds. Tasks that the shutdown takes from a handler do not count.
    pub works: Histogram,
}

impl Default for TaskStats {
    fn default() -> Self {
        Self::new()
    }
}

impl TaskStats {
    /// Statistics without events.
    pub const fn new() -> Self {
        Self {
            events: [[0; TaskEvent::COUNT]; Priority::COUNT],
            waits: Histogram::new(),
            works: Histogram::new(),
        }
    }

    /// Counts an event of a task of that priority.
    pub fn count(&mut self, priority: Priority, event: TaskEvent) {
        self.events[priority.index()][event as usize] += 1;
    }

    /// The counts by the index of the priority, and then of the event.
    pub fn events(&self) -> [[u64; TaskEvent::COUNT]; Priority::COUNT] {
        self.events
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_by_priority_as_listed() {
        let mut stats = TaskStats::new();
        for (index, event) in TaskEvent::ALL.into_iter().enumerate() {
            (0..=index).for_each(|_| stats.count(Priority::HIGH, event));
        }
        assert_eq!(stats.events()[Priority::HIGH.index()], [1, 2, 3, 4, 5, 6]);
        assert_eq!(stats.events()[Priority::MIN.index()], [0; TaskEvent::COUNT]);
    }
}
