//! Formats every line that the server sends, without allocation.
//!
//! This module owns the format of the lines. It does not know when or how the lines are sent. Each line ends with LF.
//! Numbers and the module's own words always fit. If a name or text of the caller does not fit, it is cut; the LF is
//! always there. Texts of other clients go only into [`msg`], which escapes them.

use core::fmt::{self, Write};
use core::ops::Range;

use heapless::{Vec, VecView};
use itoa::Buffer as Decimal;

pub use super::farewell::Farewell;
pub use super::nak::Nak;
pub use super::refusal::Refusal;

use super::escape::escape;
use super::handler_text::HandlerText;
use crate::limits::{ANSWER_LINE_BYTES_MAX, CUT_MARK, NUMBER_BYTES_MAX, REPLY_BYTES_MAX};
use crate::protocol::Priority;

/// A line that is not a closing reply: one of a listing (`WHO`, `STAT`, `HELP`), or `LOST`.
pub type Line = Vec<u8, ANSWER_LINE_BYTES_MAX>;

/// A batch has no room for another line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchFull;

// The four closing replies: each line of a client gets one of them. They are written directly into the outbox, and
// take at most REPLY_BYTES_MAX there.

/// Acknowledges these lines as processed messages, with consecutive IDs from `first_id` on. `are_lowered` says that
/// their priority was lower than the sender wanted.
pub fn acks(out: &mut VecView<u8>, lines: Range<u64>, first_id: u64, are_lowered: bool) {
    // Two cases, because the usual line is copied faster without room for the remark.
    if are_lowered {
        count::<{ PLAIN_ACK_BYTES_MAX + LOWERED.len() }>(out, lines, first_id, LOWERED);
    } else {
        count::<PLAIN_ACK_BYTES_MAX>(out, lines, first_id, "");
    }
}

/// The remark in the `ACK` of a message whose priority was lowered.
const LOWERED: &str = " lowered";

const PLAIN_ACK_BYTES_MAX: usize =
    "ACK ".len() + NUMBER_BYTES_MAX + " ".len() + NUMBER_BYTES_MAX + "\n".len();

const _: () = assert!(PLAIN_ACK_BYTES_MAX + LOWERED.len() <= REPLY_BYTES_MAX);

#[inline]
fn count<const N: usize>(out: &mut VecView<u8>, lines: Range<u64>, first_id: u64, remark: &'static str) {
    let mut ack = Ack::<N>::new(lines.start, first_id, remark);
    for _ in lines {
        ack.append_to(out);
        ack.increment();
    }
}

/// An `ACK` line that is incremented in place: both numbers are usually one more than in the previous line.
///
/// The last digits are stored apart. A byte that was just written delays a read of the word that contains it. So the
/// template, which is copied each time, is written to only when a tens digit changes.
struct Ack<const N: usize> {
    n: u64,
    id: u64,
    remark: &'static str,
    template: [u8; N],
    len: usize,
    last_digits: [LastDigit; 2],
}

/// The last digit of a number, and its position.
#[derive(Clone, Copy)]
struct LastDigit {
    place: usize,
    digit: u8,
}

impl<const N: usize> Ack<N> {
    fn new(n: u64, id: u64, remark: &'static str) -> Self {
        let mut line = Vec::<u8, N>::new();
        append(&mut line, &["ACK ", Decimal::new().format(n), " ", Decimal::new().format(id), remark]);
        let mut template = [0; N];
        template[..line.len()].copy_from_slice(&line);
        let ends = ["ACK ".len() + Decimal::new().format(n).len(), line.len() - remark.len() - "\n".len()];
        let last_digits = ends.map(|end| LastDigit { place: end - 1, digit: template[end - 1] });
        Self { n, id, remark, template, len: line.len(), last_digits }
    }

    fn append_to(&self, out: &mut VecView<u8>) {
        let start = out.len();
        // The whole array: a copy of constant length takes a few instructions.
        if out.extend_from_slice(&self.template).is_ok() {
            let line = &mut out[start..];
            self.last_digits.iter().for_each(|last| line[last.place] = last.digit);
            out.truncate(start + self.len);
        }
    }

    fn increment(&mut self) {
        (self.n, self.id) = (self.n.wrapping_add(1), self.id.wrapping_add(1));
        for last in &mut self.last_digits {
            last.digit += 1;
            if last.digit > b'9' {
                last.digit = b'0';
                if !count_up(&mut self.template[..last.place]) {
                    *self = Self::new(self.n, self.id, self.remark);
                    return;
                }
            }
        }
    }
}

/// Adds one to the decimal number at the end of `bytes`. Returns false if the number needs another digit; then it is no
/// longer valid.
fn count_up(bytes: &mut [u8]) -> bool {
    for digit in bytes.iter_mut().rev() {
        match digit {
            b'9' => *digit = b'0',
            b'0'..=b'8' => {
                *digit += 1;
                return true;
            }
            _ => return false,
        }
    }
    false
}

/// Refuses line `n`, a message.
pub fn nak(out: &mut VecView<u8>, n: u64, reason: Nak) {
    append(out, &["NAK ", Decimal::new().format(n), " ", reason.as_str()]);
}

/// Acknowledges line `n` as a message that a handler has processed, with the handler's text, if there is one. The line
/// takes at most `bytes_max`, at least [`REPLY_BYTES_MAX`]: the text is cut if it does not fit.
pub fn ack_with(
    out: &mut VecView<u8>,
    n: u64,
    id: u64,
    is_lowered: bool,
    text: &HandlerText,
    bytes_max: usize,
) {
    let (mut line, mut number) = (Decimal::new(), Decimal::new());
    let remark = if is_lowered { LOWERED } else { "" };
    append_with(out, &["ACK ", line.format(n), " ", number.format(id), remark], text, bytes_max);
}

/// Refuses line `n`, a message, with the text of a handler, if there is one, as [`ack_with`].
pub fn nak_with(out: &mut VecView<u8>, n: u64, reason: Nak, text: &HandlerText, bytes_max: usize) {
    append_with(out, &["NAK ", Decimal::new().format(n), " ", reason.as_str()], text, bytes_max);
}

/// Appends the parts; then an equals sign and the text, if there is a text; and then the LF: at most `bytes_max` bytes.
fn append_with<const N: usize>(
    out: &mut VecView<u8>,
    parts: &[&str; N],
    text: &HandlerText,
    bytes_max: usize,
) {
    if text.is_empty() {
        return append(out, parts);
    }
    let before = parts.iter().map(|part| part.len()).sum::<usize>() + BEFORE_TEXT.len() + "\n".len();
    let escaped = text.escaped(bytes_max.saturating_sub(before));
    for part in parts {
        // It fits.
        let _ = out.extend_from_slice(part.as_bytes());
    }
    append(out, &[BEFORE_TEXT, &escaped]);
}

/// The separator between the text of a handler and the rest of a reply.
const BEFORE_TEXT: &str = " = ";
const _: () = assert!(
    PLAIN_ACK_BYTES_MAX + LOWERED.len() + BEFORE_TEXT.len() + CUT_MARK.len() <= REPLY_BYTES_MAX,
    "the room that is reserved for a reply shows at least that there is a text"
);

/// A task for a handler: its number on the handler's connection, and how long the handler has. It escapes the text.
///
/// # Errors
/// If `out` is full; it then holds a part. With room for [`TASK_BYTES_MAX`](crate::limits::TASK_BYTES_MAX) it is never
/// full.
pub fn task(
    out: &mut VecView<u8>,
    number: u64,
    priority: Priority,
    left_ms: u64,
    from: &str,
    text: &[u8],
) -> fmt::Result {
    write_numbered(out, "TASK ", number, priority)?;
    out.write_str(" ")?;
    out.write_str(Decimal::new().format(left_ms))?;
    write_message(out, from, text)
}

/// Confirms line `n`, a command.
pub fn ok(out: &mut VecView<u8>, n: u64) {
    append(out, &["OK ", Decimal::new().format(n)]);
}

/// Confirms line `n`, a command, with an answer.
pub fn ok_with(out: &mut VecView<u8>, n: u64, answer: &str) {
    append(out, &["OK ", Decimal::new().format(n), " ", answer]);
}

/// Refuses line `n`, a command.
pub fn err(out: &mut VecView<u8>, n: u64, reason: Refusal) {
    let mut number = Decimal::new();
    let behind = match reason {
        Refusal::AheadOfHistory(newest) => number.format(newest),
        _ => reason.advice(),
    };
    append(out, &["ERR ", Decimal::new().format(n), " ", reason.as_str(), " ", behind]);
}

/// Reports that `count` messages were not sent, because the client read too slowly or the journal no longer has them.
pub fn lost(count: u64) -> Line {
    line(&["LOST ", Decimal::new().format(count)])
}

/// A connected client: its least priority, if it has joined, and the seconds since it last sent something.
pub fn who(from: &str, joined: Option<Priority>, idle_s: u64) -> Line {
    let mut idle_digits = Decimal::new();
    let idle_s = idle_digits.format(idle_s);
    match joined {
        Some(min) => line(&["WHO ", from, " p", Decimal::new().format(min.number()), " ", idle_s]),
        None => line(&["WHO ", from, " - ", idle_s]),
    }
}

/// One of the server's counters.
pub fn stat(name: &str, value: u64) -> Line {
    line(&["STAT ", name, " ", Decimal::new().format(value)])
}

/// One line of the help.
pub fn help(text: &str) -> Line {
    line(&["HELP ", text])
}

/// Appends message `id` to a batch of lines, and returns its span. It escapes the text. `from` is a nick or an
/// address, which needs no escaping.
///
/// # Errors
/// If the batch is full; then it does not change. With room for [`MSG_BYTES_MAX`](crate::limits::MSG_BYTES_MAX) it is
/// never full.
pub fn msg(
    batch: &mut VecView<u8>,
    id: u64,
    priority: Priority,
    from: &str,
    text: &[u8],
) -> Result<Range<usize>, BatchFull> {
    let start = batch.len();
    let written = write_numbered(batch, "MSG ", id, priority).and_then(|()| write_message(batch, from, text));
    if written.is_err() {
        batch.truncate(start);
        return Err(BatchFull);
    }
    Ok(start..batch.len())
}

// These two write a line piece by piece, because that is faster than `write!`.

/// Writes the beginning of a line about a message: its word, a number and the priority.
#[inline]
fn write_numbered(out: &mut VecView<u8>, word: &str, number: u64, priority: Priority) -> fmt::Result {
    out.write_str(word)?;
    out.write_str(Decimal::new().format(number))?;
    out.write_str(" p")?;
    out.write_char(char::from(priority.digit()))
}

/// Writes the end of a line about a message: its sender, and the escaped text.
#[inline]
fn write_message(out: &mut VecView<u8>, from: &str, text: &[u8]) -> fmt::Result {
    out.write_str(" ")?;
    out.write_str(from)?;
    out.write_str(" ")?;
    escape(text, out)?;
    out.write_str("\n")
}

fn line(parts: &[&str]) -> Line {
    let mut line = Line::new();
    append(&mut line, parts);
    line
}

/// Appends the parts and the LF. Parts that do not fit before the LF are cut.
#[inline]
fn append(out: &mut VecView<u8>, parts: &[&str]) {
    for part in parts {
        let room = (out.capacity() - out.len()).saturating_sub("\n".len());
        let fitting = &part.as_bytes()[..part.len().min(room)];
        // It fits.
        let _ = out.extend_from_slice(fitting);
    }
    let _ = out.push(b'\n');
}

#[cfg(test)]
mod tests;
