//! Synchronization: a mutex and a condition variable that never spin.
//!
//! A thread that has to wait sleeps in the kernel at once. The usual mutexes first retry about a hundred times. On a
//! board with one core, or under real-time priorities, these attempts only take time from the thread that holds the
//! lock.
//!
//! - [`Futex`]: a 32-bit word on which a thread can sleep. The system call is made here and nowhere else.
//! - [`Mutex`], [`MutexGuard`]: one word in three states, and the value it guards.
//! - [`inheritance`]: whether a thread that waits for a mutex lends its priority to the holder.
//! - [`Condvar`]: waits for a change of what a mutex guards. A notification without a waiter makes no system call.
//! - [`Bitmap`]: a set of small numbers that threads share without a lock.
//! - [`atomic`]: the atomics of the target, or those of the model checker.
//!
//! This module owns no threads and no data, allocates nothing, and knows nothing of the server. Only 32-bit
//! atomics are used: ARMv6 has no wider ones.
//!
//! With the feature loom, the same mutex and condition variable run on a futex for the model checker
//! [loom](https://docs.rs/loom). `tests/model/loom_sync.rs` tries the orders in which the threads may run: all of them
//! for two threads, and up to a bound for more. `new` is not `const` in such a build. With the feature shuttle they
//! run on [shuttle](https://docs.rs/shuttle), which tries random orders of programs that are too large for loom:
//! `tests/model/shuttle_hub.rs`.

mod bitmap;
mod condvar;
mod helgrind;
pub mod inheritance;
mod mutex;

#[cfg(not(any(loom, shuttle)))]
mod futex;
#[cfg(any(loom, shuttle))]
#[path = "futex_model.rs"]
mod futex;

/// The model checker that runs the threads of a model.
#[cfg(loom)]
use loom as checker;
#[cfg(shuttle)]
use shuttle as checker;

pub use bitmap::Bitmap;
pub use condvar::Condvar;
pub use futex::Futex;
pub use mutex::{Mutex, MutexGuard};

use futex::thread_id;

#[cfg(any(loom, shuttle))]
pub use checker::sync::atomic;
#[cfg(not(any(loom, shuttle)))]
pub use core::sync::atomic;
