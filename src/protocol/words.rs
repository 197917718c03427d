//! The words of a line: blanks, numbers and priorities.

use crate::protocol::Priority;
use core::str;
use memchr::memchr2;

/// Whether the byte separates words.
pub(super) fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The parts before and after the first blank, or the whole line and an empty part if there is no blank.
pub(super) fn split_at_blank(line: &[u8]) -> (&[u8], &[u8]) {
    match memchr2(b' ', b'\t', line) {
        Some(blank) => (&line[..blank], &line[blank + 1..]),
        None => (line, &[]),
    }
}

/// The text without the blanks around it.
pub(super) fn trim_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// A decimal number of digits only; `u64::from_str` would also accept a plus sign.
pub(super) fn number(argument: &[u8]) -> Option<u64> {
    let digits = argument.iter().all(u8::is_ascii_digit);
    if digits { str::from_utf8(argument).ok()?.parse().ok() } else { None }
}

/// The least priority that the client wants: the lowest one if the argument is empty.
pub(super) fn min(argument: &[u8]) -> Option<Priority> {
    match argument {
        [] => Some(Priority::MIN),
        [digit] => Priority::from_digit(*digit),
        _ => None,
    }
}
