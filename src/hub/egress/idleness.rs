//! Since when a client has sent nothing, and whether it is to give up its place for a new client. Knows no bytes and no locks.

use core::mem;

/// How idle one client is. All zeroes when new.
pub struct Idleness {
    /// When something was last received, in nanoseconds.
    heard_ns: u64,
    /// How many slots the worker held when it last found nothing to do for the client; none: it has something to do.
    at_worker: Option<usize>,
    /// The client is to give up its place, unless it sends something before its worker acts on this.
    is_eviction_requested: bool,
}

impl Idleness {
    /// Of a client that connects at `now_ns`.
    pub const fn new(now_ns: u64) -> Self {
        Self { heard_ns: now_ns, at_worker: None, is_eviction_requested: false }
    }

    /// Notes that something was received. True: the eviction that was requested is off, and the client stays.
    #[must_use = "a client that waits for the place has to know"]
    pub fn heard(&mut self, now_ns: u64) -> bool {
        self.heard_ns = now_ns;
        mem::take(&mut self.is_eviction_requested)
    }

    /// When something was last received, in nanoseconds.
    pub fn heard_ns(&self) -> u64 {
        self.heard_ns
    }

    /// Notes that the worker has nothing to do for the client and holds that many slots; none: it has something to do.
    pub fn set_at_worker(&mut self, slots: Option<usize>) {
        self.at_worker = slots;
    }

    /// Since when a client with `outstanding` slots has been idle, in nanoseconds. None: the worker has something to do for it, or a
    /// message of it is not answered yet: its slot is neither free nor with the worker.
    pub fn since_ns(&self, outstanding: usize) -> Option<u64> {
        (self.at_worker == Some(outstanding)).then_some(self.heard_ns)
    }

    /// Requests the eviction; false: it was requested before.
    pub(super) fn request_eviction(&mut self) -> bool {
        !mem::replace(&mut self.is_eviction_requested, true)
    }

    /// Whether the client is to give up its place.
    pub fn is_eviction_requested(&self) -> bool {
        self.is_eviction_requested
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_idle_while_all_its_slots_are_with_the_worker_or_free() {
        let mut idleness = Idleness::new(5);
        assert_eq!(idleness.since_ns(0), None, "the worker has something to do");
        idleness.set_at_worker(Some(2));
        assert_eq!(idleness.since_ns(2), Some(5));
        assert_eq!(idleness.since_ns(3), None, "a message is not answered yet");
    }

    #[test]
    fn what_a_client_sends_calls_its_eviction_off() {
        let mut idleness = Idleness::new(5);
        assert!(!idleness.heard(6));
        assert!(idleness.request_eviction() && !idleness.request_eviction());
        assert!(idleness.is_eviction_requested());
        assert!(idleness.heard(7) && !idleness.is_eviction_requested());
        assert_eq!(idleness.heard_ns(), 7);
    }
}
