//! JSON as the commands print it: strings that are safe for a terminal, and bytes in Base64.

use crate::protocol::escape::needs_escape;
use std::fmt::{self, Write};

/// Writes the members of an object that hold a message's text: `text`, and `text_base64` with its bytes where they are
/// not UTF-8.
///
/// # Errors
/// Those of `out`.
pub fn write_text(text: &[u8], out: &mut impl Write) -> fmt::Result {
    out.write_str("\"text\":")?;
    write_string(text, out)?;
    if str::from_utf8(text).is_err() {
        out.write_str(",\"text_base64\":\"")?;
        write_base64(text, out)?;
        out.write_char('"')?;
    }
    Ok(())
}

/// Writes a JSON string: RFC 8259, section 7. It escapes the same characters as `MSG` lines, in the JSON way, so that
/// it is safe for a terminal too. Bytes that are not UTF-8 become U+FFFD.
///
/// # Errors
/// Those of `out`.
pub fn write_string(bytes: &[u8], out: &mut impl Write) -> fmt::Result {
    out.write_char('"')?;
    for character in String::from_utf8_lossy(bytes).chars() {
        match character {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            // All of these characters fit in 16 bits.
            harmful if needs_escape(harmful) => write!(out, "\\u{:04x}", u32::from(harmful))?,
            harmless => out.write_char(harmless)?,
        }
    }
    out.write_char('"')
}

/// Writes Base64: RFC 4648, section 4. Ten lines, so that the server's binary needs no crate for them.
fn write_base64(bytes: &[u8], out: &mut impl Write) -> fmt::Result {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | u32::from(*chunk.get(at).unwrap_or(&0)));
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 63;
            out.write_char(if digit <= chunk.len() { DIGITS[value as usize].into() } else { '=' })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(write: impl FnOnce(&mut String) -> fmt::Result) -> String {
        let mut text = String::new();
        write(&mut text).unwrap();
        text
    }

    #[test]
    fn base64_is_as_in_the_standard() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(shown(|out| write_base64(bytes.as_bytes(), out)), text);
        }
        assert_eq!(shown(|out| write_base64(&[0xfb, 0xef, 0xff], out)), "++//");
    }
}
