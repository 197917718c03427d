//! Parses the commands of handlers.

use super::reply::Refusal;
use super::words::{is_blank, min, number, split_at_blank, trim_blanks};
use crate::limits::HANDLER_TASKS;
use crate::protocol::Priority;
use core::str;

/// A valid command of a handler. Tasks have numbers from 1 on each connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskCommand<'a> {
    /// Receive tasks from now on.
    Handle {
        /// The least priority that the handler wants.
        min: Priority,
        /// How many tasks it wants at once: 1 to [`HANDLER_TASKS`].
        count: usize,
    },
    /// Receive no new tasks.
    Stop,
    /// The task of that number is done; the text is for its sender.
    Done(u64, &'a [u8]),
    /// The handler refuses the task of that number; the text is for its sender.
    Refuse(u64, &'a [u8]),
    /// The handler gives the task of that number back, so that a handler can get it later; the text is for its sender.
    Later(u64, &'a [u8]),
    /// Restart the time for the task of that number.
    Extend(u64),
}

/// The refusal of a `/handle` with a wrong argument.
pub const BAD_HANDLE: Refusal = Refusal::BadArgument("it takes [MIN] [COUNT], or off");

/// The refusal of a `/handle` with a wrong COUNT.
pub const BAD_COUNT: Refusal = Refusal::BadArgument(match str::from_utf8(&COUNT_TEXT) {
    Ok(text) => text,
    Err(_) => panic!("it is ASCII"),
});

/// The refusal of a wrong task number.
pub const BAD_NUMBER: Refusal = Refusal::BadArgument("k is the number of a task");

const COUNT_BEFORE: &[u8] = b"COUNT is 1 to ";
const COUNT_DIGITS: usize = if HANDLER_TASKS < 10 { 1 } else { 2 };
const COUNT_TEXT: [u8; COUNT_BEFORE.len() + COUNT_DIGITS] = {
    assert!(HANDLER_TASKS < 100);
    let mut text = [b'0'; COUNT_BEFORE.len() + COUNT_DIGITS];
    let mut place = 0;
    while place < COUNT_BEFORE.len() {
        text[place] = COUNT_BEFORE[place];
        place += 1;
    }
    text[place] = b'0' + (if HANDLER_TASKS < 10 { HANDLER_TASKS } else { HANDLER_TASKS / 10 }) as u8;
    text[text.len() - 1] = b'0' + (HANDLER_TASKS % 10) as u8;
    text
};

/// The command with that word, in lower case, and that argument, or `None` if no command of handlers has that word.
pub(super) fn parse<'a>(word: &[u8], argument: &'a [u8]) -> Option<Result<TaskCommand<'a>, Refusal>> {
    Some(match word {
        b"handle" => handle(argument),
        b"done" => about_task(argument).map(|(number, text)| TaskCommand::Done(number, text)),
        b"refuse" => about_task(argument).map(|(number, text)| TaskCommand::Refuse(number, text)),
        b"later" => about_task(argument).map(|(number, text)| TaskCommand::Later(number, text)),
        b"extend" => {
            number(argument).filter(|_| !argument.is_empty()).map(TaskCommand::Extend).ok_or(BAD_NUMBER)
        }
        _ => return None,
    })
}

/// The arguments of `/handle`: `[MIN] [COUNT]`, or `off`.
fn handle(argument: &[u8]) -> Result<TaskCommand<'_>, Refusal> {
    if argument.eq_ignore_ascii_case(b"off") {
        return Ok(TaskCommand::Stop);
    }
    let mut words = argument.split(is_blank).filter(|word| !word.is_empty());
    let (least, count) = (words.next().unwrap_or_default(), words.next());
    let (Some(min), None) = (min(least), words.next()) else { return Err(BAD_HANDLE) };
    let count = match count.map(number) {
        None => 1,
        Some(Some(count @ 1..)) if count <= HANDLER_TASKS as u64 => count as usize,
        Some(_) => return Err(BAD_COUNT),
    };
    Ok(TaskCommand::Handle { min, count })
}

/// The arguments `k [TEXT]`.
fn about_task(argument: &[u8]) -> Result<(u64, &[u8]), Refusal> {
    let (word, text) = split_at_blank(argument);
    let number = number(word).filter(|_| !word.is_empty()).ok_or(BAD_NUMBER)?;
    Ok((number, trim_blanks(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed<'a>(word: &str, argument: &'a str) -> Result<TaskCommand<'a>, Refusal> {
        parse(word.as_bytes(), argument.as_bytes()).expect("it is a command")
    }

    #[test]
    fn valid_arguments_are_parsed() {
        let handle = |min, count| Ok(TaskCommand::Handle { min, count });
        let most = HANDLER_TASKS.to_string();
        for (word, argument, expected) in [
            ("handle", "", handle(Priority::MIN, 1)),
            ("handle", "7", handle(Priority::HIGH, 1)),
            ("handle", "0\t 2", handle(Priority::MIN, 2)),
            ("handle", &format!("9 {most}"), handle(Priority::URGENT, HANDLER_TASKS)),
            ("handle", "OFF", Ok(TaskCommand::Stop)),
            ("done", "1", Ok(TaskCommand::Done(1, b""))),
            ("done", "12 the valve  is shut", Ok(TaskCommand::Done(12, b"the valve  is shut"))),
            ("refuse", "3\t no", Ok(TaskCommand::Refuse(3, b"no"))),
            ("later", "4", Ok(TaskCommand::Later(4, b""))),
            ("extend", "18446744073709551615", Ok(TaskCommand::Extend(u64::MAX))),
        ] {
            assert_eq!(parsed(word, argument), expected, "/{word} {argument}");
        }
        assert_eq!(parse(b"join", b"7"), None);
    }

    #[test]
    fn refusals_say_what_is_allowed() {
        let more = format!("0 {}", HANDLER_TASKS + 1);
        for (word, argument, refusal) in [
            ("handle", "10", BAD_HANDLE),
            ("handle", "on", BAD_HANDLE),
            ("handle", "7 2 off", BAD_HANDLE),
            ("handle", "7 0", BAD_COUNT),
            ("handle", "7 x", BAD_COUNT),
            ("handle", &more, BAD_COUNT),
            ("done", "", BAD_NUMBER),
            ("done", "ok", BAD_NUMBER),
            ("refuse", "-1 no", BAD_NUMBER),
            ("later", "+1", BAD_NUMBER),
            ("extend", "", BAD_NUMBER),
            ("extend", "1 2", BAD_NUMBER),
        ] {
            assert_eq!(parsed(word, argument), Err(refusal), "/{word} {argument}");
        }
        assert_eq!(BAD_COUNT.advice(), format!("COUNT is 1 to {HANDLER_TASKS}"));
    }
}
