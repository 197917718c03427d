//! How a worker is told that one of its seats needs it.

use crate::limits::{CLIENT_WORDS, CLIENTS};
use crate::sync::Bitmap;
use heapless::Vec;
use nix::sys::eventfd::{EfdFlags, EventFd};

/// Which seats need their worker, and a bell for each worker.
pub struct Attention {
    seats: Bitmap<CLIENT_WORDS>,
    bells: Vec<EventFd, CLIENTS>,
}

impl Attention {
    /// For so many workers.
    ///
    /// # Errors
    /// When there are not enough descriptors.
    pub fn new(workers: usize) -> nix::Result<Self> {
        let bells = (0..workers).map(|_| new_bell()).collect::<nix::Result<_>>()?;
        Ok(Self { seats: Bitmap::new(), bells })
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.bells.len()
    }

    /// The seats of a worker: consecutive, and as many as the others' or one more.
    pub fn seats_of(&self, worker: usize) -> core::ops::Range<usize> {
        let first = |worker: usize| worker * CLIENTS / self.workers();
        first(worker)..first(worker + 1)
    }

    /// The worker of a seat: the inverse of [`Attention::seats_of`].
    pub fn worker_of(&self, seat: usize) -> usize {
        ((seat + 1) * self.workers() - 1) / CLIENTS
    }

    /// The bell of a worker, for it to wait on. It is meant for edge-triggered epoll: nobody reads it.
    pub fn bell(&self, worker: usize) -> &EventFd {
        &self.bells[worker]
    }

    /// Tells the worker of that seat to look after it.
    pub fn call(&self, seat: usize) {
        if self.seats.insert(seat) {
            ring(&self.bells[self.worker_of(seat)]);
        }
    }

    /// As [`Attention::call`], by somebody who sits in the consumer's seat: a worker, or none. A worker that calls itself
    /// needs no bell: it looks at its calls before it waits.
    pub fn call_from(&self, sitter: Option<usize>, seat: usize) {
        if sitter == Some(self.worker_of(seat)) {
            self.seats.insert(seat);
        } else {
            self.call(seat);
        }
    }

    /// For a worker: calls `each` with its seats that need it.
    pub fn answer(&self, worker: usize, each: impl FnMut(usize)) {
        let seats = self.seats_of(worker);
        self.seats.drain(seats.start, seats.end, each);
    }
}

/// A bell that can be waited on.
///
/// # Errors
/// When there are not enough descriptors.
pub fn new_bell() -> nix::Result<EventFd> {
    EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
}

/// Wakes who waits on the bell. It fails only when it rang 2^64 times and nobody looked: then it rings already.
pub fn ring(bell: &EventFd) {
    let _ = bell.write(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seat_has_the_worker_whose_seat_it_is() {
        for workers in [1, 2, 3, 5, 7, CLIENTS - 1, CLIENTS] {
            let attention = Attention::new(workers).unwrap();
            let mut seats = 0;
            for worker in 0..workers {
                for seat in attention.seats_of(worker) {
                    assert_eq!((seat, attention.worker_of(seat)), (seats, worker));
                    seats += 1;
                }
            }
            assert_eq!(seats, CLIENTS);
        }
    }

    #[test]
    fn who_calls_itself_rings_no_bell() {
        let attention = Attention::new(2).unwrap();
        attention.call_from(Some(0), 0);
        assert!(attention.bell(0).read().is_err(), "not rung");
        let mut seats = std::vec::Vec::new();
        attention.answer(0, |seat| seats.push(seat));
        assert_eq!(seats, [0]);
        for sitter in [Some(1), None] {
            attention.call_from(sitter, 0);
            assert_eq!(attention.bell(0).read(), Ok(1));
            attention.answer(0, |_| ());
        }
    }

    #[test]
    fn a_call_reaches_its_worker_alone_and_once() {
        let attention = Attention::new(2).unwrap();
        let (first, last) = (0, CLIENTS - 1);
        attention.call(last);
        attention.call(last);
        let answered = |worker| {
            let mut seats = std::vec::Vec::new();
            attention.answer(worker, |seat| seats.push(seat));
            seats
        };
        assert_eq!(answered(attention.worker_of(first)), []);
        assert_eq!(answered(attention.worker_of(last)), [last]);
        assert_eq!(attention.bell(1).read(), Ok(1), "rung once for two calls");
        assert_eq!(answered(attention.worker_of(last)), []);
    }
}
