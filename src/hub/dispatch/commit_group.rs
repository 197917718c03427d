//! A commit group: the batches that go through the sinks together and are then delivered, and the lines of one of
//! them.
//!
//! There are two groups: while one is delivered, the next one can go to the disk.

use crate::hub::shared::Hub;
use crate::limits::{BATCH, BATCH_BYTES_MAX, GROUPS, JOURNAL_BATCHES_MAX};
use crate::protocol::Priority;
use crate::protocol::escape::Escaped;
use crate::protocol::reply::{self, Nak};
use crate::queue::{Batch, Chain, Run};
use core::ops::Range;
use heapless::Vec;
use static_cell::ConstStaticCell;

static ALL: [ConstStaticCell<CommitGroup>; GROUPS] =
    [const { ConstStaticCell::new(CommitGroup::new()) }; GROUPS];

/// The `MSG` lines of a batch.
type Lines = Vec<u8, BATCH_BYTES_MAX>;

/// Where the line of a message lies among the lines of its batch, in bytes.
pub type LineSpan = Range<usize>;

/// A batch that is being processed. Its messages have consecutive IDs from `first_id` on.
pub struct NumberedBatch {
    /// The runs that the consumer picked.
    pub batch: Batch<Chain>,
    /// The ID of the first message.
    pub first_id: u64,
    /// How many messages, from the first on, have reached every sink.
    pub accepted: usize,
    /// Why the other messages are refused. Messages that a handler has done get `handler-unrecorded` instead.
    pub reason: Nak,
}

impl NumberedBatch {
    /// All zeroes, so that the groups take no space in the binary. The reason stands there until there is one.
    const NONE: Self = Self { batch: Batch::new(), first_id: 0, accepted: 0, reason: Nak::TooLong };

    /// How many messages of a run are accepted, if its first message has that index in the batch.
    pub fn accepted_in(&self, run: &Chain, index: usize) -> usize {
        accepted_in(run, index, self.accepted)
    }
}

/// How many messages of a run are accepted, if its first message has that index in a batch with `accepted` accepted
/// messages.
pub fn accepted_in(run: &Chain, index: usize, accepted: usize) -> usize {
    accepted.saturating_sub(index).min(run.len())
}

/// Batches that go through the sinks together: the first `len` of `batches`.
pub struct CommitGroup {
    batches: [NumberedBatch; JOURNAL_BATCHES_MAX],
    len: usize,
    lines: Lines,
    /// The spans of the lines of the batch `formatted_batch` in `lines`.
    spans: Vec<LineSpan, BATCH>,
    formatted_batch: Option<usize>,
}

impl CommitGroup {
    const fn new() -> Self {
        Self {
            batches: [const { NumberedBatch::NONE }; JOURNAL_BATCHES_MAX],
            len: 0,
            lines: Lines::new(),
            spans: Vec::new(),
            formatted_batch: None,
        }
    }

    /// Both groups.
    ///
    /// # Panics
    /// When called twice: there are no more groups.
    pub fn all() -> [&'static mut Self; GROUPS] {
        ALL.each_ref().map(|group| group.take())
    }

    /// Removes all batches. They must have been delivered.
    pub fn clear(&mut self) {
        self.len = 0;
        self.formatted_batch = None;
    }

    /// The batches of the group.
    pub fn batches(&mut self) -> &mut [NumberedBatch] {
        &mut self.batches[..self.len]
    }

    /// Adds a batch that `fill` fills. Returns false if `fill` had nothing to put in. The group must have room.
    pub fn add(&mut self, fill: impl FnOnce(&mut Batch<Chain>) -> bool) -> bool {
        let is_filled = fill(&mut self.batches[self.len].batch);
        self.len += usize::from(is_filled);
        is_filled
    }

    /// Whether there is room for another batch.
    pub fn has_room(&self) -> bool {
        self.len < JOURNAL_BATCHES_MAX
    }

    /// Whether the last batch has an urgent message.
    pub fn is_urgent(&self) -> bool {
        let last = self.batches[..self.len].last();
        last.is_some_and(|numbered| {
            numbered.batch.runs().any(|(_, picked)| picked.priority >= Priority::HIGH)
        })
    }

    /// Whether the group has messages of several clients.
    pub fn has_several_clients(&self) -> bool {
        let mut runs = self.batches[..self.len].iter().flat_map(|numbered| numbered.batch.runs());
        let first = runs.next().map(|(_, picked)| picked.item.client());
        runs.any(|(_, picked)| Some(picked.item.client()) != first)
    }

    /// A batch, its lines, and the span of each message's line.
    pub fn formatted(&mut self, index: usize, hub: &Hub) -> (&mut NumberedBatch, &[u8], &[LineSpan]) {
        self.format(index, hub);
        (&mut self.batches[index], &self.lines, &self.spans)
    }

    /// Whether the log takes the lines, even if no client does.
    pub fn is_logged() -> bool {
        log::log_enabled!(log::Level::Trace)
    }

    /// Formats the lines of a batch, unless `lines` holds them already.
    fn format(&mut self, index: usize, hub: &Hub) {
        if self.formatted_batch.replace(index) == Some(index) {
            return;
        }
        self.lines.clear();
        self.spans.clear();
        let numbered = &self.batches[index];
        for (index, picked) in numbered.batch.runs() {
            let (from, priority) = (hub.sender(&picked.item), picked.priority);
            for (id, slot) in (numbered.first_id + index as u64..).zip(picked.item.messages()) {
                log::trace!("message {id} {priority} {from} {}", Escaped(slot.text()));
                // There is room: `lines` holds a batch of the longest lines.
                let span = reply::msg(&mut self.lines, id, priority, &from, slot.text()).unwrap_or_default();
                let _ = self.spans.push(span);
            }
        }
    }
}
