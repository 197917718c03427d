//! Makes text from other machines, and the system's errors, safe for one line of a terminal.

use super::limits::SHOWN_BYTES_MAX;
use crate::protocol::escape::needs_escape;
use nix::errno::Errno;
use std::fmt::Write as _;
use std::io;

/// A server's text, cut after about [`SHOWN_BYTES_MAX`] bytes. Control characters, and those that change the direction
/// of text, become `\xNN`. Backslashes stay, because the server has already escaped them.
pub fn shown(text: &str) -> String {
    let mut shown = String::new();
    for (at, character) in text.char_indices() {
        if at >= SHOWN_BYTES_MAX {
            shown.push_str("...");
            break;
        }
        if character == '\\' || !needs_escape(character) {
            shown.push(character);
            continue;
        }
        let mut bytes = [0; 4];
        for byte in character.encode_utf8(&mut bytes).bytes() {
            // Writing to a String does not fail.
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

/// A text that is data for programs, so it is not cut: the longest line of the protocol bounds its length. A server of
/// this protocol has already escaped it. A character that should have been escaped becomes U+FFFD.
pub fn shown_whole(text: &str) -> String {
    let harmless = |character: char| character == '\\' || !needs_escape(character);
    text.chars()
        .map(|character| if harmless(character) { character } else { char::REPLACEMENT_CHARACTER })
        .collect()
}

/// The system's description of an error, without its number.
pub fn described(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |raw| Errno::from_raw(raw).desc().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_text_is_short_and_has_no_control_characters() {
        assert_eq!(shown("try again later"), "try again later");
        assert_eq!(shown(r"a\x1bb\\c"), r"a\x1bb\\c");
        assert_eq!(shown("\x1b[2J\u{202e}"), r"\x1b[2J\xe2\x80\xae");
        assert_eq!(shown(&"ü".repeat(SHOWN_BYTES_MAX)), "ü".repeat(SHOWN_BYTES_MAX / 2) + "...");
    }

    #[test]
    fn described_errors_have_no_number() {
        assert_eq!(
            described(&io::Error::from_raw_os_error(Errno::ECONNREFUSED as i32)),
            "Connection refused"
        );
        assert_eq!(described(&io::Error::other("odd")), "odd");
    }
}
