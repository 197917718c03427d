//! The slots of one client that are in one place: at home in its outbox, or in the purse of its conversation.

use super::{Chain, Run, Slot};
use crate::limits::IN_FLIGHT;
use heapless::Vec;

/// At most [`IN_FLIGHT`] slots, in the chains that they came in. All zeroes when empty, so that the static ones take no
/// room in the binary.
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

    /// Puts the slots of a chain in.
    pub fn put(&mut self, chain: Chain) {
        self.count += chain.len();
        // A client has no more slots than there is room for, and so no more chains.
        let _ = self.chains.push(chain);
    }

    /// Takes one slot.
    pub fn pop(&mut self) -> Option<&'static mut Slot> {
        let (slot, rest) = self.chains.pop()?.pop();
        self.count -= 1;
        if let Some(rest) = rest {
            // It was just taken out of there.
            let _ = self.chains.push(rest);
        }
        Some(slot)
    }

    /// Moves slots of another place here, at most `count`: whole chains, and what is left to move slot by slot.
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
    fn every_slot_that_was_put_in_comes_out() {
        let mut slots = slots(&[1, 5, 1, 3]);
        assert_eq!(slots.len(), 10);
        assert_eq!(pop_all(&mut slots), 10);
    }

    #[test]
    fn any_number_is_moved_and_none_is_lost() {
        for count in 0..12 {
            let (mut from, mut to) = (slots(&[2, 4, 1, 3]), slots(&[2]));
            to.take(&mut from, count);
            let moved = count.min(10);
            assert_eq!((from.len(), to.len()), (10 - moved, 2 + moved));
            assert_eq!((pop_all(&mut from), pop_all(&mut to)), (10 - moved, 2 + moved));
        }
    }

    #[test]
    fn it_is_full_with_all_slots_of_a_client() {
        let mut slots = slots(&[1; IN_FLIGHT - 1]);
        assert!(!slots.is_full());
        slots.put(chain(1));
        assert!(slots.is_full());
    }
}
