//! Chains: linked lists of slots. Each slot owns the next, so a chain needs no memory of its own and moves as one
//! value.
//!
//! If a client sends many lines at once, the server receives, admits, picks and acknowledges them together, as one
//! [`Run`]. A run is a chain whose messages have the same priority, all lowered or none, and come from lines with
//! consecutive numbers; the last message is at the head. No other message can come between them, because they are
//! admitted under one lock with consecutive stamps. So the queue holds a run as one entry, the consumer reads only one
//! of its slots, and the cost of ordering is paid once for each run, not for each message.

use super::slot::Slot;
use crate::conn_id::ConnId;
use crate::limits::BATCH;
use crate::protocol::Priority;
use core::iter;
use core::ops::Range;
use heapless::{Vec, VecView};

/// The content of one entry of the queue: one message, or several consecutive ones that are picked together.
#[expect(clippy::len_without_is_empty, reason = "a run is never empty")]
pub trait Run: Sized {
    /// How many messages: at least one, at most [`BATCH`].
    fn len(&self) -> usize;
}

/// One slot or several. It must not be dropped: its slots would be lost.
#[must_use = "a chain that is dropped loses its slots: release them to the outbox"]
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
        slot.next = Some(self.head);
        Self { head: slot }
    }

    /// Splits the chain into its head and the rest, if there is one.
    pub fn pop(self) -> (&'static mut Slot, Option<Self>) {
        let rest = self.head.next.take().map(|head| Self { head });
        self.head.followers = 0;
        (self.head, rest)
    }

    /// Appends the message in `slot` to `runs`: to the last run if the message continues it, or else as a new run.
    ///
    /// # Panics
    /// In debug builds, if there is no room for another run.
    pub fn append(slot: &'static mut Slot, runs: &mut VecView<Self>) {
        let run = match runs.last() {
            Some(run) if run.is_followed_by(slot) => runs.pop(),
            _ => None,
        };
        let appended = runs.push(match run {
            Some(run) => {
                debug_assert_eq!(
                    run.nick(),
                    slot.nick(),
                    "a change of the nick takes a line, which ends the run"
                );
                run.push(slot)
            }
            None => Self::of(slot),
        });
        debug_assert!(appended.is_ok());
    }

    /// Whether the message in `slot` continues this run, and the longer run still fits a batch.
    fn is_followed_by(&self, slot: &Slot) -> bool {
        self.head.line() + 1 == slot.line()
            && (self.priority(), self.is_lowered()) == (slot.priority(), slot.is_lowered())
            && self.len() < BATCH
    }

    /// The client that sent the run.
    pub fn client(&self) -> ConnId {
        self.head.client()
    }

    /// The nick that the sender had when it sent the run, if it had one. The nick is the same in the whole run, because
    /// a change of the nick takes a line, which ends the run.
    pub fn nick(&self) -> Option<&str> {
        self.head.nick()
    }

    /// The priority of the run.
    pub fn priority(&self) -> Priority {
        self.head.priority()
    }

    /// Whether the run has a lower priority than its sender wanted.
    pub fn is_lowered(&self) -> bool {
        self.head.is_lowered()
    }

    /// The numbers of the lines of the run.
    pub fn lines(&self) -> Range<u64> {
        let end = self.head.line() + 1;
        end - self.len() as u64..end
    }

    /// The messages of the run, in order. It reads every slot of the run.
    pub fn messages(&self) -> Vec<&Slot, BATCH> {
        let last_first = iter::successors(Some(&*self.head), |slot| slot.next.as_deref());
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

    /// The runs that lines with these numbers and priorities form.
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
            "the messages have these lines"
        );
        run.lines()
    }

    #[test]
    fn consecutive_lines_of_one_priority_are_a_run() {
        let runs = runs_of(&[(1, 4), (2, 4), (3, 4), (4, 9), (5, 4), (7, 4), (8, 4)]);
        let found = runs.iter().map(|run| (lines(run), run.priority().number()));
        assert!(found.eq([(1..4, 4), (4..5, 9), (5..6, 4), (7..9, 4)]));
    }

    #[test]
    fn lowered_messages_do_not_join_a_run_of_others() {
        let mut runs: Vec<Chain, 100> = Vec::new();
        for (line, wanted) in [(1, 4), (2, 9), (3, 7), (4, 4), (5, 3)] {
            let slot = Box::leak(Box::new(Slot::EMPTY));
            slot.fill(ConnId::new(3), line, Priority::new(wanted).unwrap(), b"text");
            slot.lower_to(Priority::NORMAL);
            Chain::append(slot, &mut runs);
        }
        let found = runs.iter().map(|run| (lines(run), run.priority().number(), run.is_lowered()));
        assert!(found.eq([(1..2, 4, false), (2..4, 4, true), (4..5, 4, false), (5..6, 3, false)]));
    }

    #[test]
    fn slot_keeps_the_nick_of_its_message_only() {
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
    fn refilled_slot_is_not_lowered() {
        let mut slot = Slot::EMPTY;
        slot.fill(ConnId::new(0), 1, Priority::URGENT, b"");
        slot.lower_to(Priority::HIGH);
        assert_eq!((slot.priority(), slot.is_lowered()), (Priority::HIGH, true));
        slot.fill(ConnId::new(0), 2, Priority::HIGH, b"");
        slot.lower_to(Priority::HIGH);
        assert_eq!((slot.priority(), slot.is_lowered()), (Priority::HIGH, false));
    }

    #[test]
    fn run_fits_a_batch() {
        let in_a_row: std::vec::Vec<_> = (1..=BATCH as u64 + 1).map(|line| (line, 4)).collect();
        let runs = runs_of(&in_a_row);
        assert!(runs.iter().map(Run::len).eq([BATCH, 1]));
    }

    #[test]
    fn chain_splits_slot_by_slot() {
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
