//! The system, for threads of a model that wait for descriptors: they sleep as far as the model is concerned, and the others run on.

#![expect(unsafe_code, reason = "it polls the descriptors of others")]

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use shuttle::thread::{self, JoinHandle, Thread};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// Looks in a row that find nothing, after which all others sleep for ever: each of these looks one of them would have run else, with a
/// chance of one half at least.
const LOOKS_MAX: usize = 2_000;

/// Who waits for what.
struct Waiter {
    fd: RawFd,
    events: PollFlags,
    thread: Thread,
    is_ready: Arc<AtomicBool>,
}

/// The system. What it has is no part of the model: it changes in no other way than the real one would.
#[derive(Default)]
pub struct Kernel {
    waiters: Mutex<Vec<Waiter>>,
    is_over: AtomicBool,
}

impl Kernel {
    /// Begins to look, in a thread of the model.
    pub fn start() -> (Arc<Self>, JoinHandle<()>) {
        let kernel = Arc::new(Self::default());
        let own = Arc::clone(&kernel);
        (kernel, thread::spawn(move || own.run()))
    }

    /// Wakes all who wait, and ends.
    pub fn end(&self) {
        self.is_over.store(true, Relaxed);
    }

    pub fn is_over(&self) -> bool {
        self.is_over.load(Relaxed)
    }

    /// Sleeps until the descriptor has one of the events, or all is over.
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
        let mut looks = 0;
        while !self.is_over() {
            looks = if self.look() { 0 } else { looks + 1 };
            assert!(looks <= LOOKS_MAX, "all sleep, and nothing will wake them");
            thread::yield_now();
        }
        self.look();
    }

    /// Wakes those who have something to wake for; says whether there was one.
    fn look(&self) -> bool {
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
        // SAFETY: who waits for the descriptor has it open meanwhile.
        let fd = unsafe { BorrowedFd::borrow_raw(self.fd) };
        poll(&mut [PollFd::new(fd, self.events)], PollTimeout::ZERO) == Ok(1)
    }
}
