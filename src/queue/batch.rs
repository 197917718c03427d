//! A batch: the messages that the consumer picks at once.

use super::chain::Run;
use super::waiting::Picked;
use crate::limits::BATCH;
use heapless::Vec;

/// At most [`BATCH`] messages, in the order in which the consumer processes them. An urgent message waits for at most
/// one batch of less urgent ones.
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

    /// How many more messages fit.
    pub fn room(&self) -> usize {
        BATCH - self.messages
    }

    /// Appends a run. There must be [room](Self::room) for it.
    pub fn push(&mut self, run: Picked<R>) {
        self.messages += run.item.len();
        let pushed = self.runs.push(run);
        debug_assert!(pushed.is_ok() && self.messages <= BATCH, "a batch has no more runs than messages");
    }

    /// The runs of the batch, each with the index of its first message.
    pub fn runs(&self) -> impl Iterator<Item = (usize, &Picked<R>)> {
        let indices = Indices(0);
        self.runs.iter().scan(indices, |indices, run| Some((indices.take(run.item.len()), run)))
    }

    /// Takes the runs out, each with the index of its first message.
    pub fn drain(&mut self) -> impl Iterator<Item = (usize, Picked<R>)> {
        self.messages = 0;
        let indices = Indices(0);
        self.runs.drain(..).scan(indices, |indices, run| Some((indices.take(run.item.len()), run)))
    }
}

/// Computes the index of each run's first message.
struct Indices(usize);

impl Indices {
    fn take(&mut self, messages: usize) -> usize {
        let first = self.0;
        self.0 += messages;
        first
    }
}
