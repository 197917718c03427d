//! The memory budget: how much memory each part needs, and the sum. `tests/process/memory.rs` compares it with the
//! binary.

use crate::auth::authenticator::State;
use crate::auth::{Tokens, file};
use crate::hub::clients::ClientTable;
use crate::hub::connection::session::Session;
use crate::hub::counters::Counters;
use crate::hub::dispatch::commit_group::CommitGroup;
use crate::hub::egress::buffer::Buffer;
use crate::hub::egress::shared_outbox::SharedOutbox;
use crate::hub::handling::shared::Table;
use crate::hub::replay::Replays;
use crate::hub::workers::progress::Progress;
use crate::journal::scan::Window;
use crate::journal::writer::Buffers;
use crate::limits::{
    BOARD, CLIENTS, CONSUMER_STACK_BYTES, DELIVERY_STACK_BYTES, GROUPS, LOGGER_STACK_BYTES, QUEUE_MAX,
    RECEIVE_BYTES, REPLAY_STACK_BYTES, WORKER_STACK_BYTES, WORKERS,
};
use crate::logger;
use crate::queue::{Chain, Queue, Slot};
use crate::sync::Mutex;
use core::fmt::Write;

/// One consumer of memory.
pub struct Item {
    /// The purpose.
    pub purpose: &'static str,
    /// How many there are.
    pub count: usize,
    /// The size of one, in bytes.
    pub bytes_each: usize,
}

impl Item {
    const fn new(purpose: &'static str, count: usize, bytes_each: usize) -> Self {
        Self { purpose, count, bytes_each }
    }

    /// The size of all, in bytes.
    pub const fn bytes(&self) -> usize {
        self.count * self.bytes_each
    }
}

/// The static memory: the binary's `.bss` and `.data`.
pub const STATIC: [Item; 16] = [
    Item::new("message slots", QUEUE_MAX, size_of::<Slot>()),
    Item::new("outboxes", CLIENTS, size_of::<SharedOutbox>()),
    Item::new("buffers of outboxes", CLIENTS, size_of::<Buffer>()),
    Item::new("receive buffers", CLIENTS, RECEIVE_BYTES),
    Item::new("queue entries", QUEUE_MAX, size_of::<Queue<Chain, QUEUE_MAX>>() / QUEUE_MAX),
    Item::new("tasks of handlers", 1, size_of::<Mutex<Table>>()),
    Item::new("sessions", CLIENTS, size_of::<Session>()),
    Item::new("progress of the workers", 1, size_of::<Progress>()),
    Item::new("clients", 1, size_of::<Mutex<ClientTable>>()),
    Item::new("batches under way", GROUPS, size_of::<CommitGroup>()),
    Item::new("journal buffers", 1, size_of::<Buffers>()),
    Item::new("readers of the journal", 1, size_of::<Replays>() + size_of::<Window>()),
    Item::new("authenticator", 1, size_of::<Mutex<State>>()),
    Item::new("the auth file as it is read", 1, size_of::<file::Buffer>() + size_of::<Tokens>()),
    Item::new("counters and latency histograms", 1, size_of::<Mutex<Counters>>()),
    Item::new("log ring", 1, logger::RING_BYTES),
];

/// The stacks of the threads, with the board's default number of workers. Mapped, and in memory only as far as they
/// are used.
pub const STACKS: [Item; 5] = [
    Item::new("worker stacks", WORKERS, WORKER_STACK_BYTES),
    // Only if a sink can block (`--print`, `--journal`), or with `--realtime`.
    Item::new("consumer stack", 1, CONSUMER_STACK_BYTES),
    // The next two only with a journal.
    Item::new("delivery stack", 1, DELIVERY_STACK_BYTES),
    Item::new("replay stack", 1, REPLAY_STACK_BYTES),
    Item::new("log writer stack", 1, LOGGER_STACK_BYTES),
];

/// The size of all items, in bytes.
pub fn total(items: &[Item]) -> usize {
    items.iter().map(Item::bytes).sum()
}

/// The output of `--sizes`.
pub fn table() -> String {
    let mut table = format!("memory of firstline for the board {BOARD}, in bytes\n");
    for item in STATIC.iter().chain(&STACKS) {
        let Item { purpose, count, bytes_each } = item;
        line(&mut table, purpose, &format!("{count} x {bytes_each}"), item.bytes());
    }
    line(&mut table, "static total", "", total(&STATIC));
    line(&mut table, "stack total", "", total(&STACKS));
    line(&mut table, "total", "", total(&STATIC) + total(&STACKS));
    table
}

fn line(table: &mut String, purpose: &str, product: &str, bytes: usize) {
    // Writing to a String does not fail.
    let _ = writeln!(table, "{purpose:<32} {product:>16} {bytes:>12}");
}
