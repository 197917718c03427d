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
//! - Texts lie in static slots, 64 a client. A slot is owned by whoever holds the only reference
//!   to it: client, queue, consumer, client. The heap holds 16-byte entries: a key of priority and
//!   admission, and that reference.
//! - What one client sends at once, in one priority, is one entry: a run, of slots that own one
//!   another. So order is paid for once a run, and the consumer reads one slot of it. Lines that
//!   come one by one are runs of one.
//! - A worker serves one client, or with `--workers N` its share of them, by the same code: its
//!   sessions never wait, the worker waits for all of them in one `epoll_wait`.
//! - The consumer picks a batch under one lock, writes the lines, feeds the sinks, puts replies
//!   into outboxes and tries one non-blocking send a client. What the socket does not take is the
//!   worker's to finish. It never waits for a client.
//! - Consumer is a role, not a fixed thread: a worker that has admitted something while no thread
//!   has the role takes it, and saves waking another thread. With a journal it does so while a
//!   sync takes less than a millisecond and most of a group comes from one client. On a slower one,
//!   where several clients have something to say all the time, with `--print` and with
//!   `--realtime` it is left to a thread of the consumer's own.
//! - With a journal, a thread that has synced a group of batches gives up the consumer's role
//!   before it delivers that group: the next group goes to the disk while the ACKs of the last one
//!   go out. The consumer's own thread
//!   even hands the delivery over to a thread that does nothing else, if more waits for the disk
//!   and nothing of the group is urgent.
//! - A worker that has urgent messages asks the scheduler for short slices (Linux 6.12 and later),
//!   so that clients that flood the server do not keep it waiting.
//! - The mutex and the condition variable sleep in a futex at once and never spin. Model-checked
//!   with loom, as are the queue and the hand-over of outboxes.
//!
//! ## The modules, from the bottom up
//! - [`limits`] — every bound; [`budget`] — what they cost.
//! - [`sync`] — a mutex and a condition variable that never spin, and a set of numbers without a lock.
//! - [`conn_id`] — which connection, and tables with an entry for each.
//! - [`counted`] — a number with its noun.
//! - [`nearest`] — which known name a misspelt one comes nearest to.
//! - [`protocol`] — bytes only: lines in, commands, replies out, escaping. Knows no operating system.
//! - [`queue`] — priorities, the slots that hold the texts, the bounded heap.
//! - [`scheduler`] — what is asked of the kernel, so that urgent messages do not wait for a processor.
//! - [`realtime`] — the consumer before everything else on the board, on request.
//! - [`journal`] — the history on disk: its format, its writer, its readers. Knows no clients.
//! - [`auth`] — tokens: who may do what. Knows no clients.
//! - [`net`] — listeners, who may connect, and the two calls that move bytes.
//! - [`hub`] — clients, their outboxes, the threads, and the end.
//! - [`service`] — what systemd hands over, and what it is told.
//! - [`clock`], [`logger`], [`hub::stats`], [`histogram`]: seeing what happens.
//! - [`options`] — what was asked for at the start.
//! - [`journal_command`] — `firstline journal`: reads a journal from outside of the server.
//! - [`alloc_guard`] — the proof of principle 2, in test builds.
//!
//! `unsafe` stands in [`sync`], in [`scheduler`], in [`alloc_guard`], in [`net::socket`] (one request to the kernel) and, to look at a
//! socket that its worker owns, in [`hub::egress`], and nowhere else.

#[cfg(not(loom))]
pub mod alloc_guard;
#[cfg(not(loom))]
pub mod auth;
#[cfg(not(loom))]
pub mod budget;
pub mod clock;
pub mod conn_id;
pub mod counted;
pub mod histogram;
#[cfg(not(loom))]
pub mod hub;
/// What of the hub the model checker can run: the rest is statics, threads and system calls.
#[cfg(loom)]
pub mod hub {
    pub mod egress;
    /// The pipeline alone: what it runs needs a kernel.
    pub mod dispatch {
        pub mod pipeline;
    }
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
pub mod protocol;
pub mod queue;
#[cfg(not(loom))]
pub mod realtime;
#[cfg(not(loom))]
pub mod scheduler;
#[cfg(not(loom))]
pub mod service;
pub mod sync;
