//! What is counted while it happens. Plain numbers, behind a mutex: not every board has 64-bit atomics.

use crate::histogram::Histogram;
use crate::journal::segment::Identity;
use crate::journal::writer::WriteStats;
use crate::protocol::Priority;
use crate::protocol::reply::{Farewell, Nak};

/// What is counted since the start and belongs neither to a connection nor to the queue.
pub struct Counters {
    /// Messages that were processed and acknowledged, with the time from admission to that in nanoseconds, by
    /// priority.
    pub(super) latencies: [Histogram; Priority::COUNT],
    /// Messages that the consumer is done with, whatever came of them.
    pub handled: u64,
    /// Messages that were refused, by reason.
    pub refused: [u64; Nak::COUNT],
    /// Commands that were refused.
    pub commands_refused: u64,
    /// Messages that were admitted as less urgent than their sender wanted.
    pub lowered: u64,
    /// Connections that the server closed, by what it told them.
    pub(super) farewells: [u64; Farewell::COUNT],
    /// Tokens that were shown and are nobody's.
    pub wrong_tokens: u64,
    /// Lines that had begun and not ended when their connection broke.
    pub lines_cut_off: u64,
    /// MSG lines put in outboxes.
    pub msgs_sent: u64,
    /// MSG lines lost because their reader was too slow.
    pub msgs_lost: u64,
    /// Which journal it is, what it has done, and whether it works, where there is one.
    pub journal: Option<(Identity, WriteStats, bool)>,
    /// How long the journal's syncs took, in nanoseconds.
    pub(super) sync_times: Histogram,
    /// Bytes of the journal that were found damaged when it was read; counted again each time.
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
            journal: None,
            sync_times: Histogram::new(),
            journal_damage_bytes: 0,
        }
    }

    /// One more connection is told that and closed.
    pub fn said_farewell(&mut self, why: Farewell) {
        self.farewells[why.index()] += 1;
    }

    /// The journal was synced once more, which took that long, with all that was written for it.
    pub fn synced(&mut self, took_ns: u64) {
        self.sync_times.record(took_ns);
    }

    /// That many messages of a priority, one at least, are acknowledged, that long after they were admitted.
    pub fn processed(&mut self, messages: usize, priority: Priority, latency_ns: u64) {
        self.latencies[priority.index()].record_many(latency_ns, messages as u64);
    }
}
