//! # firstline
//!
//! A TCP server for small Linux boards. Devices and people on the LAN send it lines with `nc`; it puts them in order
//! of urgency, processes them one at a time, and acknowledges each.
//!
//! ## Principles
//! 1. **Urgent lines come first**, however busy the board is. One batch of lesser ones, at most, goes before.
//! 2. **Memory is fixed when this is compiled.** Every buffer, queue, table and wait has a bound with a name, in
//!    [`limits`]; [`budget`] is their sum. After "ready" nothing allocates and nothing maps.
//! 3. **Nothing is lost silently.** A message is owned by exactly one place at any time (a slot has one owner, and
//!    the compiler checks it), and each leads on to its reply.
//! 4. **A client can only harm itself.** What is kept for it is its own; nobody waits for another's socket.
//! 5. **Nothing spins**, and no lock is held over a system call that can block.
//!
//! ## The way of a message
//! ```text
//! accept ─> worker: recv ─> frame ─> parse ─> slot ─┐
//!                                                   ├─> bounded heap ─> consumer: pick a batch ─> sinks ─┐
//! client <─ send <─ outbox <─ ACK / NAK ────────────┴────────────────────────────────────────────────────┘
//! ```
//!
//! ## The modules, from the bottom up
//! - [`limits`] — every bound; [`budget`] — what they cost.
//! - [`sync`] — a mutex and a condition variable that never spin, and a set of numbers without a lock.
//! - [`counted`] — a number with its noun.
//! - [`nearest`] — which known name a misspelt one comes nearest to.
//! - [`wire`] — bytes only: lines in, commands, replies out, escaping. Knows no operating system.
//! - [`queue`] — priorities, the slots that hold the texts, the bounded heap.
//! - [`scheduler`] — what is asked of the kernel, so that urgent messages do not wait for a processor.
//! - [`realtime`] — the consumer before everything else on the board, on request.
//! - [`journal`] — the history on disk: its format, who writes it, who reads it. Knows no clients.
//! - [`access`] — tokens: who may do what. Knows no clients.
//! - [`net`] — listeners, who may connect, and the two calls that move bytes.
//! - [`hub`] — clients, their outboxes, the threads, and the end.
//! - [`service`] — what systemd hands over, and what it is told.
//! - [`clock`], [`logger`], [`stats`], [`histogram`]: seeing what happens.
//! - [`options`] — what was asked for at the start.
//! - [`journal_command`] — `firstline journal`: reads a journal from outside of the server.
//! - [`alloc_guard`] — the proof of principle 2, in test builds.
//!
//! `unsafe` stands in [`sync`], in [`scheduler`], in [`alloc_guard`], in [`net::socket`] (one request to the kernel) and, to look at a
//! socket that its worker owns, in [`hub::outbox`], and nowhere else.

#[cfg(not(loom))]
pub mod access;
#[cfg(not(loom))]
pub mod alloc_guard;
#[cfg(not(loom))]
pub mod budget;
pub mod clock;
pub mod counted;
pub mod histogram;
#[cfg(not(loom))]
pub mod hub;
/// What of the hub the model checker can run: the rest is statics, threads and system calls.
#[cfg(loom)]
pub mod hub {
    pub mod courier;
    pub mod outbox;
    pub mod seat;
}
pub mod journal;
#[cfg(not(loom))]
pub mod journal_command;
pub mod limits;
#[cfg(not(loom))]
pub mod logger;
pub mod nearest;
#[cfg(not(loom))]
pub mod net;
pub mod options;
pub mod queue;
#[cfg(not(loom))]
pub mod realtime;
#[cfg(not(loom))]
pub mod scheduler;
#[cfg(not(loom))]
pub mod service;
#[cfg(not(loom))]
pub mod stats;
pub mod sync;
pub mod wire;
