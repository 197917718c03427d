//! The counters. They are plain numbers behind a mutex, because not every board has 64-bit atomics.

use crate::histogram::Histogram;
use crate::journal::segment::Identity;
use crate::journal::store::WriteStats;
use crate::protocol::Priority;
use crate::protocol::reply::{Farewell, Nak};
use heapless::Vec;

/// The state of the journal.
#[derive(Clone, Copy)]
pub struct JournalState {
    /// Which journal it is.
    pub identity: Identity,
    /// Its capacity, in bytes of its files.
    pub capacity_bytes: u64,
    /// The statistics of the writes since the start.
    pub written: WriteStats,
    /// Whether messages can be kept.
    pub works: bool,
}

/// The counters since the start that belong neither to a connection nor to the queue.
pub struct Counters {
    /// The times from admission to acknowledgement, in nanoseconds, by priority.
    pub(super) latencies: [Histogram; Priority::COUNT],
    /// Messages that the consumer has acknowledged or refused.
    pub handled: u64,
    /// Refused messages, by reason.
    pub refused: [u64; Nak::COUNT],
    /// Refused commands.
    pub commands_refused: u64,
    /// Messages admitted with a lower priority than their sender wanted.
    pub lowered: u64,
    /// Connections that the server closed, by farewell.
    pub(super) farewells: [u64; Farewell::COUNT],
    /// Wrong tokens that clients showed.
    pub wrong_tokens: u64,
    /// Lines that were cut off because their connection broke.
    pub lines_cut_off: u64,
    /// MSG lines put in outboxes.
    pub msgs_sent: u64,
    /// MSG lines lost because their reader was too slow.
    pub msgs_lost: u64,
    /// The state of the journal, if there is one. A vector, because an empty vector is all zeroes: a static one takes
    /// no space in the binary.
    journal: Vec<JournalState, 1>,
    /// How long the journal's syncs took, in nanoseconds.
    pub(super) sync_times: Histogram,
    /// Damaged bytes that reads of the journal found. Each read counts them again.
    pub journal_damage_bytes: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}

impl Counters {
    /// Nothing has happened.
    pub const fn new() -> Self {
        Self {
            latencies: [const { Histogram::new() }; Priority::COUNT],
            handled: 0,
            refused: [0; Nak::COUNT],
            commands_refused: 0,
            lowered: 0,
            farewells: [0; Farewell::COUNT],
            wrong_tokens: 0,
            lines_cut_off: 0,
            msgs_sent: 0,
            msgs_lost: 0,
            journal: Vec::new(),
            sync_times: Histogram::new(),
            journal_damage_bytes: 0,
        }
    }

    /// The state of the journal, or `None` if there is no journal.
    pub fn journal(&self) -> Option<JournalState> {
        self.journal.first().copied()
    }

    /// Sets the state of the journal.
    pub fn set_journal(&mut self, state: JournalState) {
        self.journal.clear();
        // There is room: it is empty.
        let _ = self.journal.push(state);
    }

    /// Counts a connection that is closed with that farewell.
    pub fn count_farewell(&mut self, why: Farewell) {
        self.farewells[why.index()] += 1;
    }

    /// Records how long a sync of the journal took, with the writes before it, in nanoseconds.
    pub fn record_sync(&mut self, took_ns: u64) {
        self.sync_times.record(took_ns);
    }

    /// Records that `messages` messages of that priority, at least one, are acknowledged `latency_ns` nanoseconds
    /// after their admission.
    pub fn record_processed(&mut self, messages: usize, priority: Priority, latency_ns: u64) {
        self.latencies[priority.index()].record_many(latency_ns, messages as u64);
    }
}
