//! Which connections need their worker, and how it is woken.

use crate::limits::{CLIENT_WORDS, CLIENTS};
use crate::sync::Bitmap;
use heapless::Vec;
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::os::fd::{AsFd, BorrowedFd};

/// Which seats need their worker, and what wakes each worker.
pub struct Wakeups {
    connections: Bitmap<CLIENT_WORDS>,
    wakers: Vec<Waker, CLIENTS>,
}

impl Wakeups {
    /// For so many workers.
    ///
    /// # Errors
    /// When there are not enough descriptors.
    pub fn new(workers: usize) -> nix::Result<Self> {
        let wakers = (0..workers).map(|_| Waker::new()).collect::<nix::Result<_>>()?;
        Ok(Self { connections: Bitmap::new(), wakers })
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.wakers.len()
    }

    /// The seats of a worker: consecutive, and as many as the others' or one more.
    pub fn connections_of(&self, worker: usize) -> core::ops::Range<usize> {
        let first = |worker: usize| worker * CLIENTS / self.workers();
        first(worker)..first(worker + 1)
    }

    /// The worker of a seat: the inverse of [`Wakeups::connections_of`].
    pub fn worker_of(&self, conn: usize) -> usize {
        ((conn + 1) * self.workers() - 1) / CLIENTS
    }

    /// What wakes a worker, for it to wait on. It is meant for edge-triggered epoll: nothing reads it.
    pub fn waker(&self, worker: usize) -> &Waker {
        &self.wakers[worker]
    }

    /// Tells the worker of that seat to look after it.
    pub fn wake(&self, conn: usize) {
        if self.connections.insert(conn) {
            self.wakers[self.worker_of(conn)].wake();
        }
    }

    /// As [`Wakeups::wake`], by somebody who sits in the consumer's seat: a worker, or none. A worker that calls itself
    /// needs no waking: it looks at its calls before it waits.
    pub fn wake_from(&self, sitter: Option<usize>, conn: usize) {
        if sitter == Some(self.worker_of(conn)) {
            self.connections.insert(conn);
        } else {
            self.wake(conn);
        }
    }

    /// For a worker: calls `each` with its seats that need it.
    pub fn take(&self, worker: usize, each: impl FnMut(usize)) {
        let connections = self.connections_of(worker);
        self.connections.drain(connections.start, connections.end, each);
    }
}

/// Wakes a thread that waits for its descriptor: an eventfd. It is meant for edge-triggered epoll, or to be [reset](Self::reset).
pub struct Waker(EventFd);

impl Waker {
    /// One that has not been used.
    ///
    /// # Errors
    /// When there are not enough descriptors.
    pub fn new() -> nix::Result<Self> {
        EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).map(Self)
    }

    /// Makes the descriptor readable.
    pub fn wake(&self) {
        // It fails only after 2^64 wakes that nobody looked at: then it is readable already.
        let _ = self.0.write(1);
    }

    /// Makes the descriptor no longer readable.
    pub fn reset(&self) {
        // It fails only if nobody woke: then it is not readable.
        let _ = self.0.read();
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seat_has_the_worker_whose_seat_it_is() {
        for workers in [1, 2, 3, 5, 7, CLIENTS - 1, CLIENTS] {
            let wakeups = Wakeups::new(workers).unwrap();
            let mut connections = 0;
            for worker in 0..workers {
                for conn in wakeups.connections_of(worker) {
                    assert_eq!((conn, wakeups.worker_of(conn)), (connections, worker));
                    connections += 1;
                }
            }
            assert_eq!(connections, CLIENTS);
        }
    }

    #[test]
    fn who_calls_itself_rings_no_bell() {
        let wakeups = Wakeups::new(2).unwrap();
        wakeups.wake_from(Some(0), 0);
        assert!(wakeups.waker(0).0.read().is_err(), "not woken");
        let mut connections = std::vec::Vec::new();
        wakeups.take(0, |conn| connections.push(conn));
        assert_eq!(connections, [0]);
        for sitter in [Some(1), None] {
            wakeups.wake_from(sitter, 0);
            assert_eq!(wakeups.waker(0).0.read(), Ok(1));
            wakeups.take(0, |_| ());
        }
    }

    #[test]
    fn a_call_reaches_its_worker_alone_and_once() {
        let wakeups = Wakeups::new(2).unwrap();
        let (first, last) = (0, CLIENTS - 1);
        wakeups.wake(last);
        wakeups.wake(last);
        let answered = |worker| {
            let mut connections = std::vec::Vec::new();
            wakeups.take(worker, |conn| connections.push(conn));
            connections
        };
        assert_eq!(answered(wakeups.worker_of(first)), []);
        assert_eq!(answered(wakeups.worker_of(last)), [last]);
        assert_eq!(wakeups.waker(1).0.read(), Ok(1), "woken once for two calls");
        assert_eq!(answered(wakeups.worker_of(last)), []);
    }
}
