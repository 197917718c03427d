//! Waiting for descriptors in a model: the waiting thread sleeps as the model sees it, and the others run on.

#![expect(unsafe_code, reason = "it polls descriptors of other threads")]

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use shuttle::thread::{self, JoinHandle, Thread};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// How many polls in a row may find nothing. More than that mean that all other threads sleep for ever:
/// otherwise one of them runs between two polls with a chance of at least one half.
const POLLS_MAX: usize = 2_000;

/// A thread that waits for events on a descriptor.
struct Waiter {
    fd: RawFd,
    events: PollFlags,
    thread: Thread,
    is_ready: Arc<AtomicBool>,
}

/// The kernel. Its state is not part of the model, because the real kernel reports the same events.
#[derive(Default)]
pub struct Kernel {
    waiters: Mutex<Vec<Waiter>>,
    is_over: AtomicBool,
}

impl Kernel {
    /// Starts to poll, in a thread of the model.
    pub fn start() -> (Arc<Self>, JoinHandle<()>) {
        let kernel = Arc::new(Self::default());
        let own = Arc::clone(&kernel);
        (kernel, thread::spawn(move || own.run()))
    }

    /// Wakes all waiting threads, and ends.
    pub fn end(&self) {
        self.is_over.store(true, Relaxed);
    }

    pub fn is_over(&self) -> bool {
        self.is_over.load(Relaxed)
    }

    /// Sleeps until the descriptor has one of the events, or until [`Kernel::end`].
    pub fn wait(&self, of: &impl AsFd, events: PollFlags) {
        let is_ready = Arc::new(AtomicBool::new(false));
        let waiter = Waiter {
            fd: of.as_fd().as_raw_fd(),
            events,
            thread: thread::current(),
            is_ready: Arc::clone(&is_ready),
        };
        self.waiters.lock().unwrap().push(waiter);
        while !is_ready.load(Relaxed) && !self.is_over() {
            thread::park();
        }
    }

    fn run(&self) {
        let mut polls = 0;
        while !self.is_over() {
            polls = if self.poll_all() { 0 } else { polls + 1 };
            assert!(polls <= POLLS_MAX, "all threads sleep, and nothing will wake them");
            thread::yield_now();
        }
        self.poll_all();
    }

    /// Wakes the threads whose events have come; returns whether there was one.
    fn poll_all(&self) -> bool {
        let all: Vec<Waiter> = std::mem::take(&mut *self.waiters.lock().unwrap());
        let (ready, others): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|waiter| self.is_over() || waiter.has_event());
        self.waiters.lock().unwrap().extend(others);
        for waiter in &ready {
            waiter.is_ready.store(true, Relaxed);
            waiter.thread.unpark();
        }
        !ready.is_empty()
    }
}

impl Waiter {
    fn has_event(&self) -> bool {
        // SAFETY: the waiting thread keeps the descriptor open meanwhile.
        let fd = unsafe { BorrowedFd::borrow_raw(self.fd) };
        poll(&mut [PollFd::new(fd, self.events)], PollTimeout::ZERO) == Ok(1)
    }
}
