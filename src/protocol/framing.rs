//! The framer: splits received bytes into lines.
//!
//! It manages the bytes in one client's receive buffer and nothing else: it knows neither the socket nor the meaning
//! of a line. The buffer itself belongs to the caller.
//!
//! A line ends with LF; one CR directly before the LF is dropped. The framer drops the bytes of a line of more than
//! [`LINE_BYTES_MAX`] bytes as they arrive, and returns one [`Frame::TooLong`] *when the LF arrives*. So replies keep
//! the order of the lines, and the tail of such a line never counts as a line.
//!
//! The framer searches every byte once, and moves it at most once if the caller takes lines before it receives more.
//! So a client that sends single bytes costs no more than its bytes.

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
    /// There is no LF between `start` and here.
    scanned: usize,
    /// The end of the received bytes.
    end: usize,
    /// The line at `start` is too long. Its bytes so far are dropped.
    too_long: bool,
    /// No more bytes will arrive.
    ended: bool,
}

impl<'b, const N: usize> Framer<'b, N> {
    /// A framer over a buffer that holds the longest line with its end. A smaller buffer does not compile.
    pub const fn new(buffer: &'b mut [u8; N]) -> Self {
        const { assert!(N >= ENDED_LINE_BYTES_MAX, "a whole line must fit the receive buffer") };
        Self { buffer, start: 0, scanned: 0, end: 0, too_long: false, ended: false }
    }

    /// The free part of the buffer, to receive into.
    ///
    /// It is never empty after [`next`](Self::next) has returned none, unless [`end`](Self::end) was called. It may be
    /// empty while lines wait: then a receive would return 0 bytes, as at the end.
    pub fn free(&mut self) -> &mut [u8] {
        if self.ended {
            return &mut [];
        }
        self.make_room();
        &mut self.buffer[self.end..]
    }

    /// Reports that the first `count` bytes of [`free`](Self::free) were received. A `count` beyond the free part
    /// counts as all of it.
    pub fn commit(&mut self, count: usize) {
        let room = if self.ended { 0 } else { N - self.end };
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
        self.ended = true;
    }

    /// The next whole line, if there is one. It stays in the buffer until the next call of any method.
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

    /// Whether [`next`](Self::next) would return a line.
    pub fn has_next(&mut self) -> bool {
        match memchr(b'\n', &self.buffer[self.scanned..self.end]) {
            Some(distance) => {
                self.scanned += distance;
                true
            }
            None => {
                self.scanned = self.end;
                self.ended && self.has_last()
            }
        }
    }

    /// The received bytes from the beginning of the next line on. Empty if that line is too long.
    pub fn pending(&self) -> &[u8] {
        if self.too_long { &[] } else { &self.buffer[self.start..self.end] }
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
        self.too_long
    }

    /// Whether a line has begun whose end has not arrived. Call it only after [`next`](Self::next) has returned none,
    /// or [`has_next`](Self::has_next) false.
    pub fn is_within_line(&self) -> bool {
        self.scanned == self.end && self.has_last()
    }

    /// Resets the framer for another client. Nothing of the former client is left, not even in the buffer.
    pub fn reset(&mut self) {
        let Self { buffer, start, scanned, end, too_long, ended } = self;
        buffer.fill(0);
        (*start, *scanned, *end) = (0, 0, 0);
        (*too_long, *ended) = (false, false);
    }

    /// Whether there are bytes without LF at the end.
    fn has_last(&self) -> bool {
        self.start < self.end || self.too_long
    }

    /// Takes the bytes without LF at the end, once, if there are any.
    fn take_last(&mut self) -> Option<Frame<'_>> {
        self.has_last().then(|| self.take(self.end, self.end))
    }

    /// Takes the line that ends at `line_end`. The next line begins at `next_start`.
    fn take(&mut self, line_end: usize, next_start: usize) -> Frame<'_> {
        let line = self.start..line_end;
        let too_long = self.too_long;
        self.start = next_start;
        self.scanned = next_start;
        self.too_long = false;
        if too_long { Frame::TooLong } else { self.frame(line) }
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
        self.too_long |= self.end - self.start > LINE_BYTES_MAX + "\r".len();
        if self.too_long {
            self.start = self.end;
        }
    }

    /// Moves the unfinished line to the front, but only if the longest line would not fit behind its start. A moved
    /// line is at the front, so it is not moved again.
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
mod tests {
    use super::*;
    use crate::limits::RECEIVE_BYTES;

    /// The size of the smallest buffer.
    const SMALLEST: usize = ENDED_LINE_BYTES_MAX;

    /// An owned frame.
    #[derive(Debug, PartialEq, Eq)]
    enum Seen {
        Line(Vec<u8>),
        TooLong,
    }

    fn line(bytes: impl AsRef<[u8]>) -> Seen {
        Seen::Line(bytes.as_ref().to_vec())
    }

    fn take_all<const N: usize>(framer: &mut Framer<'_, N>) -> Vec<Seen> {
        let mut seen = Vec::new();
        while let Some(frame) = framer.next() {
            seen.push(match frame {
                Frame::Line(bytes) => line(bytes),
                Frame::TooLong => Seen::TooLong,
            });
        }
        seen
    }

    /// Passes the bytes to the framer in as many receives as needed, and takes the lines.
    fn receive<const N: usize>(framer: &mut Framer<'_, N>, mut bytes: &[u8]) -> Vec<Seen> {
        let mut seen = Vec::new();
        while !bytes.is_empty() {
            let free = framer.free();
            let (now, later) = bytes.split_at(bytes.len().min(free.len()));
            free[..now.len()].copy_from_slice(now);
            framer.commit(now.len());
            seen.extend(take_all(framer));
            bytes = later;
        }
        seen
    }

    fn end<const N: usize>(framer: &mut Framer<'_, N>) -> Vec<Seen> {
        framer.end();
        take_all(framer)
    }

    #[test]
    fn lines_end_with_lf_and_lose_one_cr() {
        let mut buffer = [0; SMALLEST];
        let mut framer = Framer::new(&mut buffer);
        assert_eq!(
            receive(&mut framer, b"one\ntwo\r\n\n\r\n"),
            [line("one"), line("two"), line(""), line("")]
        );
        assert_eq!(receive(&mut framer, b"a\rb\r\r\n\0\xff\n"), [line("a\rb\r"), line(b"\0\xff")]);
        assert_eq!(end(&mut framer), []);
    }

    #[test]
    fn last_line_needs_no_lf_and_is_returned_once() {
        let mut buffer = [0; SMALLEST];
        let table: &[(&[u8], &[Seen])] =
            &[(b"", &[]), (b"hi", &[line("hi")]), (b"hi\r", &[line("hi")]), (b"\r", &[line("")])];
        for (last, expected) in table {
            let mut framer = Framer::new(&mut buffer);
            assert_eq!(receive(&mut framer, last), []);
            assert_eq!(end(&mut framer), *expected);
            assert_eq!(end(&mut framer), []);
        }
    }

    #[test]
    fn waiting_lines_are_returned_after_the_end() {
        let mut buffer = [0; SMALLEST];
        let mut framer = Framer::new(&mut buffer);
        framer.free()[..8].copy_from_slice(b"one\ntwo\n");
        framer.commit(8);
        assert_eq!(end(&mut framer), [line("one"), line("two")]);
    }

    #[test]
    fn nothing_is_received_after_the_end() {
        let mut buffer = [b'x'; SMALLEST];
        let mut framer = Framer::new(&mut buffer);
        framer.end();
        assert!(framer.free().is_empty());
        framer.commit(1);
        assert_eq!(take_all(&mut framer), []);
    }

    #[test]
    fn the_longest_line_and_one_byte_more() {
        let mut buffer = [0; SMALLEST];
        let longest = vec![b'x'; LINE_BYTES_MAX];
        let longer = vec![b'x'; LINE_BYTES_MAX + 1];
        for ending in ["\n", "\r\n", "\r", ""] {
            let mut framer = Framer::new(&mut buffer);
            let mut seen = receive(&mut framer, &[&longest[..], ending.as_bytes()].concat());
            seen.extend(end(&mut framer));
            assert_eq!(seen, [line(&longest)], "{ending:?}");

            framer.reset();
            let mut seen = receive(&mut framer, &[&longer[..], ending.as_bytes()].concat());
            seen.extend(end(&mut framer));
            assert_eq!(seen, [Seen::TooLong], "{ending:?}");
        }
    }

    #[test]
    fn line_that_is_too_long_is_returned_once_at_its_lf() {
        let mut buffer = [0; RECEIVE_BYTES];
        let mut framer = Framer::new(&mut buffer);
        for _ in 0..100 {
            assert_eq!(receive(&mut framer, &[b'x'; RECEIVE_BYTES]), []);
        }
        assert_eq!(receive(&mut framer, b"tail\nnext\n"), [Seen::TooLong, line("next")]);
        assert_eq!(end(&mut framer), []);
    }

    #[test]
    fn each_byte_is_searched_once() {
        let mut buffer = [0; RECEIVE_BYTES];
        let mut framer = Framer::new(&mut buffer);
        for received in 1..=LINE_BYTES_MAX {
            assert_eq!(receive(&mut framer, b"x"), []);
            assert_eq!((framer.start, framer.scanned, framer.end), (0, received, received));
        }
    }

    #[test]
    fn unfinished_line_moves_only_if_the_longest_line_would_not_fit() {
        let mut buffer = [0; SMALLEST + 10];
        let mut framer = Framer::new(&mut buffer);
        receive(&mut framer, b"123456789\nab");
        assert_eq!((framer.free().len(), framer.start), (SMALLEST - 2, 10));
        receive(&mut framer, b"\nab");
        assert_eq!((framer.free().len(), framer.start), (SMALLEST + 8, 0));
    }

    #[test]
    fn begun_line_is_known_until_its_end() {
        let mut buffer = [0; SMALLEST];
        let mut framer = Framer::new(&mut buffer);
        assert!(!framer.is_within_line());
        for part in ["x".to_string(), "\r".to_string(), "x".repeat(LINE_BYTES_MAX), "y".to_string()] {
            receive(&mut framer, part.as_bytes());
            assert!(framer.is_within_line());
        }
        assert_eq!(receive(&mut framer, b"\n"), [Seen::TooLong]);
        assert!(!framer.is_within_line());
        let free = framer.free();
        free[..3].copy_from_slice(b"a\nb");
        framer.commit(3);
        assert!(framer.has_next() && !framer.is_within_line(), "a whole line waits");
        assert_eq!(take_all(&mut framer), [line("a")]);
        assert!(framer.is_within_line());
    }

    #[test]
    fn skipped_bytes_are_no_part_of_the_line() {
        let mut buffer = [0; SMALLEST];
        let mut framer = Framer::new(&mut buffer);
        receive(&mut framer, b"abc");
        assert_eq!(framer.pending(), b"abc");
        framer.skip(2);
        assert_eq!(framer.pending(), b"c");
        assert_eq!(receive(&mut framer, b"d\n"), [line("cd")]);
        receive(&mut framer, b"ab");
        framer.skip(9);
        assert_eq!(receive(&mut framer, b"\n"), [line("")]);
        receive(&mut framer, &[b'x'; LINE_BYTES_MAX + 2]);
        assert_eq!(framer.pending(), b"", "a line that is too long has no pending bytes");
    }

    #[test]
    fn erasing_keys_remove_the_character_before_in_the_same_line() {
        let table: [(&[&str], &[&str]); 8] = [
            (&["smk\x08oke\n"], &["smoke"]),
            (&["s", "m", "k", "\x7f", "\x08", "moke\r\n"], &["smoke"]),
            (&["caf\u{e9}", "\x08", "e\n"], &["cafe"]),
            (&["\x08\x08a\n"], &["a"]),
            (&["ab\x08\x08\x08\x08\x08c\n"], &["c"]),
            (&["one\n", "\x08two\n"], &["one", "two"]),
            (&["one\n\x7f\x7ftwo\n"], &["one", "two"]),
            (&["", "\n"], &[""]),
        ];
        for (parts, expected) in table {
            let mut buffer = [0; SMALLEST];
            let (mut framer, mut seen) = (Framer::new(&mut buffer), Vec::new());
            for part in parts {
                framer.free()[..part.len()].copy_from_slice(part.as_bytes());
                framer.commit(part.len());
                framer.erase(part.len());
                seen.extend(take_all(&mut framer));
            }
            assert_eq!(seen, expected.iter().map(line).collect::<Vec<_>>(), "{parts:?}");
            assert!(!framer.is_within_line());
        }
        let mut buffer = [0; SMALLEST];
        let mut framer = Framer::new(&mut buffer);
        receive(&mut framer, &[b'x'; LINE_BYTES_MAX + 2]);
        framer.free()[0] = 0x08;
        framer.commit(1);
        framer.erase(1);
        assert_eq!(receive(&mut framer, b"\n"), [Seen::TooLong], "dropped bytes do not come back");
    }

    #[test]
    fn whole_buffer_is_free_when_nothing_is_left() {
        let mut buffer = [0; RECEIVE_BYTES];
        let mut framer = Framer::new(&mut buffer);
        receive(&mut framer, b"hi\n");
        assert_eq!(framer.free().len(), RECEIVE_BYTES);
    }

    #[test]
    fn reset_leaves_no_bytes_of_the_former_client() {
        let mut buffer = [0; RECEIVE_BYTES];
        let mut framer = Framer::new(&mut buffer);
        receive(&mut framer, &[b'x'; 2 * LINE_BYTES_MAX]);
        receive(&mut framer, b"\nsecret");
        framer.end();
        framer.reset();
        assert_eq!(framer.free(), [0; RECEIVE_BYTES]);
        assert_eq!(receive(&mut framer, b"hi\n"), [line("hi")]);
    }

    #[test]
    fn count_beyond_the_free_part_counts_as_all_of_it() {
        let mut buffer = [b'\n'; SMALLEST];
        let mut framer = Framer::new(&mut buffer);
        framer.commit(usize::MAX);
        assert_eq!(take_all(&mut framer).len(), SMALLEST);
    }
}
