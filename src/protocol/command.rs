//! Parses lines into requests, and holds the text of the help.
//!
//! This module does not know which client sent a line, nor whether its request can be fulfilled. Its refusals have
//! texts of their own: no reply returns a client's bytes.

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
    /// Something about tasks.
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

/// The refusal that says what is allowed. A text that does not fit a reply does not compile, because this is called
/// only for constants.
const fn bad_argument(allowed: &'static str) -> Refusal {
    fitting(Refusal::BadArgument(allowed))
}

/// The refusal that says what the client may have meant. A text that does not fit a reply does not compile, either.
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
/// A line that does not begin with `/` is a message, and so is a line that begins with `//`. The word of any other
/// line ends at the first blank, a space or a tab, or with the line. The word is case-insensitive. What follows that
/// one blank is the text of a message without change, or the argument of a command with any blanks around it.
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

/// The priority that a word, in lower case, stands for, if it does.
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

/// Whether that is the word `since`, which is case-insensitive, as commands are.
fn is_since(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"since")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LINE_BYTES_MAX;

    fn of(number: u8, text: &str) -> Request<'_> {
        Request::Message { priority: Priority::new(number).unwrap(), text: text.as_bytes() }
    }

    fn check(table: &[(&str, Request<'_>)]) {
        for (line, expected) in table {
            assert_eq!(parse(line.as_bytes()), *expected, "{line:?}");
        }
    }

    #[test]
    fn messages() {
        check(&[
            ("", Request::Blank),
            ("hi", of(4, "hi")),
            (" ", of(4, " ")),
            ("  two spaces ", of(4, "  two spaces ")),
            ("a /urgent b", of(4, "a /urgent b")),
            (" /urgent b", of(4, " /urgent b")),
            ("//", of(4, "/")),
            ("//ping", of(4, "/ping")),
            ("///", of(4, "//")),
            ("// x", of(4, "/ x")),
            ("/urgent smoke", of(9, "smoke")),
            ("/urgent  smoke ", of(9, " smoke ")),
            ("/urgent \t ", Request::Nak(Nak::Empty)),
            ("/5\t", Request::Nak(Nak::Empty)),
            ("/urgent\tsmoke", of(9, "smoke")),
            ("/urgent\t smoke\t", of(9, " smoke\t")),
            ("/Urgent smoke", of(9, "smoke")),
            ("/URGENT Smoke", of(9, "Smoke")),
            ("/LoW x", of(1, "x")),
            ("/9\tx", of(9, "x")),
            ("\t", of(4, "\t")),
            ("/high /ping", of(7, "/ping")),
            ("/low x", of(1, "x")),
            ("/0 x", of(0, "x")),
            ("/9 x", of(9, "x")),
            ("/urgent", Request::Nak(Nak::Empty)),
            ("/urgent ", Request::Nak(Nak::Empty)),
            ("/5", Request::Nak(Nak::Empty)),
        ]);
    }

    #[test]
    fn every_digit_is_a_priority() {
        for priority in Priority::all() {
            let line = [b'/', priority.digit(), b' ', b'x'];
            assert_eq!(parse(&line), Request::Message { priority, text: b"x" });
        }
    }

    #[test]
    fn longest_text_is_valid_after_any_word() {
        let plain = "x".repeat(TEXT_BYTES);
        let slash = plain.replacen('x', "/", 1);
        let words = ["", "/urgent ", "/high ", "/low ", "/0 "].map(|word| (word, &plain));
        for (before, text) in words.into_iter().chain([("/", &slash)]) {
            let line = format!("{before}{text}");
            let is_whole =
                matches!(parse(line.as_bytes()), Request::Message { text: t, .. } if t == text.as_bytes());
            assert!(is_whole, "{before:?}");
            assert!(line.len() <= LINE_BYTES_MAX, "{before:?}");
            assert_eq!(parse(format!("{line}x").as_bytes()), Request::Nak(Nak::TooLong), "{before:?}");
        }
        assert_eq!(Request::from(Frame::TooLong), Request::Nak(Nak::TooLong));
    }

    #[test]
    fn commands() {
        let join = |min| Request::Command(Command::Join { min, since: None });
        let join_since = |min, id| Request::Command(Command::Join { min, since: Some(id) });
        let nick = |name| Request::Command(Command::Nick(name));
        let auth = |token: &'static str| Request::Command(Command::Auth(token.as_bytes()));
        let last = |count| Request::Command(Command::Last(NonZeroU64::new(count).unwrap()));
        let since = |id| Request::Command(Command::Since(id));
        check(&[
            ("/JOIN", join(Priority::MIN)),
            ("/Join\t7 \tsince\t18", join_since(Priority::HIGH, 18)),
            ("/join 5 SINCE 0", join_since(Priority::new(5).unwrap(), 0)),
            ("/JOIN Since 18", join_since(Priority::MIN, 18)),
            ("/nick\tAlice\t", nick("Alice")),
            ("/Auth\t!234567890ABCDE~ ", auth("!234567890ABCDE~")),
            ("/join", join(Priority::MIN)),
            ("/join   ", join(Priority::MIN)),
            ("/join 7", join(Priority::HIGH)),
            ("/join  9 ", join(Priority::URGENT)),
            ("/join since 0", join_since(Priority::MIN, 0)),
            ("/join 7 since 18", join_since(Priority::HIGH, 18)),
            ("/join 7  since  18 ", join_since(Priority::HIGH, 18)),
            ("/leave", Request::Command(Command::Leave)),
            ("/auth !234567890abcde~", auth("!234567890abcde~")),
            ("/auth   /234567890abcdef  ", auth("/234567890abcdef")),
            ("/nick alice", nick("alice")),
            ("/nick  A-b_9  ", nick("A-b_9")),
            ("/nick 0123456789abcdef", nick("0123456789abcdef")),
            ("/who", Request::Command(Command::Who)),
            ("/stats", Request::Command(Command::Stats { is_full: false })),
            ("/stats  Full ", Request::Command(Command::Stats { is_full: true })),
            ("/last 1", last(1)),
            ("/last  0018446744073709551615 ", last(u64::MAX)),
            ("/since 0", since(0)),
            ("/since 18446744073709551615", since(u64::MAX)),
            ("/ping", Request::Command(Command::Ping)),
            ("/ping  ", Request::Command(Command::Ping)),
            ("/help", Request::Command(Command::Help)),
            ("/quit", Request::Command(Command::Quit)),
        ]);
    }

    #[test]
    fn refusals_of_arguments_say_what_is_allowed() {
        check(&[
            ("/join 10", Request::Refused(BAD_MIN)),
            ("/join x", Request::Refused(BAD_MIN)),
            ("/join 5 6", Request::Refused(BAD_MIN)),
            ("/join 55 since 6", Request::Refused(BAD_MIN)),
            ("/join 5 since", Request::Refused(BAD_SINCE)),
            ("/join since", Request::Refused(BAD_SINCE)),
            ("/join 5 SINCE x", Request::Refused(BAD_SINCE)),
            ("/join 7since5", Request::Refused(BAD_MIN)),
            ("/join since -1", Request::Refused(BAD_SINCE)),
            ("/join 5 since 6 7", Request::Refused(BAD_SINCE)),
            ("/auth", Request::Refused(BAD_TOKEN)),
            ("/auth 1234567890abcde", Request::Refused(BAD_TOKEN)),
            ("/auth 12345678 90abcdef", Request::Refused(BAD_TOKEN)),
            ("/auth 1234567890abcdefü", Request::Refused(BAD_TOKEN)),
            ("/auth 1234567890abcdef\x7f", Request::Refused(BAD_TOKEN)),
            ("/nick", Request::Refused(BAD_NAME)),
            ("/nick ", Request::Refused(BAD_NAME)),
            ("/nick a b", Request::Refused(BAD_NAME)),
            ("/nick 0123456789abcdefg", Request::Refused(BAD_NAME)),
            ("/nick grün", Request::Refused(BAD_NAME)),
            ("/nick a:1", Request::Refused(BAD_NAME)),
            ("/nick a\tb", Request::Refused(BAD_NAME)),
            ("/last", Request::Refused(BAD_COUNT)),
            ("/last 0", Request::Refused(BAD_COUNT)),
            ("/last -1", Request::Refused(BAD_COUNT)),
            ("/last +1", Request::Refused(BAD_COUNT)),
            ("/last 1.5", Request::Refused(BAD_COUNT)),
            ("/since", Request::Refused(BAD_ID)),
            ("/since 18446744073709551616", Request::Refused(BAD_ID)),
            ("/since 0x10", Request::Refused(BAD_ID)),
            ("/leave now", Request::Refused(NO_ARGUMENT)),
            ("/who is", Request::Refused(NO_ARGUMENT)),
            ("/stats all", Request::Refused(BAD_DETAIL)),
            ("/ping 1", Request::Refused(NO_ARGUMENT)),
            ("/help ping", Request::Refused(NO_ARGUMENT)),
            ("/quit  x", Request::Refused(NO_ARGUMENT)),
        ]);
    }

    #[test]
    fn unknown_words_are_refused() {
        let long = format!("/urgent{}", "t".repeat(LINE_BYTES_MAX));
        for line in ["/", "/ ", "/ x", "/\tx", "/10 x", "/-1 x", "/é", "/foo", "/x", "/temperature 21", &long]
        {
            assert_eq!(parse(line.as_bytes()), Request::Refused(UNKNOWN), "{line:?}");
        }
        assert_eq!(parse(b"/\xff\0 x"), Request::Refused(UNKNOWN));
    }

    #[test]
    fn words_that_resemble_a_command_are_refused_with_its_name() {
        for (line, advice) in [
            ("/urgnt smoke", "did you mean /urgent?"),
            ("/urgentx", "did you mean /urgent?"),
            ("/URGANT x", "did you mean /urgent?"),
            ("/jion 5", "did you mean /join?"),
            ("/pin", "did you mean /ping?"),
            ("/stat", "did you mean /stats?"),
            ("/lo x", "did you mean /low?"),
            ("/exit", "did you mean /quit?"),
            ("/lwo x", "did you mean /low?"),
            ("/nope/path", "try /help; //TEXT sends /TEXT"),
        ] {
            let refusal = Request::Refused(Refusal::UnknownCommand(advice));
            assert_eq!(parse(line.as_bytes()), refusal, "{line:?}");
        }
    }

    fn is_unknown(word: &str) -> bool {
        matches!(parse(word.as_bytes()), Request::Refused(Refusal::UnknownCommand(_)))
    }

    #[test]
    fn help_names_every_command() {
        for line in HELP {
            let word = line.split(' ').next().unwrap();
            assert!(!is_unknown(word), "{line}");
            assert!(line.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line}");
            let letters = word.trim_start_matches('/');
            let is_letters = letters.len() > 1 && letters.bytes().all(|byte| byte.is_ascii_lowercase());
            assert_eq!(is_letters, KNOWN.iter().any(|(known, _)| *known == letters), "{line}");
        }
        assert!(KNOWN.iter().all(|(known, _)| !is_unknown(&format!("/{known}"))));
    }
}
