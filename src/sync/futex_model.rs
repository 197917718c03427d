//! The futex as the model checker sees it: a word, and a gate for what the kernel does in one step.
//!
//! Stands in for `futex.rs` under `--cfg loom`; the interface is the same.

use core::time::Duration;

use loom::sync::{Condvar, Mutex};

use super::atomic::{AtomicU32, Ordering::Relaxed};

/// A 32-bit atomic word on which threads of a model can sleep.
pub struct Futex {
    /// The word. What it means is up to its owner.
    pub word: AtomicU32,
    /// Held to look at the word and fall asleep, and to wake: the kernel's lock on its list of sleepers.
    gate: Mutex<()>,
    sleepers: Condvar,
}

impl Futex {
    /// A futex whose word is `value`.
    pub fn new(value: u32) -> Self {
        Self { word: AtomicU32::new(value), gate: Mutex::new(()), sleepers: Condvar::new() }
    }

    /// Sleeps while the word is `expected`, until woken; `false` if `timeout` was over first.
    ///
    /// A model has no clock. A timed sleep is over as soon as others had a chance to run.
    pub fn wait(&self, expected: u32, timeout: Option<Duration>) -> bool {
        let gate = self.gate.lock().unwrap();
        if self.word.load(Relaxed) != expected {
            return true;
        }
        if timeout.is_some() {
            drop(gate);
            loom::thread::yield_now();
            return false;
        }
        drop(self.sleepers.wait(gate).unwrap());
        true
    }

    /// Wakes one of the threads that sleep here, if there is one.
    pub fn wake_one(&self) {
        let _gate = self.gate.lock().unwrap();
        self.sleepers.notify_one();
    }

    /// Wakes all threads that sleep here.
    pub fn wake_all(&self) {
        let _gate = self.gate.lock().unwrap();
        self.sleepers.notify_all();
    }
}
