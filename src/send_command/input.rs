//! Standard input, split into lines. The caller reads only when the descriptor is readable, so that it never blocks.

use crate::client::limits::TEXT_BYTES_MAX;
use crate::protocol::foreign::BYTE_ORDER_MARK;
use memchr::memchr;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};

/// The size of one read, in bytes: as much as a pipe holds.
const READ_BYTES: usize = 64 * 1024;

/// A line of the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Its bytes without the line end: 1 to [`TEXT_BYTES_MAX`].
    Text(&'a [u8]),
    /// The line was longer, and was dropped.
    TooLong,
}

/// An input that is read piece by piece. It holds at most one piece and the beginning of a line.
#[derive(Debug)]
pub struct Input<R = File> {
    from: R,
    buffer: Vec<u8>,
    /// Where the next line begins in `buffer`.
    taken: usize,
    /// `buffer` has no LF between `taken` and here.
    scanned: usize,
    /// The line at `taken` is too long, and its beginning was dropped.
    is_too_long: bool,
    /// How many lines were taken.
    lines: u64,
    /// The input has ended.
    has_ended: bool,
}

impl Input<File> {
    /// Standard input.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> io::Result<Self> {
        Ok(Self::of(File::from(io::stdin().as_fd().try_clone_to_owned()?)))
    }
}

impl AsFd for Input<File> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.from.as_fd()
    }
}

impl<R: Read> Input<R> {
    fn of(from: R) -> Self {
        let buffer = Vec::with_capacity(READ_BYTES + TEXT_BYTES_MAX + 2);
        Self { from, buffer, taken: 0, scanned: 0, is_too_long: false, lines: 0, has_ended: false }
    }

    /// How many lines were taken so far, including empty ones.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Whether the input has ended, and the caller has taken all lines.
    pub fn is_over(&self) -> bool {
        self.has_ended && self.taken == self.buffer.len() && !self.is_too_long
    }

    /// Whether the caller has taken all complete lines that were read.
    pub fn is_dry(&self) -> bool {
        self.scanned == self.buffer.len()
    }

    /// Reads once. Call it when the input is [dry](Self::is_dry) and its descriptor is readable; otherwise it may
    /// block.
    ///
    /// # Errors
    /// The read failed. The input has then ended.
    pub fn read(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.taken);
        (self.taken, self.scanned) = (0, self.buffer.len());
        let start = self.buffer.len();
        self.buffer.resize(start + READ_BYTES, 0);
        let read = self.from.read(&mut self.buffer[start..]);
        self.buffer.truncate(start + read.as_ref().map_or(0, |bytes| *bytes));
        match read {
            Ok(0) => self.has_ended = true,
            Ok(_) => {}
            // Another process that shares the pipe may have read the bytes, or a signal interrupted the call.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => {
                self.has_ended = true;
                return Err(error);
            }
        }
        Ok(())
    }

    /// The next line that is not empty, with its number from 1; `None`: no complete line was read. The last line of the
    /// input needs no LF.
    pub fn next(&mut self) -> Option<(u64, Line<'_>)> {
        loop {
            let (start, end) = self.take_line()?;
            if self.is_too_long || end - start > TEXT_BYTES_MAX {
                self.is_too_long = false;
                return Some((self.lines, Line::TooLong));
            }
            if start < end {
                return Some((self.lines, Line::Text(&self.buffer[start..end])));
            }
        }
    }

    /// Takes a line, and returns where it begins and ends in `buffer`.
    fn take_line(&mut self) -> Option<(usize, usize)> {
        let start = self.taken;
        let (end, next) = match memchr(b'\n', &self.buffer[self.scanned..]) {
            Some(lf) => (self.scanned + lf, self.scanned + lf + 1),
            None if self.has_ended && (start < self.buffer.len() || self.is_too_long) => {
                (self.buffer.len(), self.buffer.len())
            }
            None => {
                self.cut_long_line();
                return None;
            }
        };
        (self.taken, self.scanned) = (next, next);
        self.lines += 1;
        // Dropped, as the server does at the beginning of a connection.
        let has_mark = self.lines == 1 && self.buffer[start..end].starts_with(BYTE_ORDER_MARK);
        let start = if has_mark { start + BYTE_ORDER_MARK.len() } else { start };
        let has_cr = self.buffer[start..end].ends_with(b"\r");
        Some((start, end - usize::from(has_cr)))
    }

    /// Drops the beginning of a line that is already too long. Before that, the line may have a byte order mark and one
    /// CR more, which do not count.
    fn cut_long_line(&mut self) {
        self.scanned = self.buffer.len();
        if self.buffer.len() - self.taken > TEXT_BYTES_MAX + BYTE_ORDER_MARK.len() + 1 {
            self.is_too_long = true;
            self.taken = self.buffer.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that returns one part per call, and an error for an empty part.
    struct Parts(Vec<Vec<u8>>);

    impl Read for Parts {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let part = self.0.remove(0);
            if part.is_empty() {
                return Err(io::Error::other("broken"));
            }
            buffer[..part.len()].copy_from_slice(&part);
            Ok(part.len())
        }
    }

    /// All lines, with `None` in place of a line that is too long.
    fn lines(parts: &[&[u8]]) -> Vec<(u64, Option<Vec<u8>>)> {
        let mut input = Input::of(Parts(parts.iter().map(|part| part.to_vec()).collect()));
        let mut lines = Vec::new();
        while !input.is_over() {
            while let Some((number, line)) = input.next() {
                lines.push((number, if let Line::Text(text) = line { Some(text.to_vec()) } else { None }));
            }
            if !input.is_over() {
                let _ = input.read();
            }
        }
        assert!(input.buffer.capacity() <= 2 * (READ_BYTES + TEXT_BYTES_MAX + 2));
        lines
    }

    fn text(number: u64, text: impl AsRef<[u8]>) -> (u64, Option<Vec<u8>>) {
        (number, Some(text.as_ref().to_vec()))
    }

    #[test]
    fn lines_are_numbered_however_the_input_is_split() {
        assert_eq!(lines(&[]), []);
        assert_eq!(
            lines(&[b"one\n\ntw", b"o\r\n \n", b"\r\nfi", b"ve"]),
            [text(1, "one"), text(3, "two"), text(4, " "), text(6, "five")]
        );
        assert_eq!(lines(&[b"\0\xff\r\r\n/urgent\n"]), [text(1, b"\0\xff\r"), text(2, "/urgent")]);
        assert_eq!(
            lines(&[b"\xef\xbb", b"\xbfone\n\xef\xbb\xbftwo\n"]),
            [text(1, "one"), text(2, b"\xef\xbb\xbftwo")]
        );
        assert_eq!(lines(&[b"\xef\xbb\xbf\r\n"]), []);
        assert_eq!(
            lines(&[b"one\nhalf", b""]),
            [text(1, "one"), text(2, "half")],
            "what came before an error counts"
        );
    }

    #[test]
    fn long_line_is_reported_once_within_bounded_memory() {
        let longest = vec![b'x'; TEXT_BYTES_MAX];
        let longer = vec![b'x'; TEXT_BYTES_MAX + 1];
        let full = vec![b'x'; READ_BYTES];
        for end in [&b"\n"[..], b"\r\n", b""] {
            assert_eq!(
                lines(&[&longest, end].concat().chunks(1000).collect::<Vec<_>>()),
                [text(1, &longest)]
            );
            assert_eq!(lines(&[&longer, end].concat().chunks(1000).collect::<Vec<_>>()), [(1, None)]);
        }
        let mut parts = vec![&b"a\n"[..]];
        parts.extend(std::iter::repeat_n(&full[..], 100));
        parts.push(b"x\nb\n");
        assert_eq!(lines(&parts), [text(1, "a"), (2, None), text(3, "b")]);
    }
}
