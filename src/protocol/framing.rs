//! The framer: splits received bytes into lines.
//!
//! It manages the bytes in one client's receive buffer and nothing else: it knows neither the socket nor the meaning
//! of a line. The buffer itself belongs to the caller.
//!
//! A line ends with LF; one CR directly before the LF is dropped. The framer drops the bytes of a line of more than
//! [`LINE_BYTES_MAX`] bytes as they arrive, and returns one [`Frame::TooLong`] *when the LF arrives*. So replies keep
//! the order of the lines, and the tail of such a line never counts as a line.
//!
//! The framer searches every byte once, and moves it at most once if the caller takes lines before it receives more. So
//! the cost is linear in the number of bytes, even if a client sends single bytes.

use core::ops::Range;

use memchr::memchr;

use crate::limits::LINE_BYTES_MAX;

/// The longest line with its end, in bytes. A buffer of that size is enough.
const ENDED_LINE_BYTES_MAX: usize = LINE_BYTES_MAX + "\r\n".len();

/// The bytes of the keys that erase the last character: backspace and delete.
const ERASING: [u8; 2] = [0x08, 0x7f];

/// A line, or the mark of a line that was too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A line of at most [`LINE_BYTES_MAX`] bytes, without its end. It may be empty.
    Line(&'a [u8]),
    /// A line that was longer. Its bytes are dropped.
    TooLong,
}

/// Splits the bytes of one client into lines.
///
/// The caller receives into [`free`](Self::free), reports with [`commit`](Self::commit) how many bytes arrived, and
/// takes lines with [`next`](Self::next) until there are none. The caller counts the lines: every [`Frame`] is one.
pub struct Framer<'b, const N: usize> {
    buffer: &'b mut [u8; N],
    /// Where the next line begins.
    start: usize,
    /// No LF is between `start` and this position.
    scanned: usize,
    /// The end of the received bytes.
    end: usize,
    /// The line at `start` is too long. Its bytes so far are dropped.
    is_too_long: bool,
    /// No more bytes will arrive.
    has_ended: bool,
}

impl<'b, const N: usize> Framer<'b, N> {
    /// A framer over a buffer that holds the longest line with its end. A smaller buffer does not compile.
    pub const fn new(buffer: &'b mut [u8; N]) -> Self {
        const { assert!(N >= ENDED_LINE_BYTES_MAX, "a whole line must fit the receive buffer") };
        Self { buffer, start: 0, scanned: 0, end: 0, is_too_long: false, has_ended: false }
    }

    /// The free part of the buffer, to receive into.
    ///
    /// It is never empty after [`next`](Self::next) has returned `None`, unless [`end`](Self::end) was called. It may
    /// be empty while lines wait: then a receive would return 0 bytes, as at the end.
    pub fn free(&mut self) -> &mut [u8] {
        if self.has_ended {
            return &mut [];
        }
        self.make_room();
        &mut self.buffer[self.end..]
    }

    /// Reports that the first `count` bytes of [`free`](Self::free) were received. A `count` beyond the free part
    /// counts as all of it.
    pub fn commit(&mut self, count: usize) {
        let room = if self.has_ended { 0 } else { N - self.end };
        self.end += count.min(room);
    }

    /// Treats the last `count` received bytes as typed keys: each backspace or delete among them removes the character
    /// before it, if there is one in the same line.
    pub fn erase(&mut self, count: usize) {
        let typed = self.end.saturating_sub(count).max(self.start)..self.end;
        self.end = typed.start;
        for place in typed {
            let byte = self.buffer[place];
            if ERASING.contains(&byte) {
                self.erase_one();
            } else {
                self.buffer[self.end] = byte;
                self.end += 1;
            }
        }
        self.scanned = self.scanned.min(self.end);
    }

    fn erase_one(&mut self) {
        let line = &self.buffer[self.start..self.end];
        // The continuation bytes of a character.
        let rest = line.iter().rev().take_while(|byte| **byte & 0xc0 == 0x80).count();
        if line.len() > rest && line[line.len() - rest - 1] != b'\n' {
            self.end -= rest + 1;
        }
    }

    /// Reports that no more bytes will arrive. The bytes after the last LF, if there are any, are then a line.
    pub fn end(&mut self) {
        self.has_ended = true;
    }

    /// The next whole line, if there is one. It stays in the buffer until the next call of any method.
    #[expect(clippy::should_implement_trait, reason = "an iterator's items could not borrow from it")]
    pub fn next(&mut self) -> Option<Frame<'_>> {
        match memchr(b'\n', &self.buffer[self.scanned..self.end]) {
            Some(distance) => {
                let lf = self.scanned + distance;
                Some(self.take(lf, lf + 1))
            }
            None if self.has_ended => self.take_last(),
            None => {
                self.scanned = self.end;
                self.drop_if_too_long();
                None
            }
        }
    }

    /// Whether [`next`](Self::next) would return a line.
    pub fn has_next(&mut self) -> bool {
        match memchr(b'\n', &self.buffer[self.scanned..self.end]) {
            Some(distance) => {
                self.scanned += distance;
                true
            }
            None => {
                self.scanned = self.end;
                self.has_ended && self.has_last()
            }
        }
    }

    /// The received bytes from the beginning of the next line on. Empty if that line is too long.
    pub fn pending(&self) -> &[u8] {
        if self.is_too_long { &[] } else { &self.buffer[self.start..self.end] }
    }

    /// The last received byte, if it is not taken yet. It may belong to a line that is too long, until
    /// [`next`](Self::next) drops it.
    pub fn last_byte(&self) -> Option<u8> {
        self.buffer[self.start..self.end].last().copied()
    }

    /// Drops the first `count` bytes of [`pending`](Self::pending), which must contain no LF. A larger `count` drops
    /// all of them.
    pub fn skip(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        self.scanned = self.scanned.max(self.start);
    }

    /// Whether there are bytes that are not taken: lines, or the beginning of a line.
    pub fn has_begun(&self) -> bool {
        self.has_last()
    }

    /// Whether the next line is already too long, so that the framer drops the rest of it.
    pub fn is_dropping(&self) -> bool {
        self.is_too_long
    }

    /// Whether a line has begun whose end has not arrived. Call it only after [`next`](Self::next) has returned `None`,
    /// or [`has_next`](Self::has_next) has returned false.
    pub fn is_within_line(&self) -> bool {
        self.scanned == self.end && self.has_last()
    }

    /// Resets the framer for another client. No bytes of the previous client remain, not even in the buffer.
    pub fn reset(&mut self) {
        let Self { buffer, start, scanned, end, is_too_long, has_ended } = self;
        buffer.fill(0);
        (*start, *scanned, *end) = (0, 0, 0);
        (*is_too_long, *has_ended) = (false, false);
    }

    /// Whether there are bytes without LF at the end.
    fn has_last(&self) -> bool {
        self.start < self.end || self.is_too_long
    }

    /// Takes the bytes without LF at the end, once, if there are any.
    fn take_last(&mut self) -> Option<Frame<'_>> {
        self.has_last().then(|| self.take(self.end, self.end))
    }

    /// Takes the line that ends at `line_end`. The next line begins at `next_start`.
    fn take(&mut self, line_end: usize, next_start: usize) -> Frame<'_> {
        let line = self.start..line_end;
        let is_too_long = self.is_too_long;
        self.start = next_start;
        self.scanned = next_start;
        self.is_too_long = false;
        if is_too_long { Frame::TooLong } else { self.frame(line) }
    }

    /// The line in that range, without its CR, if it is not too long.
    fn frame(&self, line: Range<usize>) -> Frame<'_> {
        let line = &self.buffer[line];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > LINE_BYTES_MAX { Frame::TooLong } else { Frame::Line(line) }
    }

    /// Drops the unfinished line once it is certainly too long. One byte more than the longest line may still be the
    /// CR before the LF.
    fn drop_if_too_long(&mut self) {
        self.is_too_long |= self.end - self.start > LINE_BYTES_MAX + "\r".len();
        if self.is_too_long {
            self.start = self.end;
        }
    }

    /// Moves the unfinished line to the front, but only if the longest line would not fit after its start. A moved line
    /// is at the front, so it is not moved again.
    fn make_room(&mut self) {
        let fits = N - self.start >= ENDED_LINE_BYTES_MAX;
        if self.start < self.end && fits {
            return;
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.scanned -= self.start;
        self.end -= self.start;
        self.start = 0;
    }
}

#[cfg(test)]
mod tests;
