//! Wakes: a thread puts a connection into the bitmap, and writes to the eventfd of its worker.

use crate::{model, spawn};
use firstline::sync::Bitmap;
use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};
use loom::sync::{Arc, Condvar, Mutex as Lock};

/// An eventfd in an edge-triggered epoll set: each write is reported, but several writes before a wait are
/// reported as one.
pub struct EventFd {
    is_written: Lock<bool>,
    written: Condvar,
}

impl EventFd {
    pub fn new() -> Self {
        Self { is_written: Lock::new(false), written: Condvar::new() }
    }

    pub fn write(&self) {
        *self.is_written.lock().unwrap() = true;
        self.written.notify_one();
    }

    pub fn wait(&self) {
        let mut is_written = self.is_written.lock().unwrap();
        while !*is_written {
            is_written = self.written.wait(is_written).unwrap();
        }
        *is_written = false;
    }
}

/// The set of connections to poll, an eventfd for each of two workers, and what the threads wrote before they
/// woke a worker.
struct Wakes {
    connections: Bitmap<1>,
    event_fds: [EventFd; 2],
    writes: AtomicU32,
    published: [AtomicU32; 2],
}

impl Wakes {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            connections: Bitmap::new(),
            event_fds: [EventFd::new(), EventFd::new()],
            writes: AtomicU32::new(0),
            published: [AtomicU32::new(0), AtomicU32::new(0)],
        })
    }

    /// Writes, and then wakes the worker of a connection. If the eventfd is not written, only the bitmap
    /// publishes the write.
    fn wake(&self, waker: usize, connection: usize, worker: usize) {
        self.published[waker].store(1, Relaxed);
        if self.connections.insert(connection) {
            self.writes.fetch_add(1, Relaxed);
            self.event_fds[worker].write();
        }
    }

    fn is_published(&self, waker: usize) -> bool {
        self.published[waker].load(Relaxed) == 1
    }
}

#[test]
fn two_wakes_of_one_connection_are_both_seen_and_none_is_spurious() {
    model(3, || {
        let wakes = Wakes::new();
        let wakers = [0, 1].map(|waker| spawn(&wakes, move |wakes| wakes.wake(waker, 7, 0)));
        let mut polls = 0;
        // A poll after a wake sees everything that was written before it; a later write must cause another poll.
        let mut seen = [false; 2];
        while seen != [true; 2] {
            wakes.event_fds[0].wait();
            wakes.connections.drain(0, 32, |connection| {
                assert_eq!(connection, 7);
                polls += 1;
                seen = [wakes.is_published(0), wakes.is_published(1)];
            });
        }
        wakers.into_iter().for_each(|waker| waker.join().unwrap());
        wakes.connections.drain(0, 32, |_| polls += 1);
        assert_eq!(polls, wakes.writes.load(Relaxed), "each write to an eventfd causes one poll");
    });
}

#[test]
fn two_workers_share_a_bitmap_word_and_take_only_their_own_connections() {
    model(2, || {
        let wakes = Wakes::new();
        let work = |wakes: &Wakes, worker: usize, connections: [usize; 2]| {
            let mut seen = false;
            while !seen {
                wakes.event_fds[worker].wait();
                wakes.connections.drain(connections[0], connections[1], |connection| {
                    assert!((connections[0]..connections[1]).contains(&connection));
                    seen = wakes.is_published(worker);
                });
            }
        };
        let wakers = [(0, 3), (1, 9)]
            .map(|(worker, connection)| spawn(&wakes, move |wakes| wakes.wake(worker, connection, worker)));
        let other = spawn(&wakes, move |wakes| work(wakes, 1, [8, 32]));
        work(&wakes, 0, [0, 8]);
        wakers.into_iter().for_each(|waker| waker.join().unwrap());
        other.join().unwrap();
        assert!(wakes.connections.is_empty());
    });
}

#[test]
fn draining_a_bit_sees_the_writes_before_its_insertion() {
    loom::model(|| {
        let wakes = Wakes::new();
        let waker = spawn(&wakes, |wakes| wakes.wake(0, 7, 0));
        // Without an eventfd: the worker is awake for another reason.
        wakes.connections.drain(0, 32, |_| assert!(wakes.is_published(0)));
        waker.join().unwrap();
    });
}
