//! The beginning of a connection: whether the client speaks another protocol.

use crate::protocol::command::Request;
use crate::protocol::foreign::{self, Foreign};
use crate::protocol::framing::Frame;
use core::mem;

/// The beginning of one connection.
pub struct Opening {
    /// No message and no command has been taken yet: the client may still turn out to speak another protocol.
    is_under_way: bool,
    /// The previous line was too long, so its text is unknown.
    is_after_long: bool,
    /// The protocol that the client speaks, if it is another one.
    foreign: Option<Foreign>,
}

impl Opening {
    /// A connection on which nothing has arrived.
    #[expect(clippy::new_without_default, reason = "the beginning is under way")]
    pub const fn new() -> Self {
        Self { is_under_way: true, is_after_long: false, foreign: None }
    }

    /// Whether the client may still turn out to speak another protocol.
    pub fn is_under_way(&self) -> bool {
        self.is_under_way
    }

    /// Records that the client speaks another protocol: the session takes none of its lines any more.
    pub fn set_foreign(&mut self, foreign: Foreign) {
        self.foreign = Some(foreign);
    }

    /// The protocol that the client speaks, if it is another one.
    pub fn foreign(&self) -> Option<Foreign> {
        self.foreign
    }

    /// Checks a line before the session parses it. Returns true if the client speaks another protocol.
    pub fn is_foreign(&mut self, frame: &Frame<'_>) -> bool {
        if !self.is_under_way {
            return false;
        }
        let is_after_long = mem::replace(&mut self.is_after_long, matches!(frame, Frame::TooLong));
        if let Frame::Line(line) = frame {
            self.foreign = foreign::in_line(line, is_after_long);
        }
        self.foreign.is_some()
    }

    /// Records the request of a line: the first message or command ends the opening.
    pub fn note(&mut self, request: &Request<'_>) {
        self.is_under_way &= !matches!(request, Request::Message { .. } | Request::Command(_));
    }
}
