//! Chains: slots in a row, each of which owns the next. They need no memory of their own, and move as one.
//!
//! A client that sends many lines at once has them received, admitted, picked and acknowledged together: as one [`Run`],
//! a chain whose messages are of one priority and came in lines with numbers in a row. Nothing can come between them, for
//! they are admitted under one lock with stamps in a row. So the queue holds them as one entry, the consumer reads
//! the first of them only, and what the order costs is paid once a run, not once a message.

use super::{Priority, Slot};
use crate::limits::BATCH;
use core::iter;
use core::ops::Range;
use heapless::VecView;

/// What the queue holds in one entry: one message, or several in a row that are picked together.
#[expect(clippy::len_without_is_empty, reason = "a run is never empty")]
pub trait Run: Sized {
    /// How many messages: one at least, [`BATCH`] at most.
    fn len(&self) -> usize;
}

/// One slot or several. It must not be dropped, for its slots would be lost.
#[must_use = "its slots have to come home"]
pub struct Chain {
    first: &'static mut Slot,
}

impl Chain {
    /// A chain of one slot.
    pub fn of(slot: &'static mut Slot) -> Self {
        debug_assert!(slot.next.is_none() && slot.followers == 0);
        Self { first: slot }
    }

    /// The chain with one more slot at its front.
    pub fn prepend(self, slot: &'static mut Slot) -> Self {
        slot.followers = self.first.followers + 1;
        slot.next = Some(self);
        Self { first: slot }
    }

    /// The first slot, and the others, if there are any.
    pub fn take_first(self) -> (&'static mut Slot, Option<Self>) {
        let rest = self.first.next.take();
        self.first.followers = 0;
        (self.first, rest)
    }

    /// Links `slots`, filled by one client in this order, to runs, and appends them to `runs`, the *last* one first.
    pub fn link(slots: &mut VecView<&'static mut Slot>, runs: &mut VecView<Self>) {
        while let Some(slot) = slots.pop() {
            let behind = match runs.last() {
                Some(run) if run.follows(slot) => runs.pop(),
                _ => None,
            };
            let run = match behind {
                Some(run) => run.prepend(slot),
                None => Self::of(slot),
            };
            // Runs are no more than their slots.
            let _ = runs.push(run);
        }
    }

    /// Whether the message in `slot` is the one before it, and a batch has room for one more.
    fn follows(&self, slot: &Slot) -> bool {
        self.first.line() == slot.line() + 1 && self.priority() == slot.priority() && self.len() < BATCH
    }

    /// Whose messages a run has: the number of the client's seat.
    pub fn client(&self) -> usize {
        self.first.client()
    }

    /// How urgent a run is.
    pub fn priority(&self) -> Priority {
        self.first.priority()
    }

    /// The numbers of the lines that a run came in.
    pub fn lines(&self) -> Range<u64> {
        self.first.line()..self.first.line() + self.len() as u64
    }

    /// The slots, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Slot> {
        iter::successors(Some(&*self.first), |slot| slot.next.as_ref().map(|chain| &*chain.first))
    }
}

impl Run for Chain {
    fn len(&self) -> usize {
        usize::from(self.first.followers) + 1
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use heapless::Vec;

    /// Slots of one client with lines of these numbers and priorities.
    fn filled(lines: &[(u64, u8)]) -> Vec<&'static mut Slot, 8> {
        let slot = |&(line, priority): &(u64, u8)| {
            let slot = Box::leak(Box::new(Slot::EMPTY));
            slot.fill(3, line, Priority::new(priority).unwrap(), b"text");
            slot
        };
        lines.iter().map(slot).collect()
    }

    fn link(lines: &[(u64, u8)]) -> Vec<Chain, 8> {
        let mut runs = Vec::new();
        Chain::link(&mut filled(lines), &mut runs);
        runs.reverse();
        runs
    }

    fn run_of_eight() -> Chain {
        let lines: [(u64, u8); 8] = core::array::from_fn(|index| (index as u64 + 1, 5));
        let [run] = link(&lines).into_array().unwrap_or_else(|_| panic!("it is one run"));
        run
    }

    fn lines(run: &Chain) -> Range<u64> {
        assert!(run.iter().map(Slot::line).eq(run.lines()), "what it says of its lines is what it has");
        run.lines()
    }

    #[test]
    fn lines_in_a_row_of_one_priority_are_a_run() {
        let runs = link(&[(1, 4), (2, 4), (3, 4), (4, 9), (5, 4), (7, 4), (8, 4)]);
        let told = runs.iter().map(|run| (lines(run), run.priority().number()));
        assert!(told.eq([(1..4, 4), (4..5, 9), (5..6, 4), (7..9, 4)]));
        assert!(link(&[]).is_empty());
    }

    #[test]
    fn a_chain_is_taken_apart_slot_by_slot() {
        let (mut rest, mut taken) = (Some(run_of_eight()), std::vec::Vec::new());
        while let Some(chain) = rest {
            let (slot, others) = chain.take_first();
            assert!(slot.next.is_none());
            taken.push(slot.line());
            rest = others;
        }
        assert_eq!(taken, [1, 2, 3, 4, 5, 6, 7, 8]);
    }
}
