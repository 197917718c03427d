//! The consumer's seat: at most one processes at a time.
//!
//! A thread of its own keeps it. But a worker that has just admitted something and finds the seat free sits down for one
//! bounded turn, and saves two changes of threads. Where a sink can block, only the seat's own thread sits: a
//! worker has clients who wait.
//!
//! Nothing is stranded: who stands up looks at the queue *after* the seat is free, and calls the seat's thread if there
//! is something. A worker that admits and then finds the seat taken can go: either its message was there at
//! that look, or the look came before it was admitted, and then the seat was free when the worker tried.

use super::Hub;
use super::consumer::Consumer;
use crate::limits::SEAT_BATCHES_MAX;
use crate::sync::Mutex;

/// Where the consumer sits.
pub struct Seat {
    consumer: Mutex<Consumer>,
    /// Only its own thread may sit here.
    is_reserved: bool,
}

impl Seat {
    /// The seat of that consumer.
    pub fn new(consumer: Consumer) -> Self {
        Self { is_reserved: consumer.may_block(), consumer: Mutex::new(consumer) }
    }

    /// For the thread that keeps the seat: processes whatever others leave, until the queue is closed.
    pub fn keep(&self, hub: &Hub) {
        while hub.queue.wait() {
            // Nobody else holds this for longer than a bounded turn, and nobody waits for it.
            let mut consumer = self.consumer.lock();
            while consumer.turn(hub) {}
        }
    }

    /// For a worker that has admitted something: sees to it that it is processed, by itself if the seat is free.
    pub fn take_turn(&self, hub: &Hub) {
        if self.is_reserved {
            return hub.queue.call();
        }
        if let Some(mut consumer) = self.consumer.try_lock() {
            for _ in 0..SEAT_BATCHES_MAX {
                if !consumer.turn(hub) {
                    break;
                }
            }
            drop(consumer);
            hub.queue.call();
        }
    }

    /// How many messages are in the hands of one who sits here now.
    pub fn in_hand(&self, hub: &Hub) -> usize {
        if self.consumer.try_lock().is_some() { 0 } else { hub.queue.picked() }
    }
}
