//! Parses lines into requests, and has the text of the help.
//!
//! This module does not know which client sent a line, nor whether its request can be fulfilled. Its refusals have
//! fixed texts, so no refusal repeats a client's bytes.

use core::num::NonZeroU64;
use core::str;

use super::framing::Frame;
use super::reply::{Nak, Refusal};
use super::task_command::{self, TaskCommand};
use super::words::{is_blank, min, number, split_at_blank, trim_blanks};
use crate::limits::{
    ANSWER_LINE_BYTES_MAX, NAME_BYTES_MAX, NICK_BYTES_MAX, NUMBER_BYTES_MAX, REPLY_BYTES_MAX, TEXT_BYTES,
    TOKEN_BYTES_MAX, TOKEN_BYTES_MIN,
};
use crate::nearest::nearest;
use crate::protocol::Priority;

/// The request of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// A blank line. It gets no reply.
    Blank,
    /// A message to process.
    Message {
        /// The priority that the sender wants.
        priority: Priority,
        /// 1 to [`TEXT_BYTES`] bytes of any value except LF.
        text: &'a [u8],
    },
    /// A message that is not valid.
    Nak(Nak),
    /// A command.
    Command(Command<'a>),
    /// A command that is unknown or not valid.
    Refused(Refusal),
}

/// A valid command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// Show that token: [`TOKEN_BYTES_MIN`] to [`TOKEN_BYTES_MAX`] printable ASCII characters except the space.
    Auth(&'a [u8]),
    /// Receive the messages of other clients from now on.
    Join {
        /// The least priority that the client wants.
        min: Priority,
        /// Receive first the messages after this ID.
        since: Option<u64>,
    },
    /// Receive no more messages of other clients.
    Leave,
    /// Take that nick: 1 to [`NICK_BYTES_MAX`] of A-Z a-z 0-9 `_` `-`.
    Nick(&'a str),
    /// List the connected clients.
    Who,
    /// List the counters.
    Stats {
        /// With the buckets of the histograms.
        is_full: bool,
    },
    /// Receive the last messages, as many as given.
    Last(NonZeroU64),
    /// Receive the messages after that ID.
    Since(u64),
    /// A command of a handler.
    Task(TaskCommand<'a>),
    /// Reply at once.
    Ping,
    /// List the commands: [`HELP`].
    Help,
    /// Send all outstanding replies, then close the connection.
    Quit,
}

/// The lines of `/help`, in the order of the protocol: the syntax of each command, and what it does.
pub const HELP: [&str; 24] = [
    "TEXT          a message of priority 4",
    "/urgent TEXT  a message of priority 9",
    "/high TEXT    a message of priority 7",
    "/low TEXT     a message of priority 1",
    "/0 TEXT       a message of priority 0; so up to /9 TEXT, the most urgent",
    "//TEXT        a message of priority 4 whose text is /TEXT",
    "/auth TOKEN   show who you are; comes first where the server asks for it",
    "/join [MIN]   be sent the messages of others, of priority MIN and above",
    "/join [MIN] since ID   the same, and first those after message ID",
    "/leave        no longer",
    "/nick NAME    be called NAME, 1 to 16 of A-Z a-z 0-9 _ -",
    "/who          who is connected",
    "/stats [full] the server's counters; full: with histograms",
    "/last K       the last K messages, oldest first",
    "/since ID     the messages after message ID, oldest first",
    "/handle [MIN] [COUNT]   be given messages to process, COUNT at once, as TASK lines",
    "/handle off   no new ones",
    "/done K [TEXT]    task K is done; TEXT is for the sender",
    "/refuse K [TEXT]  task K is not done, and will not be",
    "/later K [TEXT]   not now: task K goes back",
    "/extend K     the time for task K begins anew",
    "/ping         answered at once",
    "/help         this",
    "/quit         everything outstanding is answered, then goodbye",
];

const _: () = {
    let mut line = 0;
    while line < HELP.len() {
        assert!("HELP ".len() + HELP[line].len() + "\n".len() <= ANSWER_LINE_BYTES_MAX);
        line += 1;
    }
};

const NO_ARGUMENT: Refusal = bad_argument("it takes no argument");
const BAD_DETAIL: Refusal = bad_argument("it takes no argument, or full");
const BAD_MIN: Refusal = bad_argument("MIN is one digit, 0 to 9");
const BAD_NAME: Refusal = bad_argument("NAME is 1 to 16 of A-Z a-z 0-9 _ -");
/// The refusal of an `/auth` without a valid token.
pub const BAD_TOKEN: Refusal = bad_argument("TOKEN is 16 to 64 characters, no spaces");
const BAD_COUNT: Refusal = bad_argument("K is a whole number from 1");
const BAD_SINCE: Refusal = bad_argument("ID in since ID is the number of a message");
const BAD_ID: Refusal = bad_argument("ID is the number of a message");

const _: [Refusal; 3] =
    [fitting(task_command::BAD_HANDLE), fitting(task_command::BAD_COUNT), fitting(task_command::BAD_NUMBER)];
/// The refusal of a word that resembles no command. It may be the beginning of a text, such as a path.
const UNKNOWN: Refusal = unknown_command("try /help; //TEXT sends /TEXT");

macro_rules! known {
    ($($word:literal)*) => {
        [$(($word, unknown_command(concat!("did you mean /", $word, "?")))),*]
    };
}

/// The words of all commands, each with the refusal of a word that resembles it.
const KNOWN: [(&str, Refusal); 19] = known![
    "urgent" "high" "low" "auth" "join" "leave" "nick" "who" "stats" "last" "since" "handle" "done"
    "refuse" "later" "extend" "ping" "help" "quit"
];

/// The refusal of an argument, with the text `allowed`, which says what is valid. A text that does not fit a reply does
/// not compile, because this is called only for constants.
const fn bad_argument(allowed: &'static str) -> Refusal {
    fitting(Refusal::BadArgument(allowed))
}

/// The refusal of an unknown command, with `advice`. A text that does not fit a reply does not compile here either.
const fn unknown_command(advice: &'static str) -> Refusal {
    fitting(Refusal::UnknownCommand(advice))
}

const fn fitting(refusal: Refusal) -> Refusal {
    let words = refusal.as_str().len() + " ".len() + refusal.advice().len();
    assert!("ERR ".len() + NUMBER_BYTES_MAX + " ".len() + words + "\n".len() <= REPLY_BYTES_MAX);
    refusal
}

impl<'a> From<Frame<'a>> for Request<'a> {
    /// As [`parse`]. A line that was too long counts as a message that is too long.
    fn from(frame: Frame<'a>) -> Self {
        match frame {
            Frame::Line(line) => parse(line),
            Frame::TooLong => Self::Nak(Nak::TooLong),
        }
    }
}

/// Parses a line without its end.
///
/// A line that does not begin with `/` is a message, and so is a line that begins with `//`. The word of any other line
/// ends at the first blank, a space or a tab, or with the line. The word is case-insensitive. All bytes after that one
/// blank are the text of a message, unchanged, or the argument of a command, from which blanks at both ends are
/// dropped.
pub fn parse(line: &[u8]) -> Request<'_> {
    match line {
        [] => Request::Blank,
        [b'/', b'/', ..] => message(Priority::NORMAL, &line[1..]),
        [b'/', ..] => parse_word(line),
        text => message(Priority::NORMAL, text),
    }
}

/// Parses a line that begins with a word.
fn parse_word(line: &[u8]) -> Request<'_> {
    let (word, rest) = split_at_blank(&line[1..]);
    let mut small = [0; NAME_BYTES_MAX];
    let Some(small) = small.get_mut(..word.len()) else { return Request::Refused(UNKNOWN) };
    small.copy_from_slice(word);
    small.make_ascii_lowercase();
    let argument = trim_blanks(rest);
    if let Some(priority) = priority(small) {
        return if argument.is_empty() { Request::Nak(Nak::Empty) } else { message(priority, rest) };
    }
    match command(small, argument) {
        Ok(command) => Request::Command(command),
        Err(refusal) => Request::Refused(refusal),
    }
}

/// The message, if the length of its text is valid.
fn message(priority: Priority, text: &[u8]) -> Request<'_> {
    match text.len() {
        0 => Request::Nak(Nak::Empty),
        1..=TEXT_BYTES => Request::Message { priority, text },
        _ => Request::Nak(Nak::TooLong),
    }
}

/// The priority that a word, in lower case, stands for, if any.
fn priority(word: &[u8]) -> Option<Priority> {
    match word {
        b"urgent" => Some(Priority::URGENT),
        b"high" => Some(Priority::HIGH),
        b"low" => Some(Priority::LOW),
        [digit] => Priority::from_digit(*digit),
        _ => None,
    }
}

/// The command with that word, in lower case, and that argument, which is empty if there is none.
fn command<'a>(word: &[u8], argument: &'a [u8]) -> Result<Command<'a>, Refusal> {
    match word {
        b"auth" => token(argument).map(Command::Auth).ok_or(BAD_TOKEN),
        b"join" => join(argument),
        b"leave" => alone(Command::Leave, argument),
        b"nick" => name(argument).map(Command::Nick).ok_or(BAD_NAME),
        b"who" => alone(Command::Who, argument),
        b"stats" => stats(argument).ok_or(BAD_DETAIL),
        b"last" => number(argument).and_then(NonZeroU64::new).map(Command::Last).ok_or(BAD_COUNT),
        b"since" => number(argument).map(Command::Since).ok_or(BAD_ID),
        b"ping" => alone(Command::Ping, argument),
        b"help" => alone(Command::Help, argument),
        b"quit" => alone(Command::Quit, argument),
        _ => match task_command::parse(word, argument) {
            Some(parsed) => parsed.map(Command::Task),
            None => Err(unknown(word)),
        },
    }
}

/// The refusal of an unknown word. It names the command that the word resembles.
fn unknown(word: &[u8]) -> Refusal {
    let near = nearest(word, KNOWN.iter().map(|(known, _)| *known));
    let named = KNOWN.iter().find(|(known, _)| near == Some(known));
    named.map_or(UNKNOWN, |(_, refusal)| *refusal)
}

/// The command, if it has no argument.
fn alone<'a>(command: Command<'a>, argument: &[u8]) -> Result<Command<'a>, Refusal> {
    if argument.is_empty() { Ok(command) } else { Err(NO_ARGUMENT) }
}

/// The argument of `/stats`: `[full]`.
fn stats(argument: &[u8]) -> Option<Command<'_>> {
    let is_full = argument.eq_ignore_ascii_case(b"full");
    (is_full || argument.is_empty()).then_some(Command::Stats { is_full })
}

/// The argument, if it is a valid token.
pub fn token(argument: &[u8]) -> Option<&[u8]> {
    let valid = matches!(argument.len(), TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX)
        && argument.iter().all(u8::is_ascii_graphic);
    valid.then_some(argument)
}

/// The argument, if it is a valid nick.
pub fn name(argument: &[u8]) -> Option<&str> {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let valid = matches!(argument.len(), 1..=NICK_BYTES_MAX) && argument.iter().all(allowed);
    if valid { str::from_utf8(argument).ok() } else { None }
}

/// The arguments of `/join`: `[MIN] [since ID]`.
fn join(argument: &[u8]) -> Result<Command<'_>, Refusal> {
    let mut words = argument.split(is_blank).filter(|word| !word.is_empty());
    let (least, id) = match [words.next(), words.next(), words.next(), words.next()] {
        [Some(word), Some(id), None, _] if is_since(word) => (None, Some(id)),
        [least, Some(word), Some(id), None] if is_since(word) => (least, Some(id)),
        [Some(word), ..] | [_, Some(word), ..] if is_since(word) => return Err(BAD_SINCE),
        [least, None, ..] => (least, None),
        _ => return Err(BAD_MIN),
    };
    let since = id.map(|id| number(id).ok_or(BAD_SINCE)).transpose()?;
    min(least.unwrap_or_default()).map(|min| Command::Join { min, since }).ok_or(BAD_MIN)
}

/// Whether that is the word `since`, which is case-insensitive, like commands.
fn is_since(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"since")
}

#[cfg(test)]
mod tests;
