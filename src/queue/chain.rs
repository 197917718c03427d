//! Chains: slots in a row, each of which owns the next. They need no memory of their own, and move as one.
//!
//! A client that sends many lines at once has them received, admitted, picked and acknowledged together: as one [`Run`],
//! a chain whose messages are of one priority, lowered or not, and came in lines with numbers in a row, the last at its head. Nothing can come between them, for
//! they are admitted under one lock with stamps in a row. So the queue holds them as one entry, the consumer reads
//! one slot of it only, and what the order costs is paid once a run, not once a message.

use super::Slot;
use crate::conn_id::ConnId;
use crate::limits::BATCH;
use crate::protocol::Priority;
use core::iter;
use core::ops::Range;
use heapless::{Vec, VecView};

/// What the queue holds in one entry: one message, or several in a row that are picked together.
#[expect(clippy::len_without_is_empty, reason = "a run is never empty")]
pub trait Run: Sized {
    /// How many messages: one at least, [`BATCH`] at most.
    fn len(&self) -> usize;
}

/// One slot or several. It must not be dropped, for its slots would be lost.
#[must_use = "its slots have to come home"]
pub struct Chain {
    head: &'static mut Slot,
}

impl Chain {
    /// A chain of one slot.
    pub fn of(slot: &'static mut Slot) -> Self {
        debug_assert!(slot.next.is_none() && slot.followers == 0);
        Self { head: slot }
    }

    /// The chain with one more slot at its head.
    pub fn push(self, slot: &'static mut Slot) -> Self {
        slot.followers = self.head.followers + 1;
        slot.next = Some(self);
        Self { head: slot }
    }

    /// The slot at its head, and the others, if there are any.
    pub fn pop(self) -> (&'static mut Slot, Option<Self>) {
        let rest = self.head.next.take();
        self.head.followers = 0;
        (self.head, rest)
    }

    /// Makes the message in `slot` the last of `runs`: of the last run if it goes on with it, or else of one of its own.
    ///
    /// # Panics
    /// In debug builds, if there is no room for a run more.
    pub fn append(slot: &'static mut Slot, runs: &mut VecView<Self>) {
        let run = match runs.last() {
            Some(run) if run.is_followed_by(slot) => runs.pop(),
            _ => None,
        };
        let appended = runs.push(match run {
            Some(run) => {
                debug_assert_eq!(run.nick(), slot.nick(), "to be called something else takes a line");
                run.push(slot)
            }
            None => Self::of(slot),
        });
        debug_assert!(appended.is_ok());
    }

    /// Whether the message in `slot` comes next, and a batch has room for one more.
    fn is_followed_by(&self, slot: &Slot) -> bool {
        self.head.line() + 1 == slot.line()
            && (self.priority(), self.is_lowered()) == (slot.priority(), slot.is_lowered())
            && self.len() < BATCH
    }

    /// Whose messages a run has.
    pub fn client(&self) -> ConnId {
        self.head.client()
    }

    /// What their sender was called when it sent them; none: it had no nick. It has one name in all of a run: to change it takes a line
    /// between.
    pub fn nick(&self) -> Option<&str> {
        self.head.nick()
    }

    /// How urgent a run is.
    pub fn priority(&self) -> Priority {
        self.head.priority()
    }

    /// Whether a run is less urgent than its sender wanted.
    pub fn is_lowered(&self) -> bool {
        self.head.is_lowered()
    }

    /// The numbers of the lines that a run came in.
    pub fn lines(&self) -> Range<u64> {
        let end = self.head.line() + 1;
        end - self.len() as u64..end
    }

    /// The messages of a run, in their order. Reads all of its slots.
    pub fn messages(&self) -> Vec<&Slot, BATCH> {
        let last_first =
            iter::successors(Some(&*self.head), |slot| slot.next.as_ref().map(|rest| &*rest.head));
        let mut messages: Vec<&Slot, BATCH> = last_first.collect();
        messages.reverse();
        messages
    }
}

impl Run for Chain {
    fn len(&self) -> usize {
        usize::from(self.head.followers) + 1
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::limits::TEXT_BYTES;

    /// Appends lines of these numbers and priorities.
    fn runs_of(lines: &[(u64, u8)]) -> Vec<Chain, 100> {
        let mut runs = Vec::new();
        for &(line, priority) in lines {
            let slot = Box::leak(Box::new(Slot::EMPTY));
            slot.fill(ConnId::new(3), line, Priority::new(priority).unwrap(), b"text");
            Chain::append(slot, &mut runs);
        }
        runs
    }

    fn lines(run: &Chain) -> Range<u64> {
        assert!(
            run.messages().iter().map(|slot| slot.line()).eq(run.lines()),
            "it has what it says that it has"
        );
        run.lines()
    }

    #[test]
    fn lines_in_a_row_of_one_priority_are_a_run() {
        let runs = runs_of(&[(1, 4), (2, 4), (3, 4), (4, 9), (5, 4), (7, 4), (8, 4)]);
        let told = runs.iter().map(|run| (lines(run), run.priority().number()));
        assert!(told.eq([(1..4, 4), (4..5, 9), (5..6, 4), (7..9, 4)]));
    }

    #[test]
    fn what_was_lowered_is_no_run_with_what_was_not() {
        let mut runs: Vec<Chain, 100> = Vec::new();
        for (line, wanted) in [(1, 4), (2, 9), (3, 7), (4, 4), (5, 3)] {
            let slot = Box::leak(Box::new(Slot::EMPTY));
            slot.fill(ConnId::new(3), line, Priority::new(wanted).unwrap(), b"text");
            slot.lower_to(Priority::NORMAL);
            Chain::append(slot, &mut runs);
        }
        let told = runs.iter().map(|run| (lines(run), run.priority().number(), run.is_lowered()));
        assert!(told.eq([(1..2, 4, false), (2..4, 4, true), (4..5, 4, false), (5..6, 3, false)]));
    }

    #[test]
    fn a_message_keeps_the_name_of_its_sender_and_the_next_in_its_slot_has_none_of_it() {
        let mut slot = Slot::EMPTY;
        for nick in ["kitchen", "0123456789abcdef", "c", ""] {
            slot.fill(ConnId::new(0), 1, Priority::NORMAL, &[b'x'; TEXT_BYTES]);
            assert_eq!(slot.nick(), None);
            slot.sign(nick);
            assert_eq!(slot.nick(), Some(nick).filter(|nick| !nick.is_empty()));
            assert_eq!(slot.text(), [b'x'; TEXT_BYTES]);
        }
    }

    #[test]
    fn a_slot_that_is_filled_again_is_not_lowered() {
        let mut slot = Slot::EMPTY;
        slot.fill(ConnId::new(0), 1, Priority::URGENT, b"");
        slot.lower_to(Priority::HIGH);
        assert_eq!((slot.priority(), slot.is_lowered()), (Priority::HIGH, true));
        slot.fill(ConnId::new(0), 2, Priority::HIGH, b"");
        slot.lower_to(Priority::HIGH);
        assert_eq!((slot.priority(), slot.is_lowered()), (Priority::HIGH, false));
    }

    #[test]
    fn a_run_fits_a_batch() {
        let in_a_row: std::vec::Vec<_> = (1..=BATCH as u64 + 1).map(|line| (line, 4)).collect();
        let runs = runs_of(&in_a_row);
        assert!(runs.iter().map(Run::len).eq([BATCH, 1]));
    }

    #[test]
    fn a_chain_is_taken_apart_slot_by_slot() {
        let (mut rest, mut taken) = (runs_of(&[(1, 5), (2, 5), (3, 5)]).pop(), std::vec::Vec::new());
        while let Some(chain) = rest {
            let (slot, others) = chain.pop();
            assert!(slot.next.is_none() && slot.followers == 0);
            taken.push(slot.line());
            rest = others;
        }
        assert_eq!(taken, [3, 2, 1]);
    }
}
