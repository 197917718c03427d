//! The queue: priorities, the slots that hold the texts, and the bounded heap of what waits.
//!
//! [`Queue`] is what workers and the consumer share. It owns the order of messages and knows nothing of
//! sockets, clients or replies; below it, [`waiting`] knows no threads either.

pub mod batch;
pub mod chain;
pub mod order;
pub mod slot;
pub mod slots;
pub mod waiting;

pub use batch::Batch;
pub use chain::{Chain, Run};
pub use order::Order;
pub use slot::{Slot, SlotRow, take_slots};
pub use slots::Slots;
pub use waiting::{Depth, Picked, Waiting};

use crate::protocol::Priority;
use crate::sync::{Condvar, Mutex};
use core::time::Duration;

/// What waits, shared between the threads that admit and the one that processes. At most `N` runs.
pub struct Queue<T, const N: usize> {
    shared: Mutex<Shared<T, N>>,
    not_empty: Condvar,
}

struct Shared<T, const N: usize> {
    waiting: Waiting<T, N>,
    /// The one in [`Queue::wait`] is called.
    called: bool,
    /// The time-out passed, and has not been [handled](Queue::clear_overdue).
    overdue: bool,
    closed: bool,
}

impl<T: Run, const N: usize> Shared<T, N> {
    const fn new() -> Self {
        Self { waiting: Waiting::new(), called: false, overdue: false, closed: false }
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

    /// Sets how keys are made. For the start, before anything is admitted.
    pub fn set_order(&self, order: Order) {
        self.shared.lock().waiting.set_order(order);
    }

    /// Admits all of these runs at once, as of `now_ns`. Whoever admits sees to it that it is processed: see
    /// [`Queue::wake_if_waiting`].
    ///
    /// # Panics
    /// If more than `N` would wait: the slots of all clients together are `N`, so that cannot be.
    pub fn admit(&self, runs: impl Iterator<Item = (Priority, T)>, now_ns: u64) {
        let mut shared = self.shared.lock();
        for (priority, run) in runs {
            let pushed = shared.waiting.push(run, priority, now_ns);
            assert!(pushed.is_ok(), "the queue has room for the slots of all clients");
        }
    }

    /// For a thread that admitted something: wakes the thread in [`Queue::wait`], unless all is picked already.
    pub fn wake_if_waiting(&self) {
        let is_empty = self.shared.lock().waiting.is_empty();
        if !is_empty {
            self.wake();
        }
    }

    /// Wakes the thread in [`Queue::wait`], or the next one there, whether or not something waits: its time-out has changed.
    pub fn wake(&self) {
        let was_called = core::mem::replace(&mut self.shared.lock().called, true);
        if !was_called {
            self.not_empty.notify_one();
        }
    }

    /// Whether the pipeline is to run: something waits to be [picked](Queue::pick), or the time-out of [`Queue::wait`] passed and that has
    /// not been [handled](Queue::clear_overdue).
    pub fn has_work(&self) -> bool {
        let shared = self.shared.lock();
        !shared.closed && (!shared.waiting.is_empty() || shared.overdue)
    }

    /// Waits until it is woken, or the time-out passes, if there is one. False: the queue is closed.
    pub fn wait(&self, timeout: Option<Duration>) -> bool {
        let is_idle = |shared: &mut Shared<T, N>| !shared.called && !shared.closed;
        let mut shared = match timeout {
            Some(timeout) => self.not_empty.wait_timeout_while(self.shared.lock(), timeout, is_idle).0,
            None => self.not_empty.wait_while(self.shared.lock(), is_idle),
        };
        shared.overdue |= !shared.called;
        shared.called = false;
        !shared.closed
    }

    /// The passed time-out is handled from now on. What becomes due after this makes [`Queue::has_work`] true again.
    pub fn clear_overdue(&self) {
        self.shared.lock().overdue = false;
    }

    /// Moves the first of what waits to `batch`, as much as that takes; false: there is nothing, or the queue is
    /// closed.
    pub fn pick(&self, batch: &mut Batch<T>) -> bool {
        let mut shared = self.shared.lock();
        if !shared.closed {
            fill(batch, &mut shared.waiting);
        }
        !batch.is_empty()
    }

    /// The priority of what comes first now, if something waits.
    pub fn next_priority(&self) -> Option<Priority> {
        self.shared.lock().waiting.next_priority()
    }

    /// Ends it: [`Queue::pick`] gives nothing any more. What still waits is left to [`Queue::take_rest`].
    pub fn close(&self) {
        self.shared.lock().closed = true;
        self.not_empty.notify_all();
    }

    /// Moves the first of what a closed queue still holds to `batch`; false: there is nothing.
    pub fn take_rest(&self, batch: &mut Batch<T>) -> bool {
        fill(batch, &mut self.shared.lock().waiting);
        !batch.is_empty()
    }

    /// How many messages were admitted since the start.
    pub fn admitted(&self) -> u64 {
        self.depths().iter().map(|depth| depth.admitted).sum()
    }

    /// What is known of each priority, by its index.
    pub fn depths(&self) -> [Depth; Priority::COUNT] {
        self.shared.lock().waiting.depths()
    }

    /// When the longest waiting message of each priority was admitted, by its index. Holds the lock while it reads
    /// the heap; for `/stats` only.
    pub fn oldest_ns(&self) -> [Option<u64>; Priority::COUNT] {
        self.shared.lock().waiting.oldest_ns()
    }
}

fn fill<T: Run, const N: usize>(batch: &mut Batch<T>, waiting: &mut Waiting<T, N>) {
    while batch.room() > 0
        && let Some(picked) = waiting.pop(batch.room())
    {
        batch.push(picked);
    }
}
