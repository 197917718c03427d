//! Splits the output of a program into lines, within bounded memory.

use super::limits::{LINE_BYTES_MAX, READ_BYTES};
use memchr::memchr;
use std::io::{self, ErrorKind, Read};

/// The result of one read.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// Some bytes.
    Some,
    /// Nothing is available now.
    Nothing,
    /// The output is closed, or cannot be read.
    End,
}

/// The line that the program is writing. Of a longer line, it keeps the first [`LINE_BYTES_MAX`] bytes.
#[derive(Debug, Default)]
pub struct Lines {
    line: Vec<u8>,
}

impl Lines {
    /// Reads once, and calls `take` for each complete line, without its LF.
    pub fn read(&mut self, from: &mut impl Read, take: impl FnMut(&[u8])) -> Received {
        let mut bytes = [0; READ_BYTES];
        match from.read(&mut bytes) {
            Ok(0) => Received::End,
            Ok(count) => {
                self.feed(&bytes[..count], take);
                Received::Some
            }
            Err(error) if is_temporary(&error) => Received::Nothing,
            Err(_) => Received::End,
        }
    }

    /// The line so far, which has no LF yet.
    pub fn rest(&self) -> &[u8] {
        &self.line
    }

    fn feed(&mut self, mut bytes: &[u8], mut take: impl FnMut(&[u8])) {
        while let Some(lf) = memchr(b'\n', bytes) {
            self.keep(&bytes[..lf]);
            take(&self.line);
            self.line.clear();
            bytes = &bytes[lf + 1..];
        }
        self.keep(bytes);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES_MAX - self.line.len();
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// Whether a later attempt may succeed.
pub fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(parts: &[&[u8]]) -> (Vec<String>, String) {
        let (mut lines, mut taken) = (Lines::default(), Vec::new());
        for part in parts {
            let mut from = *part;
            while lines.read(&mut from, |line| taken.push(String::from_utf8_lossy(line).into_owned()))
                == Received::Some
            {}
        }
        (taken, String::from_utf8_lossy(lines.rest()).into_owned())
    }

    #[test]
    fn parts_are_joined() {
        let (taken, rest) = lines(&[b"READY 1\no", b"k", b" shut\n\nno", b""]);
        assert_eq!((taken, rest.as_str()), (vec!["READY 1".into(), "ok shut".into(), String::new()], "no"));
    }

    #[test]
    fn long_line_keeps_its_beginning_and_the_next_one_is_whole() {
        let long = [b"ok ".as_slice(), &[b'x'; 1 << 20], b"\nno\n"].concat();
        let (taken, _) = lines(&[&long]);
        assert_eq!(
            (taken[0].len(), taken[0].starts_with("ok xx"), taken[1].as_str()),
            (LINE_BYTES_MAX, true, "no")
        );
        assert_eq!(lines(&[&[b'x'; 1 << 20]]).1.len(), LINE_BYTES_MAX);
    }
}
