//! Escaping: makes a client's bytes harmless for terminals and logs.
//!
//! Control characters (C0, DEL, C1), the controls that change the direction of text, and bytes that are not UTF-8 are
//! written as `\xNN`, one for each byte of the character, in lower-case hexadecimal. A backslash is written as `\\`.
//! All other characters stay as they are, so text in every language is readable, and no text can forge a line, a name
//! or a terminal's escape sequence. Escaping is reversible. The result is at most four times as long.
//!
//! This module owns both directions, and does not know the use of the bytes.

use core::fmt::{self, Write};
use core::{error, iter, str};

/// Writes the escaped text.
///
/// # Errors
/// The error of `out`, such as a fixed capacity that is full. Then a part is written.
pub fn escape(text: &[u8], out: &mut (impl Write + ?Sized)) -> fmt::Result {
    if let Some(plain) = plain(text) {
        return out.write_str(plain);
    }
    for chunk in text.utf8_chunks() {
        escape_characters(chunk.valid(), out)?;
        escape_bytes(chunk.invalid(), out)?;
    }
    Ok(())
}

/// Bytes that [`Display`](fmt::Display) shows escaped: for logs.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(self.0, f)
    }
}

/// A backslash that is followed by neither a backslash nor `x` and two lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadEscape;

impl fmt::Display for BadEscape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a backslash must be followed by a backslash or by x and two digits of 0-9 a-f")
    }
}

impl error::Error for BadEscape {}

/// The original bytes of an escaped text, one by one. A [`BadEscape`] ends them.
///
/// ```
/// use firstline::protocol::escape::{BadEscape, unescape};
///
/// let bytes: Result<Vec<u8>, BadEscape> = unescape(br"C:\\temp\x07").collect();
/// assert_eq!(bytes.unwrap(), b"C:\\temp\x07");
/// ```
pub fn unescape(escaped: &[u8]) -> impl Iterator<Item = Result<u8, BadEscape>> {
    let mut rest = escaped;
    iter::from_fn(move || {
        let (byte, tail) = match *rest {
            [] => return None,
            [b'\\', b'\\', ref tail @ ..] => (Ok(b'\\'), tail),
            [b'\\', b'x', high, low, ref tail @ ..] => match hex_byte(high, low) {
                Some(byte) => (Ok(byte), tail),
                None => (Err(BadEscape), &[][..]),
            },
            [b'\\', ..] => (Err(BadEscape), &[][..]),
            [byte, ref tail @ ..] => (Ok(byte), tail),
        };
        rest = tail;
        Some(byte)
    })
}

/// The text itself, if it is all printable ASCII without a backslash, as most texts are. It checks every byte without
/// stopping early, so that the compiler can use SIMD.
fn plain(text: &[u8]) -> Option<&str> {
    let plain = text.iter().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~') & (*byte != b'\\'));
    if plain { str::from_utf8(text).ok() } else { None }
}

/// Copies runs of harmless characters as a whole, and escapes the characters between them.
fn escape_characters(text: &str, out: &mut (impl Write + ?Sized)) -> fmt::Result {
    let mut copied = 0;
    for (at, character) in text.match_indices(needs_escape) {
        out.write_str(&text[copied..at])?;
        match character {
            "\\" => out.write_str(r"\\")?,
            control => escape_bytes(control.as_bytes(), out)?,
        }
        copied = at + character.len();
    }
    out.write_str(&text[copied..])
}

/// Writes each byte as `\xNN`.
fn escape_bytes(bytes: &[u8], out: &mut (impl Write + ?Sized)) -> fmt::Result {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    for byte in bytes {
        out.write_str(r"\x")?;
        out.write_char(DIGITS[usize::from(byte >> 4)])?;
        out.write_char(DIGITS[usize::from(byte & 0xf)])?;
    }
    Ok(())
}

/// Whether a character could do harm, or is the backslash. `char::is_control` covers C0, DEL and C1. The others have
/// the property `Bidi_Control` (Unicode Standard Annex 9, "Unicode Bidirectional Algorithm").
pub fn needs_escape(character: char) -> bool {
    let bidi_control = matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    character == '\\' || character.is_control() || bidi_control
}

/// The byte that two lower-case hexadecimal digits name.
fn hex_byte(high: u8, low: u8) -> Option<u8> {
    Some(hex_digit(high)? << 4 | hex_digit(low)?)
}

/// The value of one lower-case hexadecimal digit.
fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &[u8]) -> String {
        Escaped(text).to_string()
    }

    #[test]
    fn only_harmful_characters_are_escaped() {
        let table: &[(&[u8], &str)] = &[
            (b"", ""),
            (b"smoke in the workshop", "smoke in the workshop"),
            (b"~ and space", "~ and space"),
            (br"\", r"\\"),
            (br"\x0a", r"\\x0a"),
            (b"a\0b", r"a\x00b"),
            (b"a\tb\x1b[2J", r"a\x09b\x1b[2J"),
            (b"forged\nMSG 1 p9 root hi\r", r"forged\x0aMSG 1 p9 root hi\x0d"),
            (b"\x7f", r"\x7f"),
            ("\u{80}\u{9b}\u{9f}".as_bytes(), r"\xc2\x80\xc2\x9b\xc2\x9f"),
            ("\u{a0}grün 漢字 🔥".as_bytes(), "\u{a0}grün 漢字 🔥"),
            ("\u{61c}".as_bytes(), r"\xd8\x9c"),
            ("\u{200d}\u{200e}\u{200f}\u{2010}".as_bytes(), "\u{200d}\\xe2\\x80\\x8e\\xe2\\x80\\x8f\u{2010}"),
            ("\u{202a}\u{202e}\u{202f}".as_bytes(), "\\xe2\\x80\\xaa\\xe2\\x80\\xae\u{202f}"),
            ("\u{2065}\u{2066}\u{2069}".as_bytes(), "\u{2065}\\xe2\\x81\\xa6\\xe2\\x81\\xa9"),
            (b"\xff ok \xc3", r"\xff ok \xc3"),
            (b"\xc0\x8a", r"\xc0\x8a"),
            (b"\xed\xa0\x80", r"\xed\xa0\x80"),
            (b"\xf0\x9f\x94", r"\xf0\x9f\x94"),
        ];
        for (text, expected) in table {
            assert_eq!(escaped(text), *expected);
        }
    }

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        let back: Result<Vec<u8>, BadEscape> = unescape(escaped(&all).as_bytes()).collect();
        assert_eq!(back, Ok(all));
    }

    #[test]
    fn bad_escape_ends_the_bytes() {
        for bad in [r"\", r"\n", r"\x", r"\x1", r"\x1G", r"\x1B", r"\xg0", r"\X1b", r"\x 1"] {
            let text = format!("ok{bad}");
            let bytes: Vec<_> = unescape(text.as_bytes()).collect();
            assert_eq!(bytes, [Ok(b'o'), Ok(b'k'), Err(BadEscape)], "{bad}");
        }
    }

    #[test]
    fn full_buffer_is_an_error() {
        let mut buffer: heapless::Vec<u8, 5> = heapless::Vec::new();
        assert_eq!(escape(b"12345", &mut buffer), Ok(()));
        assert_eq!(escape(b"6", &mut buffer), Err(fmt::Error));
        buffer.clear();
        assert_eq!(escape(b"12\n", &mut buffer), Err(fmt::Error));
    }
}
