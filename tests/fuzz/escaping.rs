//! Escaping, compared with a plain model: it lets nothing dangerous through, can be undone, and makes one line
//! that fits.

#![no_main]

use firstline::limits::{ESCAPED_BYTES_MAX, FROM_BYTES_MAX, MSG_BYTES_MAX, TEXT_BYTES};
use firstline::protocol::Priority;
use firstline::protocol::escape::{Escaped, unescape};
use firstline::protocol::reply::msg;
use libfuzzer_sys::fuzz_target;
use model::{escaped, is_harmless};

#[path = "../model/harness/protocol.rs"]
mod model;

fuzz_target!(|text: &[u8]| {
    let plain = escaped(text);
    assert_eq!(Escaped(text).to_string(), plain);
    assert!(plain.chars().all(is_harmless));
    let back: Result<Vec<u8>, _> = unescape(plain.as_bytes()).collect();
    assert_eq!(back.as_deref(), Ok(text));
    // The reverse: an unescaped text is escaped to the same bytes, or to bytes that are unescaped to the same.
    let undone: Vec<_> = unescape(text).collect();
    assert!(undone.iter().rev().skip(1).all(Result::is_ok), "nothing comes after an error");
    if let Ok(bytes) = undone.into_iter().collect::<Result<Vec<u8>, _>>() {
        assert!(unescape(escaped(&bytes).as_bytes()).eq(bytes.into_iter().map(Ok)));
    }
    let text = &text[..text.len().min(TEXT_BYTES)];
    assert!(escaped(text).len() <= ESCAPED_BYTES_MAX);
    let (mut line, from) = (heapless::Vec::<u8, MSG_BYTES_MAX>::new(), "f".repeat(FROM_BYTES_MAX));
    assert!(msg(&mut line, u64::MAX, Priority::URGENT, &from, text).is_ok(), "the longest fits");
    assert_eq!(line, format!("MSG {} p9 {from} {}\n", u64::MAX, escaped(text)).as_bytes());
});
