//! Prints events on standard output, and tracks the position up to which they are written.

use super::line::line;
use crate::client::{Event, Position, What};
use crate::process_io::output::Output;
use nix::poll::PollFd;
use std::collections::VecDeque;
use std::io::{self, stdout};
use std::os::fd::AsFd;

/// Prints each event that has a line.
#[derive(Debug)]
pub struct Printer {
    output: Output,
    is_json: bool,
    /// Positions, and how many bytes are written when each is printed.
    marks: VecDeque<(u64, Position)>,
}

impl Printer {
    /// A printer to standard output, as text or as JSON.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new(is_json: bool) -> io::Result<Self> {
        let mut printer = Self::to(&stdout(), is_json)?;
        if printer.output.follows_a_part() {
            printer.output.push("");
        }
        Ok(printer)
    }

    fn to(to: &impl AsFd, is_json: bool) -> io::Result<Self> {
        Ok(Self { output: Output::new(to)?, is_json, marks: VecDeque::new() })
    }

    /// Whether there is room for another event.
    pub fn has_room(&self) -> bool {
        self.output.has_room()
    }

    /// Whether everything is written.
    pub fn is_written(&self) -> bool {
        self.output.is_empty()
    }

    /// Whether the output is closed: its reader is gone, or it has failed.
    pub fn is_closed(&self) -> bool {
        self.output.is_closed()
    }

    /// Queues the line of an event; true: it is a message.
    pub fn print(&mut self, event: &Event) -> bool {
        if let Some(line) = line(&event.what, self.is_json) {
            self.output.push(&line);
        }
        let end = self.output.taken();
        // An event without a line only moves the last mark.
        if self
            .marks
            .back()
            .is_some_and(|(last, position)| *last == end && position.journal == event.position.journal)
        {
            self.marks.pop_back();
        }
        self.marks.push_back((end, event.position));
        matches!(event.what, What::Message { .. })
    }

    /// The next position up to which all events are written.
    pub fn take_printed(&mut self) -> Option<Position> {
        let is_written = self.marks.front().is_some_and(|(end, _)| *end <= self.output.written());
        if is_written { self.marks.pop_front().map(|(_, position)| position) } else { None }
    }

    /// What to poll: whether the output is writable, or if nothing is left to write, whether its reader is gone.
    pub fn interest(&self) -> PollFd<'_> {
        self.output.interest().unwrap_or_else(|| self.output.end_of_reader())
    }

    /// Writes once, or closes the output if nothing is left to write. Call it when its [interest](Self::interest) is
    /// ready.
    ///
    /// # Errors
    /// The write failed. It is not an error if the reader is gone.
    pub fn write(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            self.output.close();
            return Ok(());
        }
        self.output.write()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Priority;
    use std::io::pipe;

    fn event(what: What, id: u64) -> Event {
        Event { what, position: Position { journal: Some(7), id } }
    }

    fn message(id: u64) -> Event {
        let (from, text) = ("a".to_string(), "x".repeat(3_000));
        event(What::Message { id, priority: Priority::NORMAL, from, text }, id)
    }

    #[test]
    fn position_is_printed_once_its_whole_line_is_written() {
        let (_reader, writer) = pipe().unwrap();
        let mut printer = Printer::to(&writer, false).unwrap();
        assert!(!printer.print(&event(What::Begin(None), 4)));
        assert_eq!(printer.take_printed().map(|position| position.id), Some(4), "it has no line");
        assert!(printer.print(&message(5)) && printer.print(&message(6)));
        assert!(!printer.print(&event(What::CaughtUp, 9)));
        let mut printed = Vec::new();
        while !printer.is_written() {
            assert_eq!(printer.take_printed(), None);
            printer.write().unwrap();
            printed.extend(std::iter::from_fn(|| printer.take_printed()).map(|position| position.id));
        }
        assert_eq!(printed, [5, 9]);
    }

    #[test]
    fn printer_closes_when_its_reader_is_gone() {
        let (reader, writer) = pipe().unwrap();
        let mut printer = Printer::to(&writer, false).unwrap();
        drop(reader);
        printer.print(&message(5));
        printer.write().unwrap();
        assert!(printer.is_closed());
        assert_eq!(printer.take_printed(), None);
    }
}
