//! The hub: the state that the threads share, and the modules that move a message from one client to the others.
//!
//! ```text
//! acceptor ─> worker: session ─> commands ─┐
//!                                          ├─> queue ─> consumer ─> sinks ─> commit group ─> delivery ─┐
//! client <─ flush <─ outbox <──────────────┴──────────────────────────────────────────────────────────┤
//!                                                          replay: what the journal has ───────────────┘
//! ```
//!
//! [`shared`] has the parts that the threads share. Each part has its own mutex. This is the order of locks. An arrow
//! means that a thread may take the second lock while it holds the first:
//!
//! ```text
//! pipeline ─> delivery ─> one of { queue, tasks, clients, counters, authenticator, send, outbox, policy's deadline }
//! tasks ─> one of { queue, clients, outbox }
//! send ─> outbox ─> committed
//! ```
//!
//! `send` is the lock of an outbox's send in progress. One exception: the sending thread locks it while it has the
//! outbox locked; [`egress::shared_outbox`] says why that is no deadlock.
//!
//! Otherwise a thread that holds a lock takes only the lock of the log's ring, which comes last. No thread
//! holds a lock over a system call that can block, except the pipeline's lock, for which no thread waits before the
//! shutdown.

pub mod accept;
pub mod clients;
pub mod connection;
pub mod counters;
pub mod dispatch;
pub mod egress;
pub mod handling;
pub mod rate_limit;
pub mod replay;
pub mod settings;
pub mod shared;
pub mod shutdown;
pub mod signals;
pub mod startup;
pub mod stats;
pub mod times;
pub mod watchdog;
pub mod workers;
