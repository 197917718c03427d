//! # firstline
//!
//! A TCP server for small Linux boards. Devices and people on the LAN send it lines with `nc`. The server processes
//! the lines in the order of their priority, one at a time, and acknowledges each.
//!
//! ## Principles
//! 1. **Urgent lines come first**, however busy the board is. At most one batch of less urgent lines precedes them.
//! 2. **Memory is fixed at compile time.** Every buffer, queue, table and wait has a bound with a name, in [`limits`];
//!    [`budget`] is their sum. After "ready" nothing allocates and nothing maps.
//! 3. **Nothing is lost silently.** Exactly one place owns a message at any time (a slot has one owner, and the
//!    compiler checks it), and every message gets its reply.
//! 4. **A client can only harm itself.** Its buffers and slots are its own, and no client waits for another's socket.
//! 5. **Nothing spins**, and no thread holds a lock over a system call that can block, except the pipeline's lock, for
//!    which no thread waits before the shutdown.
//!
//! ## The path of a message
//! ```text
//! accept ─> worker: recv ─> frame ─> parse ─> slot ─┐
//!                                                   ├─> bounded heap ─> consumer: pick a batch ─> sinks ─┐
//! client <─ send <─ outbox <─ ACK / NAK ────────────┴────────────────────────────────────────────────────┘
//! ```
//!
//! - Static slots hold the texts, 64 for each client. The holder of the only reference to a slot owns the slot: first
//!   the client's outbox, then the worker, the queue, the consumer, and the outbox again. The heap holds 16-byte
//!   entries: a key of priority and admission, and that reference.
//! - Consecutive lines of one client and one priority that arrive at once are one entry: a run, a linked list of slots.
//!   So the cost of ordering is paid once for each run, and the consumer reads only one slot of the run to pick it. A
//!   single line is a run of one.
//! - A worker serves one client, or with `--workers N` its share of them, with the same code. Its sessions never wait;
//!   the worker waits for all of them in one `epoll_wait`.
//! - The consumer picks a batch under one lock, formats the lines, and passes them to the sinks. The delivery puts
//!   lines and replies into outboxes, and flushes each with non-blocking sends. The worker sends what the socket does
//!   not accept at once. Neither consumer nor delivery ever waits for a client.
//! - The consumer is a role, not a fixed thread. A worker that has admitted a message runs the consumer itself, unless
//!   another thread is running it. So no other thread has to be woken. With a journal, a worker does so while a sync
//!   takes less than a millisecond on average and most groups come from one client. With a slower disk, with several
//!   clients that send all the time, with `--print` and with `--realtime`, the consumer's own thread runs it.
//! - With a journal, a thread that has committed a group releases the consumer before it delivers the group: the next
//!   group goes to the disk while the ACKs of the last one go out. If more messages wait for the disk and the group is
//!   not urgent, the consumer's own thread offloads the delivery to another thread.
//! - With `--handle MIN`, messages of priority MIN and above do not go to the heap but wait for *handlers*, clients
//!   that process them. When a handler is free, its worker gives it the next message. A message that a handler has
//!   processed goes to the consumer before all messages that wait there, and gets its ID, its place in the journal and
//!   its ACK like any other message. No thread waits for a handler.
//! - A worker that has urgent messages requests short slices from the scheduler (Linux 6.12 and later), so that
//!   clients that flood the server do not delay it. A busy worker yields its processor if another
//!   worker has work, but makes no progress.
//! - The mutex and the condition variable sleep in a futex at once and never spin. They are model-checked with loom,
//!   as are the queue, the pipeline and the outboxes.
//!
//! ## The modules, from the bottom up
//! - [`limits`] — every bound; [`budget`] — the memory that they need.
//! - [`sync`] — a mutex and a condition variable that never spin, and a set of numbers without a lock.
//! - [`conn_id`] — the ID of a connection, and tables with an entry for each.
//! - [`counted`] — a number with its noun.
//! - [`json`] — JSON as the commands print it.
//! - [`nearest`] — the known name that a misspelt one resembles most.
//! - [`protocol`] — bytes only: lines in, commands, replies out, escaping. Knows no operating system.
//! - [`queue`] — the order of messages, the slots that hold the texts, the bounded heap.
//! - [`scheduler`] — requests to the kernel, so that urgent messages do not wait for a processor.
//! - [`realtime`] — on request, the consumer runs before everything else on the board.
//! - [`journal`] — the history on disk: its format, its writer, its readers. Knows no clients.
//! - [`auth`] — tokens and rights. Knows no sockets.
//! - [`net`] — listeners, which addresses may connect, and the two calls that move bytes.
//! - [`hub`] — clients, their outboxes, the threads, and the shutdown.
//! - [`service`] — the sockets that systemd passes, and the notifications that it gets.
//! - [`malloc_arenas`] — limits the C library to one arena.
//! - [`code_pages`] — unmaps the program's code once after the start; what is used is mapped again.
//! - [`clock`], [`logger`], [`hub::stats`], [`histogram`] — logs and statistics.
//! - [`options`] — the options and variables of the command line.
//! - [`client`] — a client, for programs, `firstline send`, `watch` and `handle`. Knows the server by its protocol
//!   only.
//! - [`process_io`] — outputs and signals of the commands that speak to a server.
//! - [`journal_command`] — `firstline journal`: reads a journal from outside the server.
//! - [`send_command`] — `firstline send`: sends messages to a server, by the client.
//! - [`watch_command`] — `firstline watch`: prints the messages of a server, by the client.
//! - [`handle_command`] — `firstline handle`: processes messages of a server by running a program, by the client.
//! - [`bench_command`] — `firstline bench`: measures a server.
//! - `src/web` — `firstline-web`, a separate program: a page and metrics, by the client. Only with the feature `web`.
//! - `bridge` — `firstline-bridge`, with the feature of that name: forwards a journal to an MQTT broker, and commands
//!   from there to a server.
//! - [`companion`] — runs the separate programs by `firstline NAME`.
//! - [`alloc_guard`] — the check of principle 2, in test builds.
//!
//! `unsafe` is only in [`sync`], in [`scheduler`], in [`alloc_guard`], in [`net::socket`] (one request to the kernel),
//! in [`hub::egress`] (to inspect a socket that its worker owns), in [`code_pages`] (advice to the kernel), in
//! [`malloc_arenas`] (a setting of the C library), in [`handle_command`] (signals of its programs), and in
//! [`bench_command`] (its server ends with it).

#[cfg(not(loom))]
pub mod alloc_guard;
#[cfg(not(loom))]
pub mod auth;
#[cfg(not(loom))]
pub mod bench_command;
#[cfg(all(feature = "bridge", not(loom)))]
pub mod bridge;
#[cfg(not(loom))]
pub mod budget;
#[cfg(not(loom))]
pub mod client;
pub mod clock;
#[cfg(not(loom))]
pub mod code_pages;
pub mod companion;
pub mod conn_id;
pub mod counted;
#[cfg(not(loom))]
pub mod handle_command;
pub mod histogram;
#[cfg(not(loom))]
pub mod hub;
/// The parts of the hub that the model checker can run. The rest is statics, threads and system calls.
#[cfg(loom)]
pub mod hub {
    pub mod egress;
    pub mod handling;
    /// Only the pipeline: its stages need a kernel.
    pub mod dispatch {
        pub mod pipeline;
    }
}
pub mod journal;
#[cfg(not(loom))]
pub mod journal_command;
#[cfg(not(loom))]
pub mod json;
pub mod limits;
#[cfg(not(loom))]
pub mod logger;
#[cfg(not(loom))]
pub mod malloc_arenas;
pub mod nearest;
#[cfg(not(loom))]
pub mod net;
#[cfg(not(loom))]
pub mod options;
#[cfg(not(loom))]
pub mod process_io;
pub mod protocol;
pub mod queue;
#[cfg(not(loom))]
pub mod realtime;
#[cfg(not(loom))]
pub mod scheduler;
#[cfg(not(loom))]
pub mod send_command;
#[cfg(not(loom))]
pub mod service;
pub mod sync;
#[cfg(not(loom))]
pub mod watch_command;
