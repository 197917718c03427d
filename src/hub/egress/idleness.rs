//! How long a client has sent nothing, and whether its eviction is requested. Knows no bytes and no locks.

use core::mem;

/// The idleness of one client. A new one is all zeroes.
pub struct Idleness {
    /// When something was last received, in nanoseconds.
    last_received_ns: u64,
    /// How many slots the worker held when it last had nothing to do for the client, or `None` if it has something to
    /// do.
    at_worker: Option<usize>,
    /// The client has to give up its place, unless it sends something before its worker acts on the request.
    is_eviction_requested: bool,
}

impl Idleness {
    /// The idleness of a client that connects at `now_ns`, in nanoseconds.
    pub const fn new(now_ns: u64) -> Self {
        Self { last_received_ns: now_ns, at_worker: None, is_eviction_requested: false }
    }

    /// Records that something was received. Returns true if that cancels a requested eviction.
    #[must_use = "if this returns true, tell the acceptor: a pending connection waits for the place"]
    pub fn note_received(&mut self, now_ns: u64) -> bool {
        self.last_received_ns = now_ns;
        mem::take(&mut self.is_eviction_requested)
    }

    /// When something was last received, in nanoseconds.
    pub fn last_received_ns(&self) -> u64 {
        self.last_received_ns
    }

    /// Records that the worker has nothing to do for the client and holds that many slots, or with `None`, that it has
    /// something to do.
    pub fn set_at_worker(&mut self, slots: Option<usize>) {
        self.at_worker = slots;
    }

    /// Since when a client with `outstanding` slots has been idle, in nanoseconds. Returns `None` if the worker has
    /// something to do for it, or if one of its messages has no reply yet, so that the message's slot is neither free
    /// nor with the worker.
    pub fn since_ns(&self, outstanding: usize) -> Option<u64> {
        (self.at_worker == Some(outstanding)).then_some(self.last_received_ns)
    }

    /// Requests the eviction. Returns false if it was already requested.
    pub(super) fn request_eviction(&mut self) -> bool {
        !mem::replace(&mut self.is_eviction_requested, true)
    }

    /// Whether the client has to give up its place.
    pub fn is_eviction_requested(&self) -> bool {
        self.is_eviction_requested
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn client_is_idle_while_all_its_slots_are_with_the_worker_or_free() {
        let mut idleness = Idleness::new(5);
        assert_eq!(idleness.since_ns(0), None, "the worker has something to do");
        idleness.set_at_worker(Some(2));
        assert_eq!(idleness.since_ns(2), Some(5));
        assert_eq!(idleness.since_ns(3), None, "a message has no reply yet");
    }

    #[test]
    fn received_bytes_cancel_the_eviction() {
        let mut idleness = Idleness::new(5);
        assert!(!idleness.note_received(6));
        assert!(idleness.request_eviction() && !idleness.request_eviction());
        assert!(idleness.is_eviction_requested());
        assert!(idleness.note_received(7) && !idleness.is_eviction_requested());
        assert_eq!(idleness.last_received_ns(), 7);
    }
}
