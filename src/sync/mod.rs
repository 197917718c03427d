//! Threads that wait: a mutex and a condition variable that never spin.
//!
//! A thread that has to wait goes to sleep in the kernel at once. The usual mutexes first try some hundred
//! times; on a board with one core, or under real-time priorities, these tries only take time from the thread
//! that holds the lock.
//!
//! - [`Futex`]: a 32-bit word on which a thread can sleep. The system call is made here and nowhere else.
//! - [`Mutex`], [`MutexGuard`]: one word in three states, and the value it guards.
//! - [`inheritance`]: whether a thread that waits for a mutex lends its priority to the one that has it.
//! - [`Condvar`]: waits for a change of what a mutex guards. To notify no one costs no system call.
//! - [`Bitmap`]: a set of small numbers that threads share without a lock.
//! - [`atomic`]: the atomics of the target, or those of the model checker.
//!
//! This module owns no threads and no data, allocates nothing, and knows nothing of the server. Only 32-bit
//! atomics are used: ARMv6 has no wider ones.
//!
//! Under `--cfg loom` the same mutex and condition variable run on a futex that the model checker
//! [loom](https://docs.rs/loom) understands; `tests/loom_sync.rs` then tries the orders in which threads may
//! run. `new` is not `const` in such a build.

mod bitmap;
mod condvar;
pub mod inheritance;
mod mutex;

#[cfg(not(loom))]
mod futex;
#[cfg(loom)]
#[path = "futex_model.rs"]
mod futex;

pub use bitmap::Bitmap;
pub use condvar::Condvar;
pub use futex::Futex;
pub use mutex::{Mutex, MutexGuard};

use futex::thread_id;

#[cfg(not(loom))]
pub use core::sync::atomic;
#[cfg(loom)]
pub use loom::sync::atomic;
