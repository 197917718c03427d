//! The rules of the protocol about bytes, lines and words, written a second time: plain, slow, and without a
//! look at `src/protocol`. Property tests and fuzz targets compare `src/protocol` with this.
#![allow(dead_code, reason = "each test program uses its part")]

use firstline::limits::{HANDLER_TASKS, LINE_BYTES_MAX, NICK_BYTES_MAX, TEXT_BYTES};
use firstline::protocol::Priority;
use firstline::protocol::command::{Command, Request};
use firstline::protocol::framing::{Frame, Framer};
use firstline::protocol::reply::{Nak, Refusal};
use firstline::protocol::task_command::TaskCommand;
use std::num::NonZeroU64;

/// A line from the model or the framer; `None` if it is too long.
pub type Line = Option<Vec<u8>>;

/// The smallest receive buffer.
pub const SMALLEST: usize = LINE_BYTES_MAX + "\r\n".len();

/// How many bytes one receive brings, at most, and how many lines are taken before the next one.
pub type ReceiveStep = (usize, usize);

/// The lines of a stream, as the protocol defines them.
pub fn lines_of(stream: &[u8]) -> Vec<Line> {
    let mut lines: Vec<&[u8]> = stream.split(|byte| *byte == b'\n').collect();
    if lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    let without_cr = lines.into_iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    without_cr.map(|line| (line.len() <= LINE_BYTES_MAX).then(|| line.to_vec())).collect()
}

/// Takes at most `count` lines. Returns whether there were fewer.
fn take<const N: usize>(framer: &mut Framer<'_, N>, count: usize, lines: &mut Vec<Line>) -> bool {
    for _ in 0..count {
        match framer.next() {
            Some(Frame::Line(line)) => lines.push(Some(line.to_vec())),
            Some(Frame::TooLong) => lines.push(None),
            None => return true,
        }
    }
    false
}

/// Sends the stream through a framer. When there is no room to receive, all lines are taken.
fn frame<const N: usize>(framer: &mut Framer<'_, N>, mut stream: &[u8], steps: &[ReceiveStep]) -> Vec<Line> {
    let mut framed = Vec::new();
    let mut steps = steps.iter().cycle();
    while let Some((bytes, lines)) = steps.next().filter(|_| !stream.is_empty()) {
        if framer.free().is_empty() {
            assert!(take(framer, usize::MAX, &mut framed));
        }
        let free = framer.free();
        assert!(!free.is_empty(), "no line is complete, and there is no room");
        let (now, later) = stream.split_at(stream.len().min(*bytes).min(free.len()));
        free[..now.len()].copy_from_slice(now);
        framer.commit(now.len());
        stream = later;
        take(framer, *lines, &mut framed);
    }
    framer.end();
    assert!(take(framer, usize::MAX, &mut framed));
    framed
}

/// Checks one stream in a buffer of that size, which contained another client's bytes before.
pub fn frames_are_the_lines<const N: usize>(before: &[u8], stream: &[u8], steps: &[ReceiveStep]) {
    let mut buffer = [0; N];
    let mut framer = Framer::new(&mut buffer);
    let leavings = before.len().min(N);
    framer.free()[..leavings].copy_from_slice(&before[..leavings]);
    framer.commit(leavings);
    take(&mut framer, before.len() % 5, &mut Vec::new());
    framer.reset();
    assert_eq!(framer.free(), [0; N]);
    assert_eq!(frame(&mut framer, stream, steps), lines_of(stream));
}

/// The request of a line, as the protocol defines it. The advice in a refusal is left out.
pub fn request_of(line: &[u8]) -> Request<'_> {
    if line.is_empty() {
        return Request::Blank;
    }
    if line[0] != b'/' {
        return message_of(4, line);
    }
    if line.starts_with(b"//") {
        return message_of(4, &line[1..]);
    }
    let is_blank = |byte: &u8| b" \t".contains(byte);
    let word = line.split(is_blank).next().unwrap();
    let rest = line.get(word.len() + 1..).unwrap_or_default();
    let word = &word.to_ascii_lowercase()[..];
    let is_said = !rest.iter().all(is_blank);
    for (known, priority) in [("/urgent", 9), ("/high", 7), ("/low", 1)] {
        if word == known.as_bytes() {
            return if is_said { message_of(priority, rest) } else { Request::Nak(Nak::Empty) };
        }
    }
    for priority in 0..10 {
        if word == format!("/{priority}").as_bytes() {
            return if is_said { message_of(priority, rest) } else { Request::Nak(Nak::Empty) };
        }
    }
    let arguments: Vec<&[u8]> = rest.split(is_blank).filter(|part| !part.is_empty()).collect();
    if let Some(request) = task_request_of(word, rest, &arguments) {
        return request;
    }
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
        [least @ .., word, id] if word.eq_ignore_ascii_case(b"since") => (least, Some(*id)),
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

fn number_of(word: &[u8]) -> Option<u64> {
    let text =
        std::str::from_utf8(word).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    text.parse().ok()
}

/// What a handler says; none: the word is none of a handler's.
fn task_request_of<'a>(word: &[u8], rest: &'a [u8], arguments: &[&'a [u8]]) -> Option<Request<'a>> {
    let number = arguments.first().and_then(|word| number_of(word));
    let text = || {
        let is_blank = |byte: &u8| b" \t".contains(byte);
        let start = rest.iter().position(|byte| !is_blank(byte)).unwrap() + arguments[0].len();
        let start = start + rest[start..].iter().take_while(|byte| is_blank(byte)).count();
        let end = rest.iter().rposition(|byte| !is_blank(byte)).unwrap() + 1;
        &rest[start.min(end)..end]
    };
    let handle = || {
        let (min, count) = match arguments {
            [] => (Some(0), Some(1)),
            [off] if off.eq_ignore_ascii_case(b"off") => return Some(TaskCommand::Stop),
            [min] => (number_of(min).filter(|_| min.len() == 1), Some(1)),
            [min, count] => (number_of(min).filter(|_| min.len() == 1), number_of(count)),
            _ => return None,
        };
        let count = count.filter(|count| (1..=HANDLER_TASKS as u64).contains(count))? as usize;
        Some(TaskCommand::Handle { min: Priority::new(min? as u8)?, count })
    };
    let command = match std::str::from_utf8(word).ok()? {
        "/handle" => handle(),
        "/done" => number.map(|number| TaskCommand::Done(number, text())),
        "/refuse" => number.map(|number| TaskCommand::Refuse(number, text())),
        "/later" => number.map(|number| TaskCommand::Later(number, text())),
        "/extend" => number.filter(|_| arguments.len() == 1).map(TaskCommand::Extend),
        _ => return None,
    };
    let bad = Request::Refused(Refusal::BadArgument(""));
    Some(command.map_or(bad, |command| Request::Command(Command::Task(command))))
}

/// Whether the text is a valid token.
pub fn is_token(text: &str) -> bool {
    (16..=64).contains(&text.len()) && text.chars().all(|character| ('!'..='~').contains(&character))
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
        "/auth" => only.filter(|text| is_token(text)).map(|text| Command::Auth(text.as_bytes())),
        "/last" => number.and_then(NonZeroU64::new).map(Command::Last),
        "/since" => number.map(Command::Since),
        "/leave" => alone(Command::Leave),
        "/who" => alone(Command::Who),
        "/stats" => match only {
            Some(word) => word.eq_ignore_ascii_case("full").then_some(Command::Stats { is_full: true }),
            None => alone(Command::Stats { is_full: false }),
        },
        "/ping" => alone(Command::Ping),
        "/help" => alone(Command::Help),
        "/quit" => alone(Command::Quit),
        _ => return Request::Refused(Refusal::UnknownCommand("")),
    };
    command.map_or(Request::Refused(Refusal::BadArgument("")), Request::Command)
}

/// The request without the advice in a refusal.
pub fn without_advice(request: Request<'_>) -> Request<'_> {
    match request {
        Request::Refused(Refusal::UnknownCommand(_)) => Request::Refused(Refusal::UnknownCommand("")),
        Request::Refused(Refusal::BadArgument(_)) => Request::Refused(Refusal::BadArgument("")),
        other => other,
    }
}

/// Whether a character may reach a terminal, as the protocol defines it.
pub fn is_harmless(character: char) -> bool {
    let code = u32::from(character);
    let is_control = code < 0x20 || (0x7f..=0x9f).contains(&code);
    let bidi =
        [0x61c, 0x200e, 0x200f, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069];
    !is_control && !bidi.contains(&code)
}

/// The text in the form that may reach a terminal: a forbidden character becomes escaped bytes.
pub fn escaped(text: &[u8]) -> String {
    let mut escaped = String::new();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
    let mut rest = text;
    while !rest.is_empty() {
        // A character is the shortest valid prefix, of four bytes at most.
        let character = (1..=rest.len().min(4)).find(|len| std::str::from_utf8(&rest[..*len]).is_ok());
        let len = character.unwrap_or(1);
        match std::str::from_utf8(&rest[..len]).ok().and_then(|text| text.chars().next()) {
            Some('\\') => escaped += "\\\\",
            Some(character) if is_harmless(character) => escaped.push(character),
            _ => escaped += &hex(&rest[..len]),
        }
        rest = &rest[len..];
    }
    escaped
}
