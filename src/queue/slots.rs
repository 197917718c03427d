//! A collection of slots of one client: the free slots in its outbox, or the credits of its commands.

use super::chain::{Chain, Run};
use super::slot::Slot;
use crate::limits::IN_FLIGHT;
use heapless::Vec;

/// At most [`IN_FLIGHT`] slots, in the chains in which they were put in. An empty collection is all zeroes, so that
/// the static ones take no space in the binary.
#[derive(Default)]
pub struct Slots {
    chains: Vec<Chain, IN_FLIGHT>,
    count: usize,
}

impl Slots {
    /// No slots.
    pub const fn new() -> Self {
        Self { chains: Vec::new(), count: 0 }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether these are all that a client has.
    pub fn is_full(&self) -> bool {
        self.count == IN_FLIGHT
    }

    /// Adds the slots of a chain.
    pub fn put(&mut self, chain: Chain) {
        self.count += chain.len();
        // There is room: a client has at most `IN_FLIGHT` slots, and so at most as many chains.
        let _ = self.chains.push(chain);
    }

    /// Takes one slot.
    pub fn pop(&mut self) -> Option<&'static mut Slot> {
        let (slot, rest) = self.chains.pop()?.pop();
        self.count -= 1;
        if let Some(rest) = rest {
            // There is room: the chain was just taken out.
            let _ = self.chains.push(rest);
        }
        Some(slot)
    }

    /// Moves at most `count` slots from another collection here: whole chains, and then single slots of a longer
    /// chain.
    pub fn take(&mut self, from: &mut Self, count: usize) {
        let mut left = count;
        while left > 0
            && let Some(chain) = from.pop_chain(left)
        {
            left -= chain.len();
            self.put(chain);
        }
    }

    /// Takes a chain of at most `len_max` slots.
    fn pop_chain(&mut self, len_max: usize) -> Option<Chain> {
        if self.chains.last()?.len() > len_max {
            return self.pop().map(Chain::of);
        }
        let chain = self.chains.pop()?;
        self.count -= chain.len();
        Some(chain)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn chain(len: usize) -> Chain {
        let slot = || Box::leak(Box::new(Slot::EMPTY));
        (1..len).fold(Chain::of(slot()), |chain, _| chain.push(slot()))
    }

    fn slots(lens: &[usize]) -> Slots {
        let mut slots = Slots::new();
        lens.iter().for_each(|len| slots.put(chain(*len)));
        slots
    }

    fn pop_all(slots: &mut Slots) -> usize {
        let popped = core::iter::from_fn(|| slots.pop()).count();
        assert!(slots.is_empty() && slots.chains.is_empty());
        popped
    }

    #[test]
    fn every_slot_comes_out_again() {
        let mut slots = slots(&[1, 5, 1, 3]);
        assert_eq!(slots.len(), 10);
        assert_eq!(pop_all(&mut slots), 10);
    }

    #[test]
    fn take_moves_any_number_and_loses_none() {
        for count in 0..12 {
            let (mut from, mut to) = (slots(&[2, 4, 1, 3]), slots(&[2]));
            to.take(&mut from, count);
            let moved = count.min(10);
            assert_eq!((from.len(), to.len()), (10 - moved, 2 + moved));
            assert_eq!((pop_all(&mut from), pop_all(&mut to)), (10 - moved, 2 + moved));
        }
    }

    #[test]
    fn collection_is_full_with_all_slots_of_a_client() {
        let mut slots = slots(&[1; IN_FLIGHT - 1]);
        assert!(!slots.is_full());
        slots.put(chain(1));
        assert!(slots.is_full());
    }
}
