//! A message as a line. Knows no connection.

use super::limits::TEXT_BYTES_MAX;
use crate::protocol::Priority;
use memchr::memchr;
use std::fmt;

/// A message that can be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    priority: Priority,
    text: Vec<u8>,
}

/// Why a text cannot be sent as a message. The server may refuse texts that the client accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsendable {
    /// It is empty.
    Empty,
    /// It has more than [`TEXT_BYTES_MAX`] bytes.
    TooLong,
    /// It contains an LF, so it would be several lines.
    LineBreak,
}

impl fmt::Display for Unsendable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty"),
            Self::TooLong => write!(f, "too-long: more than {TEXT_BYTES_MAX} bytes"),
            Self::LineBreak => f.write_str("it has a line break, and a message is one line"),
        }
    }
}

impl std::error::Error for Unsendable {}

impl Message {
    /// A message of that priority. The text may contain any byte except LF. A text that begins with `/` is sent as a
    /// message, not as a command.
    ///
    /// # Errors
    /// The text cannot be sent.
    pub fn new(priority: Priority, text: impl Into<Vec<u8>>) -> Result<Self, Unsendable> {
        let text = text.into();
        if text.is_empty() {
            Err(Unsendable::Empty)
        } else if text.len() > TEXT_BYTES_MAX {
            Err(Unsendable::TooLong)
        } else if memchr(b'\n', &text).is_some() {
            Err(Unsendable::LineBreak)
        } else {
            Ok(Self { priority, text })
        }
    }

    /// How urgent it is.
    pub fn priority(&self) -> Priority {
        self.priority
    }

    /// Its text.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Appends its line, with the LF.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_prefix(out);
        out.extend_from_slice(&self.text);
        // The server drops one CR before an LF.
        out.extend_from_slice(if self.text.ends_with(b"\r") { b"\r\n" } else { b"\n" });
    }

    /// The length of that line in bytes, at most.
    pub fn line_bytes(&self) -> usize {
        "/9 ".len() + self.text.len() + "\r\n".len()
    }

    /// Appends the prefix for the priority. A message of normal priority has none, because the server takes a text of
    /// blanks alone as a message only without a prefix. If its text begins with `/`, another `/` marks it as a message.
    fn write_prefix(&self, out: &mut Vec<u8>) {
        match (self.priority, self.text.first()) {
            (Priority::NORMAL, Some(b'/')) => out.push(b'/'),
            (Priority::NORMAL, _) => {}
            (priority, _) => out.extend_from_slice(&[b'/', priority.digit(), b' ']),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{RECEIVE_BYTES, TEXT_BYTES};
    use crate::protocol::command::Request;
    use crate::protocol::framing::Framer;

    #[test]
    fn server_parses_the_same_text_and_priority() {
        let longest = vec![b'x'; TEXT_BYTES];
        for text in [
            &b"smoke"[..],
            b"/urgent smoke",
            b"//",
            b"/",
            b"  blanks ",
            b"\0\xff",
            b"ends with CR\r",
            b"GET / HTTP/1.1",
            &longest,
        ] {
            for priority in Priority::all() {
                let mut line = Vec::new();
                let message = Message::new(priority, text).unwrap();
                message.write(&mut line);
                assert!(line.len() <= message.line_bytes());
                let mut buffer = [0; RECEIVE_BYTES];
                let mut framer = Framer::new(&mut buffer);
                framer.free()[..line.len()].copy_from_slice(&line);
                framer.commit(line.len());
                let request = framer.next().map(Request::from);
                assert_eq!(request, Some(Request::Message { priority, text }), "{text:?}");
            }
        }
    }

    #[test]
    fn empty_long_and_multi_line_texts_are_refused() {
        let new = |text: &[u8]| Message::new(Priority::NORMAL, text).map(|_| ());
        assert_eq!(new(b""), Err(Unsendable::Empty));
        assert_eq!(new(b"two\nlines"), Err(Unsendable::LineBreak));
        assert_eq!(new(&[b'x'; TEXT_BYTES_MAX]), Ok(()));
        assert_eq!(new(&[b'x'; TEXT_BYTES_MAX + 1]), Err(Unsendable::TooLong));
    }
}
