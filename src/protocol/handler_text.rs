//! The text of a handler for the sender of a message.

use super::escape::escape;
use crate::limits::{CUT_MARK, HANDLER_TEXT_BYTES};
use core::str;
use heapless::{String, Vec};

/// The longest escaped text, in bytes, with the mark of a cut.
const ESCAPED_BYTES_MAX: usize = 4 * HANDLER_TEXT_BYTES + CUT_MARK.len();

/// A text of up to [`HANDLER_TEXT_BYTES`] bytes. A new one is all zeroes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandlerText {
    bytes: Vec<u8, HANDLER_TEXT_BYTES>,
    is_cut: bool,
}

impl HandlerText {
    /// No text.
    pub const NONE: Self = Self { bytes: Vec::new(), is_cut: false };

    /// The first [`HANDLER_TEXT_BYTES`] bytes of `text`, or up to three fewer, so that no character of UTF-8 is split.
    pub fn new(text: &[u8]) -> Self {
        let len = if text.len() <= HANDLER_TEXT_BYTES { text.len() } else { cut_at(text) };
        // It fits.
        Self { bytes: Vec::from_slice(&text[..len]).unwrap_or_default(), is_cut: len < text.len() }
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether the text was too long, and so was cut.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The escaped text, in at most `bytes_max` bytes. If it was cut before or is cut here, it ends with [`CUT_MARK`].
    /// `bytes_max` must be at least the length of the mark.
    pub fn escaped(&self, bytes_max: usize) -> String<ESCAPED_BYTES_MAX> {
        let mut escaped = String::new();
        // It fits.
        let _ = escape(&self.bytes, &mut escaped);
        if self.is_cut || escaped.len() > bytes_max {
            let room = bytes_max.saturating_sub(CUT_MARK.len());
            escaped.truncate(whole_units(&escaped, room));
            let _ = escaped.push_str(CUT_MARK);
        }
        escaped
    }
}

/// Where to cut a text that is too long: before the character that does not fit, if the text is UTF-8 at that point.
fn cut_at(text: &[u8]) -> usize {
    let is_continuation = |at: usize| text[at] & 0xc0 == 0x80;
    let first = (HANDLER_TEXT_BYTES - 3..=HANDLER_TEXT_BYTES).rev().find(|at| !is_continuation(*at));
    first.unwrap_or(HANDLER_TEXT_BYTES)
}

/// The length of the longest beginning of an escaped text that has at most `bytes_max` bytes and splits no character
/// and no escape.
fn whole_units(escaped: &str, bytes_max: usize) -> usize {
    let mut end = 0;
    while let Some(next) = escaped[end..].chars().next() {
        let unit = match escaped.as_bytes().get(end + 1) {
            Some(b'x') if next == '\\' => r"\xNN".len(),
            _ if next == '\\' => r"\\".len(),
            _ => next.len_utf8(),
        };
        if end + unit > bytes_max {
            break;
        }
        end += unit;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::escape::unescape;
    use proptest::prelude::*;

    #[test]
    fn long_text_is_cut_and_marked_and_other_text_stays() {
        let longest = "x".repeat(HANDLER_TEXT_BYTES);
        assert_eq!(HandlerText::new(longest.as_bytes()).escaped(1_000), longest.as_str());
        let longer = HandlerText::new(format!("{longest}x").as_bytes());
        assert!(longer.is_cut());
        assert_eq!(longer.escaped(1_000), format!("{longest}{CUT_MARK}").as_str());
        assert!(HandlerText::new(b"").is_empty());
        assert_eq!(HandlerText::new(b"12345678").escaped(7), format!("123{CUT_MARK}").as_str());
    }

    #[test]
    fn text_that_ends_like_the_mark_is_told_from_a_cut_one_by_its_escapes() {
        let text = HandlerText::new(CUT_MARK.as_bytes()).escaped(1_000);
        assert!(text.ends_with(CUT_MARK));
        let bytes: Result<std::vec::Vec<u8>, _> = unescape(text.as_bytes()).collect();
        assert_eq!(bytes.unwrap(), CUT_MARK.as_bytes());
        assert!(unescape(HandlerText::new(b"12345678").escaped(7).as_bytes()).any(|byte| byte.is_err()));
    }

    #[test]
    fn cut_splits_no_character() {
        for lead in 0..4 {
            let text = "x".repeat(lead) + &"\u{1f525}".repeat(HANDLER_TEXT_BYTES);
            let cut = HandlerText::new(text.as_bytes());
            let escaped = cut.escaped(4 * HANDLER_TEXT_BYTES);
            assert!(text.starts_with(escaped.strip_suffix(CUT_MARK).unwrap()), "{escaped}");
        }
    }

    proptest! {
        #[test]
        fn any_cut_is_the_beginning_of_the_text(
            text in prop::collection::vec(
                prop_oneof![any::<u8>(), Just(b'\\'), Just(b'.'), Just(0xc3), Just(0xbc)],
                0..400,
            ),
            bytes_max in CUT_MARK.len()..1_100,
        ) {
            let escaped = HandlerText::new(&text).escaped(bytes_max);
            prop_assert!(escaped.len() <= bytes_max);
            let undone = |escaped: &str| unescape(escaped.as_bytes()).collect::<Result<std::vec::Vec<u8>, _>>();
            // Only a text that was cut has a backslash that begins no escape.
            match undone(&escaped) {
                Ok(bytes) => prop_assert_eq!(bytes, text),
                Err(_) => {
                    let bytes = undone(escaped.strip_suffix(CUT_MARK).unwrap()).unwrap();
                    prop_assert!(text.starts_with(&bytes) && bytes.len() < text.len());
                }
            }
        }
    }
}
