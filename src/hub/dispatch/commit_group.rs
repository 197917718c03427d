//! What goes through the sinks together, and then to the clients: some batches, and the lines of one of them.
//!
//! There are two groups: while one is delivered, the next one can go to the disk.

use crate::hub::Hub;
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

/// Where the line of a message is among those of its batch.
pub type LineSpan = Range<usize>;

/// A batch that is being processed; its messages have the IDs from `first_id` on.
pub struct NumberedBatch {
    /// What was picked.
    pub batch: Batch<Chain>,
    /// The ID of its first message.
    pub first_id: u64,
    /// How many of its messages, from the first on, have reached every sink.
    pub accepted: usize,
    /// Why the others are refused.
    pub reason: Nak,
}

impl NumberedBatch {
    const NONE: Self = Self { batch: Batch::new(), first_id: 0, accepted: 0, reason: Nak::PrintFailed };

    /// How many messages are accepted of a run whose first one has that index in the batch.
    pub fn accepted_of(&self, run: &Chain, index: usize) -> usize {
        accepted_of(run, index, self.accepted)
    }
}

/// How many messages are accepted of a run whose first one has that index in a batch with `accepted` accepted messages.
pub fn accepted_of(run: &Chain, index: usize, accepted: usize) -> usize {
    accepted.saturating_sub(index).min(run.len())
}

/// Batches that go through the sinks together: the first [`CommitGroup::batches`] of `works`.
pub struct CommitGroup {
    works: [NumberedBatch; JOURNAL_BATCHES_MAX],
    batches: usize,
    lines: Lines,
    /// The lines of the batch in `formatted`.
    places: Vec<LineSpan, BATCH>,
    formatted: Option<usize>,
}

impl CommitGroup {
    const fn new() -> Self {
        Self {
            works: [const { NumberedBatch::NONE }; JOURNAL_BATCHES_MAX],
            batches: 0,
            lines: Lines::new(),
            places: Vec::new(),
            formatted: None,
        }
    }

    /// Both groups.
    ///
    /// # Panics
    /// When called twice: there are no others.
    pub fn all() -> [&'static mut Self; GROUPS] {
        ALL.each_ref().map(|group| group.take())
    }

    /// Empties it. Its former content must have been delivered.
    pub fn clear(&mut self) {
        self.batches = 0;
        self.formatted = None;
    }

    /// Its batches.
    pub fn works(&mut self) -> &mut [NumberedBatch] {
        &mut self.works[..self.batches]
    }

    /// Has `fill` put in one more batch; false: it did not. There must be room.
    pub fn add(&mut self, fill: impl FnOnce(&mut Batch<Chain>) -> bool) -> bool {
        let is_filled = fill(&mut self.works[self.batches].batch);
        self.batches += usize::from(is_filled);
        is_filled
    }

    /// Whether there is room for another batch.
    pub fn has_room(&self) -> bool {
        self.batches < JOURNAL_BATCHES_MAX
    }

    /// Whether its last batch has an urgent message.
    pub fn is_urgent(&self) -> bool {
        let last = self.works[..self.batches].last();
        last.is_some_and(|work| work.batch.runs().any(|(_, picked)| picked.priority >= Priority::HIGH))
    }

    /// Whether it has messages of several clients.
    pub fn is_of_several(&self) -> bool {
        let mut runs = self.works[..self.batches].iter().flat_map(|work| work.batch.runs());
        let first = runs.next().map(|(_, picked)| picked.item.client());
        runs.any(|(_, picked)| Some(picked.item.client()) != first)
    }

    /// A batch, its lines, and the span of each message's line.
    pub fn written(&mut self, index: usize, hub: &Hub) -> (&mut NumberedBatch, &[u8], &[LineSpan]) {
        self.write(index, hub);
        (&mut self.works[index], &self.lines, &self.places)
    }

    /// Whether the log wants the lines, if nothing else does.
    pub fn is_logged() -> bool {
        log::log_enabled!(log::Level::Trace)
    }

    /// Writes the lines of a batch, unless they are there.
    fn write(&mut self, index: usize, hub: &Hub) {
        if self.formatted.replace(index) == Some(index) {
            return;
        }
        self.lines.clear();
        self.places.clear();
        let work = &self.works[index];
        for (index, picked) in work.batch.runs() {
            let (from, priority) = (hub.sender(&picked.item), picked.priority);
            for (id, slot) in (work.first_id + index as u64..).zip(picked.item.messages()) {
                log::trace!("message {id} {priority} {from} {}", Escaped(slot.text()));
                // There is room for a batch of the longest lines.
                let place = reply::msg(&mut self.lines, id, priority, &from, slot.text()).unwrap_or_default();
                let _ = self.places.push(place);
            }
        }
    }
}
