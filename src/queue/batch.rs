//! A batch: what the consumer picks at once.

use super::{Picked, Run};
use crate::limits::BATCH;
use heapless::Vec;

/// At most [`BATCH`] messages, in the order in which they are processed. An urgent message waits behind one
/// of them at most.
pub struct Batch<R> {
    runs: Vec<Picked<R>, BATCH>,
    messages: usize,
}

impl<R: Run> Default for Batch<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Run> Batch<R> {
    /// An empty batch.
    pub const fn new() -> Self {
        Self { runs: Vec::new(), messages: 0 }
    }

    /// How many messages are in it.
    pub fn messages(&self) -> usize {
        self.messages
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many messages more it takes.
    pub fn room(&self) -> usize {
        BATCH - self.messages
    }

    /// Puts a run in, for which there must be [room](Self::room).
    pub fn push(&mut self, run: Picked<R>) {
        self.messages += run.item.len();
        let pushed = self.runs.push(run);
        debug_assert!(pushed.is_ok() && self.messages <= BATCH, "runs are no more than messages");
    }

    /// Its runs, each with the rank of its first message in the batch.
    pub fn runs(&self) -> impl Iterator<Item = (usize, &Picked<R>)> {
        let ranks = Ranks(0);
        self.runs.iter().scan(ranks, |ranks, run| Some((ranks.take(run.item.len()), run)))
    }

    /// Takes its runs out, each with the rank of its first message.
    pub fn drain(&mut self) -> impl Iterator<Item = (usize, Picked<R>)> {
        self.messages = 0;
        let ranks = Ranks(0);
        self.runs.drain(..).scan(ranks, |ranks, run| Some((ranks.take(run.item.len()), run)))
    }
}

/// Counts messages as runs go by.
struct Ranks(usize);

impl Ranks {
    fn take(&mut self, messages: usize) -> usize {
        let first = self.0;
        self.0 += messages;
        first
    }
}
