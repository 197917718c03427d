//! Which connections need their worker, and how it is woken.

use crate::conn_id::{ConnId, ConnSet};
use crate::hub::workers::Caller;
use crate::hub::workers::WorkerId;
use crate::limits::CLIENTS;
use heapless::Vec;
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::os::fd::{AsFd, BorrowedFd};

/// Which seats need their worker, and what wakes each worker.
pub struct Wakeups {
    connections: ConnSet,
    wakers: Vec<Waker, CLIENTS>,
}

impl Wakeups {
    /// For so many workers.
    ///
    /// # Errors
    /// When there are not enough descriptors.
    pub fn new(workers: usize) -> nix::Result<Self> {
        let wakers = (0..workers).map(|_| Waker::new()).collect::<nix::Result<_>>()?;
        Ok(Self { connections: ConnSet::new(), wakers })
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.wakers.len()
    }

    /// The seats of a worker: consecutive, and as many as the others' or one more.
    pub fn connections_of(&self, worker: WorkerId) -> core::ops::Range<usize> {
        let first = |worker: usize| worker * CLIENTS / self.workers();
        first(worker.index())..first(worker.index() + 1)
    }

    /// The worker of a seat: the inverse of [`Wakeups::connections_of`].
    pub fn worker_of(&self, conn: ConnId) -> WorkerId {
        WorkerId::new(((conn.index() + 1) * self.workers() - 1) / CLIENTS)
    }

    /// What wakes a worker, for it to wait on. It is meant for edge-triggered epoll: nothing reads it.
    pub fn waker(&self, worker: WorkerId) -> &Waker {
        &self.wakers[worker.index()]
    }

    /// Tells the worker of that seat to look after it.
    pub fn wake(&self, conn: ConnId) {
        if self.connections.insert(conn) {
            self.waker(self.worker_of(conn)).wake();
        }
    }

    /// As [`Wakeups::wake`], by the thread that runs the pipeline. A worker that wakes itself needs no system call: it looks at its wakeups
    /// before it waits.
    pub fn wake_from(&self, caller: Caller, conn: ConnId) {
        if caller == Caller::Worker(self.worker_of(conn)) {
            self.connections.insert(conn);
        } else {
            self.wake(conn);
        }
    }

    /// For a worker: calls `each` with its seats that need it.
    pub fn take(&self, worker: WorkerId, each: impl FnMut(ConnId)) {
        let connections = self.connections_of(worker);
        self.connections.drain(connections, each);
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

    const FIRST: ConnId = ConnId::FIRST;
    const LAST: ConnId = ConnId::new(CLIENTS - 1);

    fn worker(index: usize) -> WorkerId {
        WorkerId::new(index)
    }

    fn taken(wakeups: &Wakeups, worker: WorkerId) -> std::vec::Vec<ConnId> {
        let mut connections = std::vec::Vec::new();
        wakeups.take(worker, |conn| connections.push(conn));
        connections
    }

    #[test]
    fn every_connection_has_the_worker_whose_connection_it_is() {
        for workers in [1, 2, 3, 5, 7, CLIENTS - 1, CLIENTS] {
            let wakeups = Wakeups::new(workers).unwrap();
            let mut connections = 0;
            for worker in (0..workers).map(worker) {
                for index in wakeups.connections_of(worker) {
                    assert_eq!((index, wakeups.worker_of(ConnId::new(index))), (connections, worker));
                    connections += 1;
                }
            }
            assert_eq!(connections, CLIENTS);
        }
    }

    #[test]
    fn a_worker_that_wakes_itself_needs_no_system_call() {
        let wakeups = Wakeups::new(2).unwrap();
        wakeups.wake_from(Caller::Worker(worker(0)), FIRST);
        assert!(wakeups.waker(worker(0)).0.read().is_err(), "not woken");
        assert_eq!(taken(&wakeups, worker(0)), [FIRST]);
        for caller in [Caller::Worker(worker(1)), Caller::OwnThread] {
            wakeups.wake_from(caller, FIRST);
            assert_eq!(wakeups.waker(worker(0)).0.read(), Ok(1));
            assert_eq!(taken(&wakeups, worker(0)), [FIRST]);
        }
    }

    #[test]
    fn a_wakeup_reaches_its_worker_alone_and_once() {
        let wakeups = Wakeups::new(2).unwrap();
        wakeups.wake(LAST);
        wakeups.wake(LAST);
        assert!(taken(&wakeups, wakeups.worker_of(FIRST)).is_empty());
        assert_eq!(taken(&wakeups, wakeups.worker_of(LAST)), [LAST]);
        assert_eq!(wakeups.waker(worker(1)).0.read(), Ok(1), "woken once for two wakeups");
        assert!(taken(&wakeups, wakeups.worker_of(LAST)).is_empty());
    }
}
