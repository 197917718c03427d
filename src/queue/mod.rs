//! The queue: the order of messages, the slots that hold their texts, and the bounded heap of the waiting ones.
//!
//! Workers and the consumer share the [`Queue`]. It owns the order of messages, and knows no sockets and no replies.
//! Its heap, in [`waiting`], knows no threads either.

pub mod batch;
pub mod chain;
pub mod order;
pub mod slot;
pub mod slots;
pub mod task_id;
pub mod waiting;

pub use batch::Batch;
pub use chain::{Chain, Run};
pub use order::Order;
pub use slot::{Slot, SlotRow, take_slots};
pub use slots::Slots;
pub use task_id::TaskId;
pub use waiting::{Depth, Picked, Waiting};

use crate::limits::TASKS_MAX;
use crate::protocol::Priority;
use crate::sync::{Condvar, Mutex};
use core::time::Duration;
use heapless::Deque;

/// At most `N` waiting runs, shared by the threads that admit messages and the thread that processes them.
pub struct Queue<T, const N: usize> {
    shared: Mutex<Shared<T, N>>,
    not_empty: Condvar,
}

struct Shared<T, const N: usize> {
    waiting: Waiting<T, N>,
    /// The tasks that handlers have done, in the order in which they were done.
    completed: Deque<Picked<T>, TASKS_MAX>,
    /// How many tasks were completed since the start.
    completed_total: u64,
    /// The thread in [`Queue::wait`], or the next thread that calls it, has to return.
    is_woken: bool,
    /// A time-out has passed and has not been [handled](Queue::clear_overdue).
    is_overdue: bool,
    is_closed: bool,
}

impl<T: Run, const N: usize> Shared<T, N> {
    const fn new() -> Self {
        Self {
            waiting: Waiting::new(),
            completed: Deque::new(),
            completed_total: 0,
            is_woken: false,
            is_overdue: false,
            is_closed: false,
        }
    }

    /// Whether nothing waits to be picked.
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.completed.is_empty()
    }

    /// Moves the next runs to `batch`, as many as fit: first the tasks that are done.
    fn fill(&mut self, batch: &mut Batch<T>) {
        while batch.room() > 0
            && let Some(completed) = self.completed.pop_front()
        {
            batch.push(completed);
        }
        while batch.room() > 0
            && let Some(picked) = self.waiting.pop(batch.room())
        {
            batch.push(picked);
        }
    }
}

#[cfg(not(loom))]
impl<T: Run, const N: usize> Default for Queue<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Run, const N: usize> Queue<T, N> {
    /// An empty queue.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self { shared: Mutex::new(Shared::new()), not_empty: Condvar::new() }
    }

    /// An empty queue.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self { shared: Mutex::new(Shared::new()), not_empty: Condvar::new() }
    }

    /// Sets the order. Call it at the start, before anything is admitted.
    pub fn set_order(&self, order: Order) {
        self.shared.lock().waiting.set_order(order);
    }

    /// Admits all these runs at once, at `now_ns`. Afterwards the caller runs the pipeline or wakes a thread that
    /// does: see [`Queue::wake_if_waiting`].
    ///
    /// # Panics
    /// If more than `N` runs would wait. That is impossible: all clients together have `N` slots.
    pub fn admit(&self, runs: impl Iterator<Item = (Priority, T)>, now_ns: u64) {
        let mut shared = self.shared.lock();
        for (priority, run) in runs {
            let pushed = shared.waiting.push(run, priority, now_ns);
            assert!(pushed.is_ok(), "the queue has room for the slots of all clients");
        }
    }

    /// Queues a task that a handler has done: the consumer picks it before the runs that wait, and after the tasks that
    /// were done before. Afterwards the caller has the same duties as after [`Queue::admit`].
    ///
    /// # Panics
    /// If more than [`TASKS_MAX`] tasks would wait. That is impossible: the table of tasks has no more.
    pub fn complete(&self, task: Picked<T>) {
        let mut shared = self.shared.lock();
        shared.completed_total += task.item.len() as u64;
        let pushed = shared.completed.push_back(task);
        assert!(pushed.is_ok(), "there is room for all tasks of the table");
    }

    /// For a thread that has admitted messages: wakes the thread in [`Queue::wait`], unless all runs are picked
    /// already.
    pub fn wake_if_waiting(&self) {
        let is_empty = self.shared.lock().is_empty();
        if !is_empty {
            self.wake();
        }
    }

    /// Wakes the thread in [`Queue::wait`], or the next thread that calls it, even if no run waits: its time-out has
    /// changed.
    pub fn wake(&self) {
        let was_woken = core::mem::replace(&mut self.shared.lock().is_woken, true);
        if !was_woken {
            self.not_empty.notify_one();
        }
    }

    /// Whether a thread has to run the pipeline: a run waits to be [picked](Queue::pick), or a time-out of
    /// [`Queue::wait`] has passed and has not been [handled](Queue::clear_overdue).
    pub fn has_work(&self) -> bool {
        let shared = self.shared.lock();
        !shared.is_closed && (!shared.is_empty() || shared.is_overdue)
    }

    /// Waits until another thread wakes this one, or until `timeout` has passed, if there is one. Returns false if the
    /// queue is closed.
    pub fn wait(&self, timeout: Option<Duration>) -> bool {
        let is_idle = |shared: &mut Shared<T, N>| !shared.is_woken && !shared.is_closed;
        let mut shared = match timeout {
            Some(timeout) => self.not_empty.wait_timeout_while(self.shared.lock(), timeout, is_idle).0,
            None => self.not_empty.wait_while(self.shared.lock(), is_idle),
        };
        shared.is_overdue |= !shared.is_woken;
        shared.is_woken = false;
        !shared.is_closed
    }

    /// Marks a passed time-out as handled. A time-out that passes after this makes [`Queue::has_work`] true again.
    pub fn clear_overdue(&self) {
        self.shared.lock().is_overdue = false;
    }

    /// Moves the next runs to `batch`, as many as fit. Returns false if no run waits, or if the queue is closed.
    pub fn pick(&self, batch: &mut Batch<T>) -> bool {
        let mut shared = self.shared.lock();
        if !shared.is_closed {
            shared.fill(batch);
        }
        !batch.is_empty()
    }

    /// The priority of the next run, if one waits.
    pub fn next_priority(&self) -> Option<Priority> {
        let shared = self.shared.lock();
        shared
            .completed
            .front()
            .map(|completed| completed.priority)
            .or_else(|| shared.waiting.next_priority())
    }

    /// Closes the queue: from now on [`Queue::pick`] returns false. [`Queue::take_rest`] takes the runs that still
    /// wait.
    pub fn close(&self) {
        self.shared.lock().is_closed = true;
        self.not_empty.notify_all();
    }

    /// Moves the next runs of a closed queue to `batch`, as many as fit. Returns false if there are none.
    pub fn take_rest(&self, batch: &mut Batch<T>) -> bool {
        self.shared.lock().fill(batch);
        !batch.is_empty()
    }

    /// How many messages were admitted since the start, with the tasks that were done.
    pub fn admitted(&self) -> u64 {
        let shared = self.shared.lock();
        let admitted = shared.waiting.depths().iter().map(|depth| depth.admitted).sum::<u64>();
        admitted + shared.completed_total
    }

    /// The depth of each priority, by its index.
    pub fn depths(&self) -> [Depth; Priority::COUNT] {
        self.shared.lock().waiting.depths()
    }

    /// When the oldest waiting message of each priority was admitted, by the priority's index. It holds the lock while
    /// it reads the whole heap, so it is for `/stats` only.
    pub fn oldest_ns(&self) -> [Option<u64>; Priority::COUNT] {
        self.shared.lock().waiting.oldest_ns()
    }
}
