//! The items in flight: sent, but not acknowledged. Knows no connection.

use super::class::Class;
use super::limits::RESERVED_FRACTION;
use std::collections::VecDeque;
use std::time::Instant;

/// How many messages may be in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    total: usize,
    /// How many of them are reserved for urgent messages.
    reserved: usize,
}

impl Depth {
    /// As many as both sides permit. If that is one, it is not reserved, or the rest would starve.
    pub fn new(in_flight: usize, receive_maximum: u16) -> Self {
        let total = in_flight.min(receive_maximum.into()).max(1);
        let reserved = if total > 1 { (total / RESERVED_FRACTION).max(1) } else { 0 };
        Self { total, reserved }
    }

    /// Whether a message of that class may be sent while these numbers of messages are in flight.
    pub fn admits(&self, class: Class, urgent: usize, rest: usize) -> bool {
        let has_slot = urgent + rest < self.total;
        has_slot && (class == Class::Urgent || rest < self.total - self.reserved)
    }
}

/// The messages of one class in flight, in order.
#[derive(Debug)]
pub struct Window<T> {
    slots: VecDeque<Slot<T>>,
    slots_max: usize,
}

#[derive(Debug)]
struct Slot<T> {
    packet_id: u16,
    item: T,
    sent: Instant,
    is_settled: bool,
}

impl<T> Window<T> {
    /// A window with room for this number of messages.
    pub fn new(slots_max: usize) -> Self {
        Self { slots: VecDeque::new(), slots_max }
    }

    /// Whether there is room for one more message.
    pub fn has_room(&self) -> bool {
        self.slots.len() < self.slots_max
    }

    /// How many messages are not acknowledged.
    pub fn in_flight(&self) -> usize {
        self.slots.iter().filter(|slot| !slot.is_settled).count()
    }

    /// Whether all are acknowledged.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// All unacknowledged messages, in the order in which they were sent.
    pub fn unsettled(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter(|slot| !slot.is_settled).map(|slot| &slot.item)
    }

    /// When the message that has waited longest was sent.
    pub fn oldest(&self) -> Option<Instant> {
        self.slots.iter().filter(|slot| !slot.is_settled).map(|slot| slot.sent).min()
    }

    /// Records that a message was sent.
    pub fn push(&mut self, packet_id: u16, item: T, now: Instant) {
        self.slots.push_back(Slot { packet_id, item, sent: now, is_settled: false });
    }

    /// The message with that packet ID, if it is in flight.
    pub fn get(&self, packet_id: u16) -> Option<&T> {
        self.slots.iter().find(|slot| !slot.is_settled && slot.packet_id == packet_id).map(|slot| &slot.item)
    }

    /// The same message, to change it.
    pub fn get_mut(&mut self, packet_id: u16) -> Option<&mut T> {
        let mut slots = self.slots.iter_mut();
        slots.find(|slot| !slot.is_settled && slot.packet_id == packet_id).map(|slot| &mut slot.item)
    }

    /// Records that a message was acknowledged. Acknowledged messages leave the window once all earlier ones are
    /// acknowledged. Returns false if it was not in flight.
    pub fn settle(&mut self, packet_id: u16) -> bool {
        let Some(slot) = self.slots.iter_mut().find(|slot| !slot.is_settled && slot.packet_id == packet_id)
        else {
            return false;
        };
        slot.is_settled = true;
        while self.slots.front().is_some_and(|slot| slot.is_settled) {
            self.slots.pop_front();
        }
        true
    }

    /// After the connection is lost, takes all unacknowledged messages, in order.
    pub fn take_unsettled(&mut self) -> impl DoubleEndedIterator<Item = T> + '_ {
        self.slots.drain(..).filter(|slot| !slot.is_settled).map(|slot| slot.item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_slot_serves_both_classes() {
        for depth in [Depth::new(20, 1), Depth::new(1, 65_535)] {
            for class in Class::ALL {
                assert!(depth.admits(class, 0, 0));
                assert!(!depth.admits(class, 1, 0) && !depth.admits(class, 0, 1));
            }
        }
    }

    proptest! {
        #[test]
        fn receive_maximum_is_kept_and_a_slot_stays_for_urgent(
            in_flight in 1..200_usize,
            receive_maximum in 1..300_u16,
            classes in prop::collection::vec(prop::bool::ANY, 1..500),
        ) {
            let depth = Depth::new(in_flight, receive_maximum);
            let most = in_flight.min(receive_maximum.into());
            let (mut urgent, mut rest) = (0, 0);
            for is_urgent in classes {
                let class = if is_urgent { Class::Urgent } else { Class::Rest };
                if depth.admits(class, urgent, rest) {
                    *(if is_urgent { &mut urgent } else { &mut rest }) += 1;
                }
                prop_assert!(urgent + rest <= most);
                prop_assert!(most == 1 || rest < most, "urgent ones always have a slot that the rest cannot take");
            }
        }

        #[test]
        fn cursor_passes_only_what_is_acknowledged(acknowledged in prop::collection::vec(0..12_u16, 0..40)) {
            let mut window = Window::new(12);
            let now = Instant::now();
            for id in 0..12 {
                prop_assert!(window.has_room());
                window.push(id, id, now);
            }
            prop_assert!(!window.has_room());
            let mut is_open = [true; 12];
            for id in acknowledged {
                prop_assert_eq!(window.settle(id), is_open[usize::from(id)], "once only");
                is_open[usize::from(id)] = false;
                let first = is_open.iter().position(|open| *open).map(|id| id as u16);
                prop_assert_eq!(window.unsettled().next().copied(), first);
                prop_assert_eq!(window.in_flight(), is_open.iter().filter(|open| **open).count());
                prop_assert_eq!(window.oldest().is_some(), first.is_some());
            }
            let left: Vec<u16> = (0..12).filter(|id| is_open[usize::from(*id)]).collect();
            prop_assert_eq!(window.take_unsettled().collect::<Vec<_>>(), left);
            prop_assert!(window.is_empty());
        }
    }
}
