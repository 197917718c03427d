//! The laws of `protocol`: each is checked against a plain, slow model, on bytes that are generated to hit its edges.

use firstline::limits::{
    ESCAPED_BYTES_MAX, FROM_BYTES_MAX, LINE_BYTES_MAX, MSG_BYTES_MAX, NICK_BYTES_MAX, RECEIVE_BYTES,
    TEXT_BYTES,
};
use firstline::protocol::Priority;
use firstline::protocol::command::parse;
use firstline::protocol::escape::{Escaped, unescape};
use firstline::protocol::reply::msg;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

#[path = "harness/protocol.rs"]
mod model;

use model::{ReceiveStep, SMALLEST, escaped, frames_are_the_lines, is_harmless, request_of, without_advice};

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

/// How the stream arrives. The steps are repeated until all of it has arrived.
fn steps() -> impl Strategy<Value = Vec<ReceiveStep>> {
    let bytes = prop_oneof![Just(1), 1..8usize, LINE_BYTES_MAX - 3..=LINE_BYTES_MAX + 3, Just(RECEIVE_BYTES)];
    let lines = prop_oneof![Just(0), 0..4usize, Just(usize::MAX)];
    vec((bytes, lines), 1..20)
}

/// A line that is composed of the parts of commands.
fn line() -> impl Strategy<Value = Vec<u8>> {
    const WORDS: &[&str] = &[
        "/urgent", "/high", "/low", "/join", "/leave", "/nick", "/who", "/stats", "/last", "/since", "/ping",
        "/help", "/quit", "/", "//", "/0", "/4", "/9", "/10", "/urgentx", "/PING", "/Urgent", "/jOIN", "",
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
        1 => Just(b"\t".to_vec()),
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

/// A text: any bytes, and dangerous characters among others.
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

proptest! {
    #[test]
    fn reads_do_not_change_lines(stream in stream(), steps in steps(), before in stream()) {
        frames_are_the_lines::<SMALLEST>(&before, &stream, &steps);
        frames_are_the_lines::<{ SMALLEST + 1 }>(&before, &stream, &steps);
        frames_are_the_lines::<RECEIVE_BYTES>(&before, &stream, &steps);
    }

    #[test]
    fn any_bytes_are_lines(stream in vec(any::<u8>(), 0..2 * RECEIVE_BYTES), steps in steps()) {
        frames_are_the_lines::<SMALLEST>(&[], &stream, &steps);
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
    fn escaped_texts_are_harmless_and_can_be_unescaped(text in text()) {
        let plain = escaped(&text);
        let escaped = Escaped(&text).to_string();
        prop_assert_eq!(&escaped, &plain);
        prop_assert!(escaped.chars().all(is_harmless), "{escaped:?}");
        prop_assert!(escaped.len() <= 4 * text.len());
        prop_assert!(escaped.len() <= ESCAPED_BYTES_MAX);
        let back: Result<Vec<u8>, _> = unescape(escaped.as_bytes()).collect();
        prop_assert_eq!(back, Ok(text));
    }

    #[test]
    fn harmless_texts_are_not_escaped(text in any::<String>()) {
        let harmless: String = text.chars().filter(|c| is_harmless(*c) && *c != '\\').collect();
        prop_assert_eq!(Escaped(harmless.as_bytes()).to_string(), harmless);
    }

    #[test]
    fn unescaping_never_panics(escaped in vec(select(&b"\\xX09afgA\n\xff"[..]), 0..40)) {
        let bytes: Vec<_> = unescape(&escaped).collect();
        let first_error = bytes.iter().position(Result::is_err);
        prop_assert!(first_error.is_none_or(|at| at == bytes.len() - 1));
    }

    #[test]
    fn message_is_one_line_that_fits(id: u64, number in 0..10u8, text in text()) {
        let mut batch: heapless::Vec<u8, MSG_BYTES_MAX> = heapless::Vec::new();
        let from = "f".repeat(FROM_BYTES_MAX);
        let range = msg(&mut batch, id, Priority::new(number).unwrap(), &from, &text);
        prop_assert_eq!(range, Ok(0..batch.len()));
        let line = std::str::from_utf8(&batch).unwrap();
        prop_assert_eq!(line, format!("MSG {id} p{number} {from} {}\n", Escaped(&text)));
        prop_assert_eq!(line.matches('\n').count(), 1);
    }
}
