//! When the next deadline of the table of tasks passes. Knows no tasks.

use crate::limits::TASK_GRAIN_MS;
use core::mem;

/// The next deadline of the waiting tasks. Deadlines are rounded up to multiples of [`TASK_GRAIN_MS`], so that one scan
/// serves the deadlines of many tasks.
#[derive(Default)]
pub struct Schedule {
    /// In nanoseconds, or `None` if no task waits.
    due_ns: Option<u64>,
    /// Whether `due_ns` has become earlier since the last [`take_change`](Self::take_change).
    is_earlier: bool,
}

impl Schedule {
    /// No deadline.
    pub const fn new() -> Self {
        Self { due_ns: None, is_earlier: false }
    }

    /// Adds a deadline, in nanoseconds.
    pub fn add(&mut self, due_ns: u64) {
        let due_ns = rounded_up(due_ns);
        if self.due_ns.is_none_or(|first_ns| due_ns < first_ns) {
            self.due_ns = Some(due_ns);
            self.is_earlier = true;
        }
    }

    /// Sets the next deadline after a scan at the time `now_ns`. One that has passed already stays due.
    pub fn set(&mut self, due_ns: Option<u64>, now_ns: u64) {
        self.due_ns = due_ns.map(|due_ns| if due_ns <= now_ns { due_ns } else { rounded_up(due_ns) });
    }

    /// The next deadline, in nanoseconds.
    pub fn due_ns(&self) -> Option<u64> {
        self.due_ns
    }

    /// Whether the next deadline has passed.
    pub fn is_due(&self, now_ns: u64) -> bool {
        self.due_ns.is_some_and(|due_ns| due_ns <= now_ns)
    }

    /// Whether the next deadline has become earlier since the last call.
    pub fn take_change(&mut self) -> bool {
        mem::take(&mut self.is_earlier)
    }
}

fn rounded_up(due_ns: u64) -> u64 {
    due_ns.next_multiple_of(TASK_GRAIN_MS * 1_000_000)
}
