//! Bytes as they come in, cut into lines.
//!
//! Owns the order of the bytes in one client's receive buffer and nothing else: it does not know where they
//! come from, nor what a line says. The buffer itself belongs to the caller.
//!
//! A line ends with LF; one CR directly before it is dropped. A line of more than [`LINE_BYTES_MAX`] bytes
//! is dropped as it comes in, however long it is, and told by one [`Frame::TooLong`] *when its LF arrives*:
//! so that replies keep the order of the lines, and no tail is taken for a line.
//!
//! Every byte is searched once, and moved once at most, so a sender of single bytes costs no more than its
//! bytes.

use core::ops::Range;

use memchr::memchr;

use crate::limits::LINE_BYTES_MAX;

/// A line, or the place where one was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A line of [`LINE_BYTES_MAX`] bytes at most, without its end. It may be empty.
    Line(&'a [u8]),
    /// A line that was longer, and is gone.
    TooLong,
}

/// Cuts what one client sends into lines.
///
/// The caller receives into [`free`](Self::free), says with [`commit`](Self::commit) how much came, and takes
/// lines with [`next`](Self::next) until there is none. It counts them itself: every [`Frame`] is one line.
pub struct Framer<'b, const N: usize> {
    buffer: &'b mut [u8; N],
    /// Where the line begins that is yet to be taken.
    start: usize,
    /// Between `start` and here there is no LF.
    scanned: usize,
    /// The end of what was received.
    end: usize,
    /// The line at `start` is too long; what came of it so far is gone.
    too_long: bool,
    /// Nothing more will come.
    ended: bool,
}

impl<'b, const N: usize> Framer<'b, N> {
    /// A framer over a buffer that the longest line fits with its end; a smaller one does not compile.
    pub const fn new(buffer: &'b mut [u8; N]) -> Self {
        const { assert!(N >= LINE_BYTES_MAX + "\r\n".len(), "a whole line must fit the receive buffer") };
        Self { buffer, start: 0, scanned: 0, end: 0, too_long: false, ended: false }
    }

    /// Where to receive into.
    ///
    /// Never empty after [`next`](Self::next) found no line, unless the end was told. It may be empty while
    /// lines wait to be taken: receiving into nothing would then look like the end.
    pub fn free(&mut self) -> &mut [u8] {
        if self.ended {
            return &mut [];
        }
        self.make_room();
        &mut self.buffer[self.end..]
    }

    /// Says that the first `count` bytes of [`free`](Self::free) have been received. More than there was
    /// room for counts as all of it.
    pub fn commit(&mut self, count: usize) {
        let room = if self.ended { 0 } else { N - self.end };
        self.end += count.min(room);
    }

    /// Says that nothing more will come. What was received after the last LF, if anything, is then a line.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// The next line, if there is a whole one. It stays where it is until the next call of any method.
    #[expect(clippy::should_implement_trait, reason = "an iterator's items could not borrow from it")]
    pub fn next(&mut self) -> Option<Frame<'_>> {
        match memchr(b'\n', &self.buffer[self.scanned..self.end]) {
            Some(distance) => {
                let lf = self.scanned + distance;
                Some(self.take(lf, lf + 1))
            }
            None if self.ended => self.take_last(),
            None => {
                self.scanned = self.end;
                self.drop_if_too_long();
                None
            }
        }
    }

    /// Makes the framer ready for another client: nothing of the last one is left, not even in the buffer.
    pub fn reset(&mut self) {
        self.buffer.fill(0);
        (self.start, self.scanned, self.end) = (0, 0, 0);
        (self.too_long, self.ended) = (false, false);
    }

    /// Takes what has no LF, once, if there is anything.
    fn take_last(&mut self) -> Option<Frame<'_>> {
        if self.start == self.end && !self.too_long {
            return None;
        }
        Some(self.take(self.end, self.end))
    }

    /// Takes the line that ends at `line_end`; the one after it begins at `next_start`.
    fn take(&mut self, line_end: usize, next_start: usize) -> Frame<'_> {
        let line = self.start..line_end;
        let too_long = self.too_long;
        self.start = next_start;
        self.scanned = next_start;
        self.too_long = false;
        if too_long { Frame::TooLong } else { self.frame(line) }
    }

    /// The line at that place, without its CR, if it is not too long.
    fn frame(&self, line: Range<usize>) -> Frame<'_> {
        let line = &self.buffer[line];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > LINE_BYTES_MAX { Frame::TooLong } else { Frame::Line(line) }
    }

    /// Drops the unfinished line as soon as no LF can save it. One byte more than the longest line may still
    /// be the CR before the LF.
    fn drop_if_too_long(&mut self) {
        self.too_long |= self.end - self.start > LINE_BYTES_MAX + "\r".len();
        if self.too_long {
            self.start = self.end;
        }
    }

    /// Moves what is left to the front, but only if the longest line would not fit where it is. A line that
    /// was moved is at the front, so it is moved no second time.
    fn make_room(&mut self) {
        let fits = N - self.start >= LINE_BYTES_MAX + "\r\n".len();
        if self.start < self.end && fits {
            return;
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.scanned -= self.start;
        self.end -= self.start;
        self.start = 0;
    }
}
