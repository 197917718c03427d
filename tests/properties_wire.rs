//! The laws of `wire`: each is checked against a plain, slow model of the protocol, on bytes that are made to
//! hit its edges.

use std::num::NonZeroU64;

use firstline::limits::{
    ESCAPED_BYTES_MAX, FROM_BYTES_MAX, LINE_BYTES_MAX, MSG_BYTES_MAX, NICK_BYTES_MAX, RECEIVE_BYTES,
    TEXT_BYTES,
};
use firstline::queue::Priority;
use firstline::wire::command::{Command, Request, parse};
use firstline::wire::escape::{Escaped, unescape};
use firstline::wire::framing::{Frame, Framer};
use firstline::wire::reply::{Nak, Refusal, msg};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// The smallest receive buffer there may be.
const SMALLEST: usize = LINE_BYTES_MAX + "\r\n".len();

/// A line as the model and the framer tell it; `None` is one that is too long.
type Told = Option<Vec<u8>>;

/// What one receive brings at most, and how many lines are taken before the next one.
type Turn = (usize, usize);

/// A stream of bytes: ends of lines, and runs of every length that matters.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(b"\n".to_vec()),
        2 => Just(b"\r".to_vec()),
        2 => Just(b"\r\n".to_vec()),
        1 => Just(b"/".to_vec()),
        2 => vec(any::<u8>(), 0..20),
        3 => (LINE_BYTES_MAX - 3..=LINE_BYTES_MAX + 3).prop_map(|count| vec![b'x'; count]),
        1 => (RECEIVE_BYTES - 3..=2 * RECEIVE_BYTES + 3).prop_map(|count| vec![b'x'; count]),
    ];
    vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

/// How the stream comes in. The turns are repeated until all of it has.
fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let bytes = prop_oneof![Just(1), 1..8usize, LINE_BYTES_MAX - 3..=LINE_BYTES_MAX + 3, Just(RECEIVE_BYTES)];
    let lines = prop_oneof![Just(0), 0..4usize, Just(usize::MAX)];
    vec((bytes, lines), 1..20)
}

/// The lines of a stream, by the words of the protocol.
fn lines_of(stream: &[u8]) -> Vec<Told> {
    let mut lines: Vec<&[u8]> = stream.split(|byte| *byte == b'\n').collect();
    if lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    let without_cr = lines.into_iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    without_cr.map(|line| (line.len() <= LINE_BYTES_MAX).then(|| line.to_vec())).collect()
}

/// Takes so many lines at most. Says whether there were fewer.
fn take<const N: usize>(framer: &mut Framer<'_, N>, count: usize, told: &mut Vec<Told>) -> bool {
    for _ in 0..count {
        match framer.next() {
            Some(Frame::Line(line)) => told.push(Some(line.to_vec())),
            Some(Frame::TooLong) => told.push(None),
            None => return true,
        }
    }
    false
}

/// Sends the stream through a framer. Lines are also taken, all of them, when there is no room to receive.
fn frame<const N: usize>(framer: &mut Framer<'_, N>, mut stream: &[u8], turns: &[Turn]) -> Vec<Told> {
    let mut told = Vec::new();
    let mut turns = turns.iter().cycle();
    while let Some((bytes, lines)) = turns.next().filter(|_| !stream.is_empty()) {
        if framer.free().is_empty() {
            assert!(take(framer, usize::MAX, &mut told));
        }
        let free = framer.free();
        assert!(!free.is_empty(), "no line waits, and there is no room");
        let (now, later) = stream.split_at(stream.len().min(*bytes).min(free.len()));
        free[..now.len()].copy_from_slice(now);
        framer.commit(now.len());
        stream = later;
        take(framer, *lines, &mut told);
    }
    framer.end();
    assert!(take(framer, usize::MAX, &mut told));
    told
}

/// Checks one stream in a buffer of that size, behind another client's leavings.
fn frames_are_the_lines<const N: usize>(before: &[u8], stream: &[u8], turns: &[Turn]) {
    let mut buffer = [0; N];
    let mut framer = Framer::new(&mut buffer);
    let leavings = before.len().min(N);
    framer.free()[..leavings].copy_from_slice(&before[..leavings]);
    framer.commit(leavings);
    take(&mut framer, before.len() % 5, &mut Vec::new());
    framer.reset();
    assert_eq!(framer.free(), [0; N]);
    assert_eq!(frame(&mut framer, stream, turns), lines_of(stream));
}

/// A line that is put together of what commands are made of.
fn line() -> impl Strategy<Value = Vec<u8>> {
    const WORDS: &[&str] = &[
        "/urgent", "/high", "/low", "/join", "/leave", "/nick", "/who", "/stats", "/last", "/since", "/ping",
        "/help", "/quit", "/", "//", "/0", "/4", "/9", "/10", "/urgentx", "/PING", "",
    ];
    const ARGUMENTS: &[&str] = &[
        "0",
        "5",
        "9",
        "10",
        "+1",
        "007",
        "18446744073709551615",
        "18446744073709551616",
        "al_i-ce",
        "grün",
    ];
    let piece = prop_oneof![
        4 => Just(b" ".to_vec()),
        3 => select(ARGUMENTS).prop_map(|argument| argument.as_bytes().to_vec()),
        1 => select(WORDS).prop_map(|word| word.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..4),
        1 => (NICK_BYTES_MAX - 1..=NICK_BYTES_MAX + 1).prop_map(|count| vec![b'n'; count]),
        1 => (TEXT_BYTES - 2..=TEXT_BYTES + 2).prop_map(|count| vec![b'x'; count]),
    ];
    (select(WORDS), vec(piece, 0..5))
        .prop_map(|(word, pieces)| [word.as_bytes(), &pieces.concat()].concat())
        .prop_filter("a line has no LF", |line| !line.contains(&b'\n'))
}

/// What a line asks for, by the words of the protocol. What a bad argument is told is left out.
fn request_of(line: &[u8]) -> Request<'_> {
    if line.is_empty() {
        return Request::Blank;
    }
    if line[0] != b'/' {
        return message_of(4, line);
    }
    if line.starts_with(b"//") {
        return message_of(4, &line[1..]);
    }
    let word = line.split(|byte| *byte == b' ').next().unwrap();
    let rest = line.get(word.len() + 1..).unwrap_or_default();
    for (known, priority) in [("/urgent", 9), ("/high", 7), ("/low", 1)] {
        if word == known.as_bytes() {
            return message_of(priority, rest);
        }
    }
    for priority in 0..10 {
        if word == format!("/{priority}").as_bytes() {
            return message_of(priority, rest);
        }
    }
    let arguments: Vec<&[u8]> = rest.split(|byte| *byte == b' ').filter(|part| !part.is_empty()).collect();
    command_of(word, &arguments)
}

fn message_of(priority: u8, text: &[u8]) -> Request<'_> {
    match text.len() {
        0 => Request::Nak(Nak::Empty),
        bytes if bytes > TEXT_BYTES => Request::Nak(Nak::TooLong),
        _ => Request::Message { priority: Priority::new(priority).unwrap(), text },
    }
}

fn join_of(arguments: &[&[u8]]) -> Option<Command<'static>> {
    let (least, since) = match arguments {
        [least @ .., word, id] if word == b"since" => (least, Some(*id)),
        least => (least, None),
    };
    let number = |word: &[u8]| {
        let text =
            std::str::from_utf8(word).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
        text.parse::<u64>().ok()
    };
    let min = match least {
        [] => Priority::MIN,
        [digit] if digit.len() == 1 => Priority::new(number(digit)? as u8)?,
        _ => return None,
    };
    let since = match since {
        Some(id) => Some(number(id)?),
        None => None,
    };
    Some(Command::Join { min, since })
}

fn command_of<'a>(word: &[u8], arguments: &[&'a [u8]]) -> Request<'a> {
    let alone = |command| arguments.is_empty().then_some(command);
    let only = if let [only] = arguments { std::str::from_utf8(only).ok() } else { None };
    let number = only.filter(|text| !text.starts_with('+')).and_then(|text| text.parse::<u64>().ok());
    let is_name_character = |c: char| "_-".contains(c) || c.is_ascii_alphanumeric();
    let command = match std::str::from_utf8(word).unwrap_or_default() {
        "/join" => join_of(arguments),
        "/nick" => only
            .filter(|text| text.len() <= NICK_BYTES_MAX && text.chars().all(is_name_character))
            .map(Command::Nick),
        "/last" => number.and_then(NonZeroU64::new).map(Command::Last),
        "/since" => number.map(Command::Since),
        "/leave" => alone(Command::Leave),
        "/who" => alone(Command::Who),
        "/stats" => alone(Command::Stats),
        "/ping" => alone(Command::Ping),
        "/help" => alone(Command::Help),
        "/quit" => alone(Command::Quit),
        _ => return Request::Refused(Refusal::UnknownCommand),
    };
    command.map_or(Request::Refused(Refusal::BadArgument("")), Request::Command)
}

/// The request without what a bad argument is told.
fn without_advice(request: Request<'_>) -> Request<'_> {
    match request {
        Request::Refused(Refusal::BadArgument(_)) => Request::Refused(Refusal::BadArgument("")),
        other => other,
    }
}

/// A text: any bytes, or characters that could do harm among others.
fn text() -> impl Strategy<Value = Vec<u8>> {
    const CHARACTERS: &[char] = &[
        'a', ' ', '\\', 'x', '1', '\0', '\t', '\n', '\r', '\x1b', '\x7f', '\u{80}', '\u{85}', '\u{9b}',
        '\u{a0}', 'ü', '漢', '🔥', '\u{61c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202e}', '\u{2066}',
        '\u{2069}',
    ];
    let piece = prop_oneof![
        3 => select(CHARACTERS).prop_map(|character| character.to_string().into_bytes()),
        1 => any::<char>().prop_map(|character| character.to_string().into_bytes()),
        1 => vec(any::<u8>(), 0..4),
        1 => "[ -~]{0,20}".prop_map(String::into_bytes),
    ];
    vec(piece, 0..40).prop_map(|pieces| {
        let mut text = pieces.concat();
        text.truncate(TEXT_BYTES);
        text
    })
}

/// Whether a character may reach a terminal, by the words of the protocol.
fn is_harmless(character: char) -> bool {
    let code = u32::from(character);
    let is_control = code < 0x20 || (0x7f..=0x9f).contains(&code);
    let bidi =
        [0x61c, 0x200e, 0x200f, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069];
    !is_control && !bidi.contains(&code)
}

proptest! {
    #[test]
    fn reads_do_not_change_lines(stream in stream(), turns in turns(), before in stream()) {
        frames_are_the_lines::<SMALLEST>(&before, &stream, &turns);
        frames_are_the_lines::<{ SMALLEST + 1 }>(&before, &stream, &turns);
        frames_are_the_lines::<RECEIVE_BYTES>(&before, &stream, &turns);
    }

    #[test]
    fn any_bytes_are_lines(stream in vec(any::<u8>(), 0..2 * RECEIVE_BYTES), turns in turns()) {
        frames_are_the_lines::<SMALLEST>(&[], &stream, &turns);
    }

    #[test]
    fn lines_mean_what_the_protocol_says(line in line()) {
        prop_assert_eq!(without_advice(parse(&line)), request_of(&line));
    }

    #[test]
    fn any_bytes_mean_what_the_protocol_says(line in vec(any::<u8>(), 0..2 * LINE_BYTES_MAX)) {
        prop_assert_eq!(without_advice(parse(&line)), request_of(&line));
    }

    #[test]
    fn escaping_lets_nothing_harmful_through_and_is_undone(text in text()) {
        let escaped = Escaped(&text).to_string();
        prop_assert!(escaped.chars().all(is_harmless), "{escaped:?}");
        prop_assert!(escaped.len() <= 4 * text.len());
        prop_assert!(escaped.len() <= ESCAPED_BYTES_MAX);
        let back: Result<Vec<u8>, _> = unescape(escaped.as_bytes()).collect();
        prop_assert_eq!(back, Ok(text));
    }

    #[test]
    fn escaping_leaves_what_is_harmless(text in any::<String>()) {
        let harmless: String = text.chars().filter(|c| is_harmless(*c) && *c != '\\').collect();
        prop_assert_eq!(Escaped(harmless.as_bytes()).to_string(), harmless);
    }

    #[test]
    fn undoing_never_panics(escaped in vec(select(&b"\\xX09afgA\n\xff"[..]), 0..40)) {
        let bytes: Vec<_> = unescape(&escaped).collect();
        let first_error = bytes.iter().position(Result::is_err);
        prop_assert!(first_error.is_none_or(|at| at == bytes.len() - 1));
    }

    #[test]
    fn a_message_is_one_line_that_fits(id: u64, number in 0..10u8, text in text()) {
        let mut batch: heapless::Vec<u8, MSG_BYTES_MAX> = heapless::Vec::new();
        let from = "f".repeat(FROM_BYTES_MAX);
        let range = msg(&mut batch, id, Priority::new(number).unwrap(), &from, &text);
        prop_assert_eq!(range, Ok(0..batch.len()));
        let line = std::str::from_utf8(&batch).unwrap();
        prop_assert_eq!(line, format!("MSG {id} p{number} {from} {}\n", Escaped(&text)));
        prop_assert_eq!(line.matches('\n').count(), 1);
    }
}
