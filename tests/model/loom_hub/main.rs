//! What the threads of the hub share, in every order in which the threads may run: the queue, the pipeline, the wakes,
//! the outbox with its send state, and the table of tasks.
//!
//! `cargo test --features loom --test loom_hub`
//!
//! The outbox, the queue, the pipeline, the bitmap, the table of tasks and the flush's loop are the real ones. The kernel, and what a worker
//! and the consumer do around them, are modelled here: a socket that takes a few bytes and reports once when it takes
//! more, and a worker that sleeps until its socket or a wake ends its wait. After a lost wake-up or a byte left behind,
//! all threads of a model sleep, which the checker detects by itself.
//!
//! The smallest models are searched completely, the others up to a bound of forced switches, in which nearly all known
//! bugs show (Musuvathi and Qadeer, "Iterative Context Bounding", 2007).
#![cfg(loom)]

mod connection;
mod handling;
mod kernel;
mod messages;
mod pipeline;
mod pool;
mod queue;
mod reuse;
mod sending;
mod wakes;

use loom::sync::Arc;
use loom::thread;

/// Searches all orders of a model with that many forced switches, unless `LOOM_MAX_PREEMPTIONS` sets another bound.
fn model(switches_max: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(switches_max));
    builder.check(model);
}

/// Makes a value in a thread whose stack has room for several moves of `bytes` bytes: the checker's default stack is
/// small, and a value moves to the heap over the stack.
fn make<T: Send + Sync + 'static>(bytes: usize, make: impl FnOnce() -> Arc<T> + Send + 'static) -> Arc<T> {
    thread::Builder::new().stack_size(8 * bytes).spawn(make).unwrap().join().unwrap()
}

/// Runs `work` in a thread of its own.
fn spawn<S: Send + Sync + 'static, R: 'static>(
    shared: &Arc<S>,
    work: impl FnOnce(&S) -> R + 'static,
) -> thread::JoinHandle<R> {
    let shared = Arc::clone(shared);
    thread::spawn(move || work(&shared))
}
