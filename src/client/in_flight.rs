//! The lines of one connection that wait for their replies, by line number. Knows no sockets.

use super::limits::{IN_FLIGHT, IN_FLIGHT_BYTES};
use std::collections::VecDeque;

/// Lines that wait for their replies, each with the caller's data: at most [`IN_FLIGHT`] lines and [`IN_FLIGHT_BYTES`]
/// bytes.
#[derive(Debug)]
pub struct InFlight<T> {
    /// In the order of their numbers.
    lines: VecDeque<Line<T>>,
    bytes: usize,
}

#[derive(Debug)]
struct Line<T> {
    number: u64,
    bytes: usize,
    load: T,
}

impl<T> Default for InFlight<T> {
    fn default() -> Self {
        Self { lines: VecDeque::with_capacity(IN_FLIGHT), bytes: 0 }
    }
}

impl<T> InFlight<T> {
    /// Whether a line of that many bytes may be sent now.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.lines.len() < IN_FLIGHT && self.bytes + bytes <= IN_FLIGHT_BYTES
    }

    /// Whether no line waits for its reply.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds a line. Its number must be higher than that of any earlier line.
    pub fn push(&mut self, number: u64, bytes: usize, load: T) {
        debug_assert!(self.lines.back().is_none_or(|last| last.number < number));
        self.bytes += bytes;
        self.lines.push_back(Line { number, bytes, load });
    }

    /// Removes the line of that number, whose reply has come; `None`: no such line waits.
    pub fn take(&mut self, number: u64) -> Option<T> {
        // Most replies come in the order of the lines.
        let is_first = self.lines.front().is_some_and(|first| first.number == number);
        let at =
            if is_first { 0 } else { self.lines.binary_search_by_key(&number, |line| line.number).ok()? };
        let Line { bytes, load, .. } = self.lines.remove(at)?;
        self.bytes -= bytes;
        Some(load)
    }

    /// Removes all lines after the connection has ended, and returns them in order with their numbers.
    pub fn take_all(&mut self) -> impl Iterator<Item = (u64, T)> + use<T> {
        self.bytes = 0;
        std::mem::take(&mut self.lines).into_iter().map(|line| (line.number, line.load))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_taken_once_in_any_order() {
        let mut in_flight = InFlight::default();
        for number in [2, 3, 5, 8] {
            in_flight.push(number, 10, number * 10);
        }
        assert_eq!(
            [5, 5, 2, 4, 1, 9].map(|number| in_flight.take(number)),
            [Some(50), None, Some(20), None, None, None]
        );
        assert_eq!(in_flight.take_all().collect::<Vec<_>>(), [(3, 30), (8, 80)]);
        assert!(in_flight.is_empty());
    }

    #[test]
    fn lines_and_bytes_are_bounded() {
        let mut in_flight = InFlight::default();
        for number in 0..IN_FLIGHT as u64 {
            assert!(in_flight.has_room(1));
            in_flight.push(number, 1, ());
        }
        assert!(!in_flight.has_room(1));
        in_flight.take(7);
        assert!(in_flight.has_room(IN_FLIGHT_BYTES - IN_FLIGHT + 1));
        assert!(!in_flight.has_room(IN_FLIGHT_BYTES - IN_FLIGHT + 2));
        let _ = in_flight.take_all();
        assert!(in_flight.has_room(IN_FLIGHT_BYTES));
    }
}
