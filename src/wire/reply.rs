//! Every line that the server sends, made without allocation.
//!
//! Owns the words and the shape of the lines. It does not know when they are due, nor how they are sent.
//! Each ends with LF. Numbers and words of its own always fit; a name or text that its caller took from
//! elsewhere and that does not fit is cut, never the LF. What another client wrote goes into
//! [`msg`] alone, which escapes it.

use core::fmt::{self, Write};
use core::ops::Range;

use heapless::{Vec, VecView};
use itoa::Buffer as Decimal;

use super::escape::escape;
use crate::limits::{ANSWER_LINE_BYTES_MAX, REPLY_BYTES_MAX};
use crate::queue::Priority;

/// A closing reply: the one `ACK`, `NAK`, `OK` or `ERR` that a line gets.
pub type Reply = Vec<u8, REPLY_BYTES_MAX>;

/// A line that is no closing reply: one of an answer (`WHO`, `STAT`, `HELP`), or `LOST`.
pub type Line = Vec<u8, ANSWER_LINE_BYTES_MAX>;

/// Why a message was not processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nak {
    /// The text, or the whole line, is longer than is taken.
    TooLong,
    /// There is no text.
    Empty,
    /// The server takes nothing more.
    ShuttingDown,
    /// It could not be printed, as `--print` promises.
    PrintFailed,
}

impl Nak {
    /// All of them, by their [`index`](Self::index).
    pub const ALL: [Self; 4] = [Self::TooLong, Self::Empty, Self::ShuttingDown, Self::PrintFailed];
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Its place in a table of [`Nak::COUNT`].
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
        }
    }
}

/// Why a command was not obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such command.
    UnknownCommand,
    /// Its argument is missing, malformed or one too many; this is allowed.
    BadArgument(&'static str),
    /// Somebody who is connected has that nick.
    NickTaken,
    /// There is no journal to read from.
    NoJournal,
    /// The server does nothing more.
    ShuttingDown,
}

impl Refusal {
    /// The one word of the reply.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownCommand => "unknown-command",
            Self::BadArgument(_) => "bad-argument",
            Self::NickTaken => "nick-taken",
            Self::NoJournal => "no-journal",
            Self::ShuttingDown => "shutting-down",
        }
    }

    /// The few words behind it: what the client can do.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::UnknownCommand => "try /help",
            Self::BadArgument(allowed) => allowed,
            Self::NickTaken => "try another",
            Self::NoJournal => "this server keeps none",
            Self::ShuttingDown => "try again later",
        }
    }
}

/// Why the server closes a connection. Its line is the last one that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// As many clients are connected as there may be.
    Full,
    /// The client's address may not connect.
    NotAllowed,
    /// The client said nothing for too long.
    Idle,
    /// The client did not read its replies for too long.
    TooSlow,
    /// The client said `/quit`.
    Quit,
    /// The server ends.
    ShuttingDown,
}

impl Farewell {
    /// The line.
    pub const fn line(self) -> &'static str {
        match self {
            Self::Full => "ERR 0 full\n",
            Self::NotAllowed => "ERR 0 not-allowed\n",
            Self::Idle => "ERR 0 idle\n",
            Self::TooSlow => "ERR 0 too-slow\n",
            Self::Quit => "BYE quit\n",
            Self::ShuttingDown => "BYE shutting-down\n",
        }
    }
}

/// Line `n` was a message and has been processed as number `id` of the whole server.
pub fn ack(n: u64, id: u64) -> Reply {
    line(&["ACK ", Decimal::new().format(n), " ", Decimal::new().format(id)])
}

/// Line `n` was a message and has not been processed.
pub fn nak(n: u64, reason: Nak) -> Reply {
    line(&["NAK ", Decimal::new().format(n), " ", reason.as_str()])
}

/// Line `n` was a command and is done.
pub fn ok(n: u64) -> Reply {
    line(&["OK ", Decimal::new().format(n)])
}

/// Line `n` was a command and has been refused.
pub fn err(n: u64, reason: Refusal) -> Reply {
    line(&["ERR ", Decimal::new().format(n), " ", reason.as_str(), " ", reason.advice()])
}

/// So many `MSG` lines were not sent, because the client read too slowly.
pub fn lost(count: u64) -> Line {
    line(&["LOST ", Decimal::new().format(count)])
}

/// One who is connected: the priority from which on it joined, if it did, and the seconds since it last said
/// something.
pub fn who(from: &str, joined: Option<Priority>, idle_s: u64) -> Line {
    let mut digit = [0; 1];
    let (p, digit) = match joined {
        Some(priority) => ("p", char::from(priority.digit()).encode_utf8(&mut digit) as &str),
        None => ("-", ""),
    };
    line(&["WHO ", from, " ", p, digit, " ", Decimal::new().format(idle_s)])
}

/// One of the server's counters.
pub fn stat(name: &str, value: u64) -> Line {
    line(&["STAT ", name, " ", Decimal::new().format(value)])
}

/// One line of the help.
pub fn help(text: &str) -> Line {
    line(&["HELP ", text])
}

/// Appends message `id` to a batch of lines, and says where it stands. The text is escaped. `from` is a nick
/// or an address: words of the server's own making.
///
/// # Errors
/// The batch is full; it is as it was. With room for [`MSG_BYTES_MAX`](crate::limits::MSG_BYTES_MAX) it
/// never is.
pub fn msg(
    batch: &mut VecView<u8>,
    id: u64,
    priority: Priority,
    from: &str,
    text: &[u8],
) -> Result<Range<usize>, fmt::Error> {
    let start = batch.len();
    match write_msg(batch, id, priority, from, text) {
        Ok(()) => Ok(start..batch.len()),
        Err(full) => {
            batch.truncate(start);
            Err(full)
        }
    }
}

/// Writes the `MSG` line piece by piece: it is some times faster than `write!`.
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

/// The parts one after the other, and the LF. What does not fit before the LF is cut.
fn line<const N: usize>(parts: &[&str]) -> Vec<u8, N> {
    let mut line = Vec::new();
    for part in parts {
        let room = N - "\n".len() - line.len();
        let fitting = &part.as_bytes()[..part.len().min(room)];
        // It fits.
        let _ = line.extend_from_slice(fitting);
    }
    let _ = line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{ESCAPED_BYTES_MAX, FROM_BYTES_MAX, MSG_BYTES_MAX, TEXT_BYTES};

    #[test]
    fn every_reply_fits_with_the_largest_numbers() {
        let max = u64::MAX;
        assert_eq!(ack(max, max), format!("ACK {max} {max}\n").as_bytes());
        assert_eq!(ok(max), format!("OK {max}\n").as_bytes());
        for (index, reason) in Nak::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index);
            assert_eq!(nak(max, reason), format!("NAK {max} {}\n", reason.as_str()).as_bytes());
        }
        use Refusal::{NickTaken, NoJournal, ShuttingDown, UnknownCommand};
        for reason in [UnknownCommand, NickTaken, NoJournal, ShuttingDown] {
            let whole = format!("ERR {max} {} {}\n", reason.as_str(), reason.advice());
            assert_eq!(err(max, reason), whole.as_bytes());
        }
    }

    #[test]
    fn the_lines_of_answers() {
        let max = u64::MAX;
        assert_eq!(lost(7), b"LOST 7\n");
        assert_eq!(stat("waiting", 3), b"STAT waiting 3\n");
        assert_eq!(help("x"), b"HELP x\n");
        assert_eq!(who("alice", Some(Priority::NORMAL), 12), b"WHO alice p4 12\n");
        assert_eq!(who("[::1]:5", None, 0), b"WHO [::1]:5 - 0\n");
        let widest = "f".repeat(FROM_BYTES_MAX);
        assert_eq!(who(&widest, Some(Priority::URGENT), max), format!("WHO {widest} p9 {max}\n").as_bytes());
    }

    #[test]
    fn the_longest_message_fits_and_one_more_byte_does_not() {
        let (from, text) = ("f".repeat(FROM_BYTES_MAX), [0xff; TEXT_BYTES]);
        let mut batch = Vec::<u8, MSG_BYTES_MAX>::new();
        let place = msg(&mut batch, u64::MAX, Priority::URGENT, &from, &text).unwrap();
        assert_eq!(place, 0..MSG_BYTES_MAX);
        assert_eq!(batch.len() - format!("MSG {} p9 {from} \n", u64::MAX).len(), ESCAPED_BYTES_MAX);
        let mut small = Vec::<u8, { MSG_BYTES_MAX - 1 }>::new();
        assert!(msg(&mut small, u64::MAX, Priority::URGENT, &from, &text).is_err());
        assert!(small.is_empty(), "what did not fit left nothing");
    }

    #[test]
    fn messages_stand_one_after_the_other() {
        let mut batch = Vec::<u8, 100>::new();
        let first = msg(&mut batch, 17, Priority::URGENT, "alice", b"smoke in the workshop").unwrap();
        let second = msg(&mut batch, 18, Priority::LOW, "127.0.0.1:9", b"a\n\\").unwrap();
        assert_eq!((first.start, first.end), (0, second.start));
        assert_eq!(&batch[first], b"MSG 17 p9 alice smoke in the workshop\n");
        assert_eq!(&batch[second], b"MSG 18 p1 127.0.0.1:9 a\\x0a\\\\\n");
    }
}
