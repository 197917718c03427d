//! The consumer's seat: at most one processes at a time.
//!
//! A worker that has just admitted something and finds the seat free sits down for one bounded turn: no thread has to be
//! woken for its message. Where a sink may hold up who sits there, the consumer has a thread of its own, so that no worker,
//! who has clients that wait, waits for the sink; with a disk that is quick enough, both sit there, whoever comes first.
//!
//! Nothing is stranded: who stands up looks at the queue *after* the seat is free, and comes back, once his own clients
//! have had their turn, if there is something. One who admits and then finds the seat taken can go: either its
//! message was there at that look, or the look came before it was admitted, and then the seat was free when it tried.
//! So nobody waits for the seat, which is held for as long as a sink takes; but at the end, when there is nothing else to do.
//!
//! This module knows neither queue nor consumer, only what is done with them; so it can be model-checked.

use crate::limits::SEAT_BATCHES_MAX;
use crate::sync::Mutex;

/// Where one sits who processes, with what he needs for it.
pub struct Seat<C>(Mutex<C>);

impl<C> Seat<C> {
    /// A free seat.
    pub fn new(consumer: C) -> Self {
        Self(Mutex::new(consumer))
    }

    /// The consumer, of a seat where nobody sits any more.
    pub fn into_inner(self) -> C {
        self.0.into_inner()
    }

    /// For one who has admitted something, or was called, or told to come back: sits down if the seat is free, for
    /// [`SEAT_BATCHES_MAX`] `turn`s or until one finds nothing. True: he must come back, for something `is_left` and
    /// perhaps nobody else sees to it.
    #[must_use = "who must come back and does not strands messages"]
    pub fn take_turn(&self, turn: impl Fn(&mut C) -> bool, is_left: impl Fn() -> bool) -> bool {
        let Some(mut consumer) = self.0.try_lock() else { return false };
        let _ = (0..SEAT_BATCHES_MAX).all(|_| turn(&mut consumer));
        drop(consumer);
        is_left()
    }

    /// For the last one: sits down once nobody else does.
    pub fn take_last_turn(&self, turn: impl FnOnce(&mut C)) {
        turn(&mut self.0.lock());
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use core::cell::Cell;

    #[test]
    fn a_turn_is_bounded_and_who_leaves_something_is_told_to_come_back() {
        let seat = Seat::new(());
        let turns = Cell::new(0);
        let turn = |(): &mut ()| {
            turns.set(turns.get() + 1);
            true
        };
        assert!(seat.take_turn(turn, || true));
        assert_eq!(turns.take(), SEAT_BATCHES_MAX);
        assert!(!seat.take_turn(turn, || false));
        let turn_in_vain = |(): &mut ()| !turn(&mut ());
        turns.set(0);
        assert!(!seat.take_turn(turn_in_vain, || false));
        assert_eq!(turns.get(), 1, "nothing was found");
    }

    #[test]
    fn who_finds_the_seat_taken_goes() {
        let seat = Seat::new(());
        let inner = |(): &mut ()| {
            assert!(!seat.take_turn(|()| unreachable!("two sit at once"), || true));
            false
        };
        assert!(!seat.take_turn(inner, || false));
    }
}
