//! Barren connections: connections that end with messages of a class in flight, of which the broker has taken none.
//! After some of them in a row, the bridge sends one message at a time, to identify the message at fault. Knows no
//! connection.
//!
//! Each class is counted separately: if the broker takes urgent messages on each connection, a message of the rest may
//! still be the one that ends each connection.

use super::class::{Class, PerClass};
use super::exchange::Cause;
use super::limits::BARREN_CONNECTIONS_MAX;

/// How many connections in a row were barren, for each class.
#[derive(Debug, Default)]
pub struct Barren {
    in_a_row: PerClass<u32>,
    /// The classes of which the broker has taken a message on this connection.
    has_served: PerClass<bool>,
}

impl Barren {
    /// Begins a connection.
    pub fn begin(&mut self) {
        self.has_served = PerClass::default();
    }

    /// Records that the broker has taken or refused a message of that class.
    pub fn served(&mut self, class: Class) {
        (self.in_a_row[class], self.has_served[class]) = (0, true);
    }

    /// Records that the connection has ended with these numbers of messages in flight. Returns true if it was barren
    /// for a class. If the broker did not answer, the connection does not count, because no message is at fault.
    pub fn ended(&mut self, in_flight: PerClass<usize>, cause: Cause) -> bool {
        let is_barren = |class: &Class| !self.has_served[*class] && in_flight[*class] > 0;
        let barren: Vec<Class> = Class::ALL.into_iter().filter(is_barren).collect();
        if cause != Cause::Silence {
            barren.iter().for_each(|class| self.in_a_row[*class] = self.in_a_row[*class].saturating_add(1));
        }
        if cause == Cause::Message && in_flight.iter().sum::<usize>() > 1 {
            // One of the messages in flight is at fault.
            for class in Class::ALL.into_iter().filter(|class| in_flight[*class] > 0) {
                self.in_a_row[class] = self.in_a_row[class].max(BARREN_CONNECTIONS_MAX);
            }
        }
        !barren.is_empty()
    }

    /// How many messages may be in flight: `most`, or 1 while messages go one at a time.
    pub fn in_flight(&self, most: usize) -> usize {
        if self.is_one_at_a_time() { 1 } else { most }
    }

    /// Whether messages go one at a time. That lasts until the broker has taken or refused a message of each class that
    /// has reached the limit.
    fn is_one_at_a_time(&self) -> bool {
        self.in_a_row.iter().any(|count| *count >= BARREN_CONNECTIONS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_that_is_served_does_not_hide_the_other() {
        let mut barren = Barren::default();
        for _ in 0..BARREN_CONNECTIONS_MAX {
            assert!(!barren.is_one_at_a_time());
            barren.begin();
            barren.served(Class::Urgent);
            assert!(barren.ended(PerClass::of(2, 5), Cause::Other));
        }
        barren.begin();
        barren.served(Class::Urgent);
        assert!(barren.is_one_at_a_time(), "the rest has not been served");
        barren.served(Class::Rest);
        assert!(!barren.is_one_at_a_time());
    }

    #[test]
    fn only_what_is_on_its_way_counts() {
        let mut barren = Barren::default();
        for _ in 0..2 * BARREN_CONNECTIONS_MAX {
            barren.begin();
            assert!(!barren.ended(PerClass::of(0, 0), Cause::Other));
            barren.begin();
            barren.served(Class::Rest);
            assert!(!barren.ended(PerClass::of(0, 5), Cause::Other));
            barren.begin();
            assert!(barren.ended(PerClass::of(0, 5), Cause::Silence), "silence accuses no message");
        }
        assert!(!barren.is_one_at_a_time());
        barren.ended(PerClass::of(0, 5), Cause::Message);
        assert!(barren.is_one_at_a_time(), "the broker says that one of them is at fault");
    }
}
