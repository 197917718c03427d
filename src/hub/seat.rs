//! The consumer's seat: at most one processes at a time.
//!
//! A thread of its own keeps it. But a worker that has just admitted something and finds the seat free sits down for one
//! bounded turn, and saves two changes of threads. Where a sink can block, the seat is reserved: its own thread takes the
//! consumer out for good, so no lock is held while it waits, and no worker, who has clients that wait, ever sits.
//!
//! Nothing is stranded: who stands up looks at the queue *after* the seat is free, and calls the seat's thread if there
//! is something. A worker that admits and then finds the seat taken can go: either its message was there at
//! that look, or the look came before it was admitted, and then the seat was free when the worker tried.
//!
//! This module knows neither queue nor consumer, only what is done with them; so it can be model-checked.

use crate::limits::SEAT_BATCHES_MAX;
use crate::sync::Mutex;

/// Where one sits who processes, with what he needs for it.
pub struct Seat<C> {
    /// Empty once the seat's own thread has taken it out.
    consumer: Mutex<Option<C>>,
    /// Only its own thread may sit here.
    is_reserved: bool,
}

impl<C> Seat<C> {
    /// A seat, for its own thread alone if `is_reserved`.
    pub fn new(consumer: C, is_reserved: bool) -> Self {
        Self { consumer: Mutex::new(Some(consumer)), is_reserved }
    }

    /// For the thread that keeps the seat: whenever `wait` comes back with true, has `turn`s until one finds nothing.
    pub fn keep(&self, wait: impl Fn() -> bool, turn: impl Fn(&mut C) -> bool) {
        let own = if self.is_reserved { self.consumer.lock().take() } else { None };
        if let Some(mut consumer) = own {
            while wait() {
                while turn(&mut consumer) {}
            }
            return;
        }
        while wait() {
            // Nobody else holds this for longer than a bounded turn, and nobody waits for it.
            let mut consumer = self.consumer.lock();
            while consumer.as_mut().is_some_and(&turn) {}
        }
    }

    /// For a worker that has admitted something: sees to it that it is processed, by itself if the seat is free. `call`
    /// wakes the seat's thread if there is something for it.
    pub fn take_turn(&self, turn: impl Fn(&mut C) -> bool, call: impl Fn()) {
        if self.is_reserved {
            return call();
        }
        if let Some(mut consumer) = self.consumer.try_lock() {
            let mut turns = 0;
            while turns < SEAT_BATCHES_MAX && consumer.as_mut().is_some_and(&turn) {
                turns += 1;
            }
            drop(consumer);
            call();
        }
    }

    /// Whether only its own thread may sit here, because a sink can block.
    pub fn is_reserved(&self) -> bool {
        self.is_reserved
    }
}
