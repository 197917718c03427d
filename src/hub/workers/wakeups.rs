//! Which connections need their worker, and how other threads wake that worker.

use crate::conn_id::{ConnId, ConnSet};
use crate::hub::workers::caller::Caller;
use crate::hub::workers::worker_id::WorkerId;
use crate::limits::CLIENTS;
use heapless::Vec;
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::os::fd::{AsFd, BorrowedFd};

/// Which connections need their worker, and what wakes each worker.
pub struct Wakeups {
    connections: ConnSet,
    wakers: Vec<Waker, CLIENTS>,
}

impl Wakeups {
    /// The wakeups of `workers` workers.
    ///
    /// # Errors
    /// If there are not enough descriptors.
    pub fn new(workers: usize) -> nix::Result<Self> {
        let wakers = (0..workers).map(|_| Waker::new()).collect::<nix::Result<_>>()?;
        Ok(Self { connections: ConnSet::new(), wakers })
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.wakers.len()
    }

    /// The indices of a worker's connections. They are consecutive, and no worker has more than one connection more
    /// than another.
    pub fn connections_of(&self, worker: WorkerId) -> core::ops::Range<usize> {
        let first = |worker: usize| worker * CLIENTS / self.workers();
        first(worker.index())..first(worker.index() + 1)
    }

    /// The worker of a connection: the inverse of [`Wakeups::connections_of`].
    pub fn worker_of(&self, conn: ConnId) -> WorkerId {
        WorkerId::new(((conn.index() + 1) * self.workers() - 1) / CLIENTS)
    }

    /// The waker of a worker. The worker waits on it by edge-triggered epoll, and nothing reads it.
    pub fn waker(&self, worker: WorkerId) -> &Waker {
        &self.wakers[worker.index()]
    }

    /// Wakes the worker of a connection, so that it polls the session.
    pub fn wake(&self, conn: ConnId) {
        if self.connections.insert(conn) {
            self.waker(self.worker_of(conn)).wake();
        }
    }

    /// As [`Wakeups::wake`], for the thread that runs the pipeline. If that thread is the connection's own worker,
    /// this makes no system call: a worker takes its wakeups before it waits.
    pub fn wake_from(&self, caller: Caller, conn: ConnId) {
        if caller == Caller::Worker(self.worker_of(conn)) {
            self.connections.insert(conn);
        } else {
            self.wake(conn);
        }
    }

    /// For a worker: calls `each` with every connection of the worker that has a wakeup, and clears the wakeups.
    pub fn take(&self, worker: WorkerId, each: impl FnMut(ConnId)) {
        let connections = self.connections_of(worker);
        self.connections.drain(connections, each);
    }
}

/// Wakes a thread that waits for this descriptor, an eventfd. The thread waits by edge-triggered epoll, or calls
/// [`reset`](Self::reset) after each wake.
pub struct Waker(EventFd);

impl Waker {
    /// A waker that is not readable.
    ///
    /// # Errors
    /// If there are not enough descriptors.
    pub fn new() -> nix::Result<Self> {
        EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).map(Self)
    }

    /// Makes the descriptor readable.
    pub fn wake(&self) {
        // This fails only after 2^64 wakes without a reset. Then the descriptor is readable already.
        let _ = self.0.write(1);
    }

    /// Makes the descriptor no longer readable.
    pub fn reset(&self) {
        // This fails only if there was no wake. Then the descriptor is not readable.
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
    fn connections_of_and_worker_of_agree() {
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
    fn worker_wakes_itself_without_a_system_call() {
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
    fn wakeup_reaches_one_worker_once() {
        let wakeups = Wakeups::new(2).unwrap();
        wakeups.wake(LAST);
        wakeups.wake(LAST);
        assert!(taken(&wakeups, wakeups.worker_of(FIRST)).is_empty());
        assert_eq!(taken(&wakeups, wakeups.worker_of(LAST)), [LAST]);
        assert_eq!(wakeups.waker(worker(1)).0.read(), Ok(1), "one wake for two wakeups");
        assert!(taken(&wakeups, wakeups.worker_of(LAST)).is_empty());
    }
}
