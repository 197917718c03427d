//! Formats every line that the server sends, without allocation.
//!
//! This module owns the words and the format of the lines. It does not know when or how they are sent. Each line ends
//! with LF. Numbers and the module's own words always fit. A name or text of the caller that does not fit is cut, but
//! never the LF. Texts of other clients go only into [`msg`], which escapes them.

use core::fmt::{self, Write};
use core::ops::Range;

use heapless::{Vec, VecView};
use itoa::Buffer as Decimal;

use super::escape::escape;
use super::foreign::Foreign;
use super::handler_text::HandlerText;
use crate::limits::{ANSWER_LINE_BYTES_MAX, CUT_MARK, NUMBER_BYTES_MAX, REPLY_BYTES_MAX};
use crate::protocol::Priority;

/// A line that is not a closing reply: one of a listing (`WHO`, `STAT`, `HELP`), or `LOST`.
pub type Line = Vec<u8, ANSWER_LINE_BYTES_MAX>;

/// Why the server refuses a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nak {
    /// The text or the line is too long.
    TooLong,
    /// The text is empty.
    Empty,
    /// The server shuts down, and takes no more messages.
    ShuttingDown,
    /// The message could not be printed, as `--print` promises.
    PrintFailed,
    /// The message could not be written to the journal, as `--journal` promises.
    JournalFailed,
    /// The sender has to show a token first.
    NotAuthenticated,
    /// A handler refused it: it was not done.
    HandlerRefused,
    /// No handler took it in time: it was not begun.
    NoHandler,
    /// Its handler did not finish in time: it may have been done.
    HandlerTimeout,
    /// The connection of its handler ended: it may have been done.
    HandlerLost,
}

impl Nak {
    /// All reasons, by their [`index`](Self::index).
    pub const ALL: [Self; 10] = [
        Self::TooLong,
        Self::Empty,
        Self::ShuttingDown,
        Self::PrintFailed,
        Self::JournalFailed,
        Self::NotAuthenticated,
        Self::HandlerRefused,
        Self::NoHandler,
        Self::HandlerTimeout,
        Self::HandlerLost,
    ];
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The index into a table of [`Nak::COUNT`] entries.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The one word of the reply.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "too-long",
            Self::Empty => "empty",
            Self::ShuttingDown => "shutting-down",
            Self::PrintFailed => "print-failed",
            Self::JournalFailed => "journal-failed",
            Self::NotAuthenticated => "not-authenticated",
            Self::HandlerRefused => "handler-refused",
            Self::NoHandler => "no-handler",
            Self::HandlerTimeout => "handler-timeout",
            Self::HandlerLost => "handler-lost",
        }
    }
}

/// Why the server refuses a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such command; with what the client may have meant.
    UnknownCommand(&'static str),
    /// The argument is missing, malformed or not allowed; with what is allowed.
    BadArgument(&'static str),
    /// A connected client has that nick.
    NickTaken,
    /// The server has no journal.
    NoJournal,
    /// The journal cannot be read.
    JournalFailed,
    /// The position is ahead of the history; with the ID of the newest message, or 0.
    AheadOfHistory(u64),
    /// The server shuts down, and takes no more commands.
    ShuttingDown,
    /// The client has to show a token first.
    NotAuthenticated,
    /// The token is wrong.
    WrongToken,
    /// The server needs no tokens.
    NoAuth,
    /// The client's token does not give the right to that; with the reason.
    NotPermitted(&'static str),
    /// The server gives no tasks to handlers.
    NoHandling,
    /// There are too many handlers already.
    HandlersFull,
    /// The client has no such task.
    NotYours,
}

impl Refusal {
    /// The one word of the reply.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownCommand(_) => "unknown-command",
            Self::BadArgument(_) => "bad-argument",
            Self::NickTaken => "nick-taken",
            Self::NoJournal => "no-journal",
            Self::JournalFailed => "journal-failed",
            Self::AheadOfHistory(_) => "ahead-of-history",
            Self::ShuttingDown => "shutting-down",
            Self::NotAuthenticated => "not-authenticated",
            Self::WrongToken => "wrong-token",
            Self::NoAuth => "no-auth",
            Self::NotPermitted(_) => "not-permitted",
            Self::NoHandling => "no-handling",
            Self::HandlersFull => "handlers-full",
            Self::NotYours => "not-yours",
        }
    }

    /// A few words after the reason: what the client can do. After [`Refusal::AheadOfHistory`] there is only its
    /// number.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::UnknownCommand(advice) | Self::BadArgument(advice) => advice,
            Self::NickTaken => "try another",
            Self::NoJournal => "start the server with --journal",
            Self::JournalFailed => "see the server's log",
            Self::AheadOfHistory(_) => "",
            Self::ShuttingDown => "try again later",
            Self::NotAuthenticated => "say /auth TOKEN first",
            Self::WrongToken => "nobody has that one",
            Self::NoAuth => "this server asks for no token",
            Self::NotPermitted(reason) => reason,
            Self::NoHandling => "start the server with --handle",
            Self::HandlersFull => "there are as many handlers as may be",
            Self::NotYours => "you have no such task any more",
        }
    }
}

/// Why the server closes a connection, with the last line that the client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// All places are taken.
    Full,
    /// The client's address has its share of places already.
    AddressFull,
    /// The client's address may not connect.
    NotAllowed,
    /// The client sent nothing for too long.
    Idle,
    /// The client was idle, and another client needs its place.
    GaveWay,
    /// The client did not read its replies for too long.
    TooSlow,
    /// The client did not end a line that it had begun.
    LineTimeout,
    /// The client speaks another protocol.
    Foreign(Foreign),
    /// The client showed too many wrong tokens.
    WrongToken,
    /// The client showed no token in time.
    NotAuthenticated,
    /// The client's token no longer gives the rights that it gave.
    TokenWithdrawn,
    /// The client sent `/quit`.
    Quit,
    /// The server shuts down.
    ShuttingDown,
}

impl Farewell {
    /// All farewells, in the order of their indices.
    pub const ALL: [Self; 19] = [
        Self::Full,
        Self::AddressFull,
        Self::NotAllowed,
        Self::Idle,
        Self::GaveWay,
        Self::TooSlow,
        Self::LineTimeout,
        Self::Foreign(Foreign::Http),
        Self::Foreign(Foreign::Tls),
        Self::Foreign(Foreign::Ssh),
        Self::Foreign(Foreign::Mqtt),
        Self::Foreign(Foreign::Redis),
        Self::Foreign(Foreign::Proxy),
        Self::Foreign(Foreign::Utf16),
        Self::WrongToken,
        Self::NotAuthenticated,
        Self::TokenWithdrawn,
        Self::Quit,
        Self::ShuttingDown,
    ];
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The index in [`Farewell::ALL`].
    pub fn index(self) -> usize {
        Self::ALL.iter().position(|other| *other == self).unwrap_or_default()
    }

    /// The name in the counters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::AddressFull => "address-full",
            Self::NotAllowed => "not-allowed",
            Self::Idle => "idle",
            Self::GaveWay => "gave-way",
            Self::TooSlow => "too-slow",
            Self::LineTimeout => "line-timeout",
            Self::Foreign(Foreign::Http) => "not-http",
            Self::Foreign(Foreign::Tls) => "not-tls",
            Self::Foreign(Foreign::Ssh) => "not-ssh",
            Self::Foreign(Foreign::Mqtt) => "not-mqtt",
            Self::Foreign(Foreign::Redis) => "not-redis",
            Self::Foreign(Foreign::Proxy) => "not-proxy",
            Self::Foreign(Foreign::Utf16) => "not-utf-16",
            Self::WrongToken => "wrong-token",
            Self::NotAuthenticated => "not-authenticated",
            Self::TokenWithdrawn => "token-withdrawn",
            Self::Quit => "quit",
            Self::ShuttingDown => "shutting-down",
        }
    }

    /// The line for the client.
    pub const fn line(self) -> &'static str {
        match self {
            Self::Full => "ERR 0 full all seats are taken; try again later\n",
            Self::AddressFull => {
                "ERR 0 address-full close another connection of your address, or raise --per-address\n"
            }
            Self::NotAllowed => "ERR 0 not-allowed --allow does not let your address in\n",
            Self::Idle | Self::GaveWay => "ERR 0 idle\n",
            Self::TooSlow => "ERR 0 too-slow\n",
            Self::LineTimeout => "ERR 0 line-timeout end each line with LF\n",
            Self::Foreign(Foreign::Http) => "ERR 0 not-http this is firstline: speak to it with nc\n",
            Self::Foreign(Foreign::Tls) => {
                "ERR 0 not-tls this is firstline: speak to it with nc, in plain text\n"
            }
            Self::Foreign(Foreign::Ssh) => "ERR 0 not-ssh this is firstline: speak to it with nc\n",
            Self::Foreign(Foreign::Mqtt) => "ERR 0 not-mqtt this is firstline: speak to it with nc\n",
            Self::Foreign(Foreign::Redis) => "ERR 0 not-redis this is firstline: speak to it with nc\n",
            Self::Foreign(Foreign::Proxy) => {
                "ERR 0 not-proxy this is firstline: have the proxy send no PROXY header\n"
            }
            Self::Foreign(Foreign::Utf16) => {
                "ERR 0 not-utf-16 this is firstline: send UTF-8 (PowerShell: Out-File -Encoding utf8)\n"
            }
            Self::WrongToken => "ERR 0 wrong-token\n",
            Self::NotAuthenticated => "ERR 0 not-authenticated say /auth TOKEN first\n",
            Self::TokenWithdrawn => "ERR 0 token-withdrawn\n",
            Self::Quit => "BYE quit\n",
            Self::ShuttingDown => "BYE shutting-down\n",
        }
    }
}

/// A batch has no room for another line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchFull;

// The four closing replies: each line of a client gets one of them. They are written directly into the outbox, and
// take at most REPLY_BYTES_MAX there.

/// Acknowledges these lines as processed messages, with consecutive IDs from `first_id` on. `are_lowered`: their
/// priority was lower than the sender wanted.
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

/// An `ACK` line that is incremented in place: both numbers are usually one more than in the line before.
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

/// Adds one to the decimal number at the end of `bytes`; false: the number needs another digit, and is no longer
/// valid.
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

/// Appends the parts, the text behind an equals sign, if there is one, and the LF: at most `bytes_max`.
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

/// What separates the text of a handler from the rest of a reply.
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
    out.write_str("TASK ")?;
    out.write_str(Decimal::new().format(number))?;
    out.write_str(" p")?;
    out.write_char(char::from(priority.digit()))?;
    out.write_str(" ")?;
    out.write_str(Decimal::new().format(left_ms))?;
    out.write_str(" ")?;
    out.write_str(from)?;
    out.write_str(" ")?;
    escape(text, out)?;
    out.write_str("\n")
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
    if write_msg(batch, id, priority, from, text).is_err() {
        batch.truncate(start);
        return Err(BatchFull);
    }
    Ok(start..batch.len())
}

/// Writes the `MSG` line piece by piece, because that is faster than `write!`.
fn write_msg(out: &mut VecView<u8>, id: u64, priority: Priority, from: &str, text: &[u8]) -> fmt::Result {
    out.write_str("MSG ")?;
    out.write_str(Decimal::new().format(id))?;
    out.write_str(" p")?;
    out.write_char(char::from(priority.digit()))?;
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

/// Appends the parts and the LF. What does not fit before the LF is cut.
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
mod tests {
    use super::*;
    use crate::limits::{
        FROM_BYTES_MAX, HANDLER_TEXT_BYTES, MSG_BYTES_MAX, TASK_BYTES_MAX, TEXT_BYTES, TEXT_REPLY_BYTES_MAX,
    };

    const REFUSALS: [Refusal; 14] = [
        Refusal::UnknownCommand("try /help; //TEXT sends /TEXT"),
        Refusal::BadArgument("MIN is one digit, 0 to 9"),
        Refusal::NickTaken,
        Refusal::NoJournal,
        Refusal::JournalFailed,
        Refusal::AheadOfHistory(u64::MAX),
        Refusal::ShuttingDown,
        Refusal::NotAuthenticated,
        Refusal::WrongToken,
        Refusal::NoAuth,
        Refusal::NotPermitted("your token says your name"),
        Refusal::NoHandling,
        Refusal::HandlersFull,
        Refusal::NotYours,
    ];

    /// A closing reply, in as much room as an outbox reserves.
    fn closing(write: impl FnOnce(&mut VecView<u8>)) -> Vec<u8, REPLY_BYTES_MAX> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    #[test]
    fn closing_replies() {
        assert_eq!(closing(|out| acks(out, 3..4, 17, false)), b"ACK 3 17\n");
        assert_eq!(closing(|out| acks(out, 3..4, 17, true)), b"ACK 3 17 lowered\n");
        assert_eq!(closing(|out| acks(out, 3..3, 17, false)), b"");
        assert_eq!(closing(|out| acks(out, 98..101, 9, false)), b"ACK 98 9\nACK 99 10\nACK 100 11\n");
        assert_eq!(closing(|out| ok(out, 0)), b"OK 0\n");
        assert_eq!(closing(|out| ok_with(out, 7, "alice")), b"OK 7 alice\n");
        let naks = Nak::ALL.map(|reason| closing(|out| nak(out, 5, reason)));
        let expected: [&[u8]; Nak::COUNT] = [
            b"NAK 5 too-long\n",
            b"NAK 5 empty\n",
            b"NAK 5 shutting-down\n",
            b"NAK 5 print-failed\n",
            b"NAK 5 journal-failed\n",
            b"NAK 5 not-authenticated\n",
            b"NAK 5 handler-refused\n",
            b"NAK 5 no-handler\n",
            b"NAK 5 handler-timeout\n",
            b"NAK 5 handler-lost\n",
        ];
        assert_eq!(naks, expected);
        let errs = REFUSALS.map(|reason| closing(|out| err(out, 5, reason)));
        let expected: [&[u8]; REFUSALS.len()] = [
            b"ERR 5 unknown-command try /help; //TEXT sends /TEXT\n",
            b"ERR 5 bad-argument MIN is one digit, 0 to 9\n",
            b"ERR 5 nick-taken try another\n",
            b"ERR 5 no-journal start the server with --journal\n",
            b"ERR 5 journal-failed see the server's log\n",
            b"ERR 5 ahead-of-history 18446744073709551615\n",
            b"ERR 5 shutting-down try again later\n",
            b"ERR 5 not-authenticated say /auth TOKEN first\n",
            b"ERR 5 wrong-token nobody has that one\n",
            b"ERR 5 no-auth this server asks for no token\n",
            b"ERR 5 not-permitted your token says your name\n",
            b"ERR 5 no-handling start the server with --handle\n",
            b"ERR 5 handlers-full there are as many handlers as may be\n",
            b"ERR 5 not-yours you have no such task any more\n",
        ];
        assert_eq!(errs, expected);
    }

    #[test]
    fn the_longest_numbers_fit() {
        let number = u64::MAX.to_string();
        for (is_lowered, remark) in [(false, ""), (true, " lowered")] {
            let longest = closing(|out| acks(out, u64::MAX - 1..u64::MAX, u64::MAX, is_lowered));
            assert_eq!(longest, format!("ACK {} {number}{remark}\n", u64::MAX - 1).as_bytes());
        }
        assert_eq!(closing(|out| ok(out, u64::MAX)), format!("OK {number}\n").as_bytes());
        for reason in Nak::ALL {
            let [short, longest] = [5, u64::MAX].map(|n| closing(|out| nak(out, n, reason)));
            let short = str::from_utf8(&short).unwrap();
            assert_eq!(longest, short.replacen('5', &number, 1).as_bytes());
        }
        for reason in REFUSALS {
            let behind = match reason {
                Refusal::AheadOfHistory(newest) => newest.to_string(),
                _ => reason.advice().to_string(),
            };
            let expected = format!("ERR {number} {} {behind}\n", reason.as_str());
            assert_eq!(closing(|out| err(out, u64::MAX, reason)), expected.as_bytes());
        }
        let from = "f".repeat(FROM_BYTES_MAX);
        let expected = format!("WHO {from} p9 {number}\n");
        assert_eq!(who(&from, Some(Priority::URGENT), u64::MAX), expected.as_bytes());
        assert_eq!(lost(u64::MAX), format!("LOST {number}\n").as_bytes());
    }

    #[test]
    fn handlers_text_follows_the_reply_and_is_cut_to_the_room() {
        let text = HandlerText::new(b"the valve\nis shut");
        let with_room = |bytes_max| {
            let mut out: Vec<u8, TEXT_REPLY_BYTES_MAX> = Vec::new();
            ack_with(&mut out, 3, 17, true, &text, bytes_max);
            std::string::String::from_utf8(out.to_vec()).unwrap()
        };
        assert_eq!(with_room(TEXT_REPLY_BYTES_MAX), "ACK 3 17 lowered = the valve\\x0ais shut\n");
        assert_eq!(with_room(33), "ACK 3 17 lowered = the valve\\...\n");
        let plain = closing(|out| ack_with(out, 3, 17, false, &HandlerText::NONE, REPLY_BYTES_MAX));
        assert_eq!(plain, b"ACK 3 17\n");
        let refused = HandlerText::new(b"no");
        let nak = closing(|out| nak_with(out, 5, Nak::HandlerRefused, &refused, REPLY_BYTES_MAX));
        assert_eq!(nak, b"NAK 5 handler-refused = no\n");
        let longest = HandlerText::new(&[0xff; HANDLER_TEXT_BYTES]);
        for bytes_max in [REPLY_BYTES_MAX, TEXT_REPLY_BYTES_MAX] {
            let mut out: Vec<u8, TEXT_REPLY_BYTES_MAX> = Vec::new();
            ack_with(&mut out, u64::MAX, u64::MAX, true, &longest, bytes_max);
            assert!(out.len() <= bytes_max && out.ends_with(b"\n"));
            assert_eq!(out.windows(4).any(|part| part == CUT_MARK.as_bytes()), bytes_max == REPLY_BYTES_MAX);
        }
    }

    #[test]
    fn tasks_are_escaped_and_the_longest_one_fits_exactly() {
        let mut out: Vec<u8, TASK_BYTES_MAX> = Vec::new();
        task(&mut out, 7, Priority::URGENT, 30_000, "alice", b"shut it\x07").unwrap();
        assert_eq!(out, b"TASK 7 p9 30000 alice shut it\\x07\n");
        out.clear();
        let from = "f".repeat(FROM_BYTES_MAX);
        task(&mut out, u64::MAX, Priority::URGENT, u64::MAX, &from, &[0xff; TEXT_BYTES]).unwrap();
        assert!(out.is_full());
    }

    #[test]
    fn acks_increment_over_every_change_of_digits() {
        for (n, id) in [(1, 1), (7, 94), (95, 999_990), (9_999_999_990, 5), (u64::MAX - 30, u64::MAX - 30)] {
            for (are_lowered, remark) in [(false, ""), (true, " lowered")] {
                let mut out: Vec<u8, { 30 * REPLY_BYTES_MAX }> = Vec::new();
                acks(&mut out, n..n + 25, id, are_lowered);
                let ack = |more| format!("ACK {} {}{remark}\n", n + more, id + more);
                assert_eq!(out, (0..25).map(ack).collect::<String>().as_bytes());
            }
        }
    }

    #[test]
    fn naks_are_indexed_as_listed() {
        for (index, reason) in Nak::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index);
        }
    }

    #[test]
    fn lines_of_answers() {
        assert_eq!(who("alice", Some(Priority::NORMAL), 12), b"WHO alice p4 12\n");
        assert_eq!(who("[::1]:9", None, 0), b"WHO [::1]:9 - 0\n");
        assert_eq!(stat("clients", 7), b"STAT clients 7\n");
        assert_eq!(help("/ping  answered at once"), b"HELP /ping  answered at once\n");
        assert_eq!(lost(40), b"LOST 40\n");
    }

    #[test]
    fn line_that_does_not_fit_is_cut_and_still_ends() {
        for over in 0..3 {
            let fitting = ANSWER_LINE_BYTES_MAX - "HELP \n".len();
            let expected = format!("HELP {}\n", "x".repeat(fitting));
            assert_eq!(help(&"x".repeat(fitting + over)), expected.as_bytes());
        }
        assert_eq!(stat(&"x".repeat(1000), 1).last(), Some(&b'\n'));
    }

    #[test]
    fn farewells_follow_the_protocol() {
        use Farewell::*;
        let lines = [Full, NotAllowed, Idle, TooSlow, Quit, ShuttingDown].map(Farewell::line);
        let not_allowed = "ERR 0 not-allowed --allow does not let your address in\n";
        let full = "ERR 0 full all seats are taken; try again later\n";
        let errs = [full, not_allowed, "ERR 0 idle\n", "ERR 0 too-slow\n"];
        assert_eq!(lines[..4], errs);
        assert_eq!(lines[4..], ["BYE quit\n", "BYE shutting-down\n"]);
        let lines = [WrongToken, NotAuthenticated, TokenWithdrawn].map(Farewell::line);
        let not_authenticated = "ERR 0 not-authenticated say /auth TOKEN first\n";
        assert_eq!(lines, ["ERR 0 wrong-token\n", not_authenticated, "ERR 0 token-withdrawn\n"]);
        let lines = [AddressFull, LineTimeout].map(Farewell::line);
        let address_full =
            "ERR 0 address-full close another connection of your address, or raise --per-address\n";
        assert_eq!(lines, [address_full, "ERR 0 line-timeout end each line with LF\n"]);
    }

    #[test]
    fn farewells_are_indexed_as_listed_and_one_line_each() {
        for (index, farewell) in Farewell::ALL.into_iter().enumerate() {
            assert_eq!(farewell.index(), index);
            let (line, word) = (farewell.line(), farewell.as_str());
            assert_eq!(line.find('\n'), Some(line.len() - 1));
            assert!(line.contains(word) || farewell == Farewell::GaveWay, "{line} {word}");
            // The reply to `/quit` precedes it, and both fit the room of one line.
            assert!("OK \n".len() + NUMBER_BYTES_MAX + line.len() <= ANSWER_LINE_BYTES_MAX);
        }
    }

    #[test]
    fn messages_are_appended_and_escaped() {
        let mut batch: Vec<u8, 100> = Vec::new();
        let first = msg(&mut batch, 17, Priority::URGENT, "alice", b"smoke in the workshop").unwrap();
        let second = msg(&mut batch, 18, Priority::MIN, "10.0.0.7:5050", b"\x1b[2J\\").unwrap();
        assert_eq!(batch[first], *b"MSG 17 p9 alice smoke in the workshop\n");
        assert_eq!(batch[second], *b"MSG 18 p0 10.0.0.7:5050 \\x1b[2J\\\\\n");
    }

    #[test]
    fn the_longest_message_fits_exactly() {
        let mut batch: Vec<u8, MSG_BYTES_MAX> = Vec::new();
        let from = "f".repeat(FROM_BYTES_MAX);
        let range = msg(&mut batch, u64::MAX, Priority::URGENT, &from, &[0xff; TEXT_BYTES]);
        assert_eq!(range, Ok(0..MSG_BYTES_MAX));
    }

    #[test]
    fn full_batch_does_not_change() {
        const LINE: &[u8] = b"MSG 1 p4 a b\n";
        let mut batch: Vec<u8, { 2 * LINE.len() - 1 }> = Vec::new();
        assert_eq!(msg(&mut batch, 1, Priority::NORMAL, "a", b"b"), Ok(0..LINE.len()));
        assert_eq!(msg(&mut batch, 1, Priority::NORMAL, "a", b"b"), Err(BatchFull));
        assert_eq!(batch, LINE);
    }
}
