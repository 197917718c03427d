//! Formats an event as a line: as text for people, or as JSON for programs.

use crate::client::shown::shown_whole;
use crate::client::{Gap, What};
use crate::json::{write_string, write_text};
use crate::protocol::Priority;
use crate::protocol::escape::unescape;
use std::fmt::{self, Write};

/// The line of an event, without the LF; `None`: the event has no line.
pub fn line(what: &What, is_json: bool) -> Option<String> {
    match what {
        What::Message { id, priority, from, text } if is_json => {
            let mut line = String::new();
            // Writing to a String does not fail.
            let _ = write_json(&mut line, *id, *priority, from, text);
            Some(line)
        }
        What::Message { id, priority, from, text } => {
            Some(format!("MSG {id} {priority} {} {}", shown_whole(from), shown_whole(text)))
        }
        What::Lost(count) if is_json => Some(format!("{{\"lost\":{count}}}")),
        What::Lost(count) => Some(format!("LOST {count}")),
        What::Begin(gap) => gap.as_ref().filter(|gap| Gap::is_loss(gap)).map(|_| unknown_loss(is_json)),
        What::CaughtUp => None,
    }
}

/// The line for an unknown number of missing messages.
fn unknown_loss(is_json: bool) -> String {
    if is_json { "{\"lost\":null}" } else { "LOST ?" }.to_string()
}

fn write_json(out: &mut impl Write, id: u64, priority: Priority, from: &str, text: &str) -> fmt::Result {
    write!(out, "{{\"id\":{id},\"priority\":{},\"from\":", priority.number())?;
    write_string(&bytes(from), out)?;
    out.write_char(',')?;
    write_text(&bytes(text), out)?;
    out.write_char('}')
}

/// The bytes of an escaped text. A text whose escapes are not valid is returned as it is.
fn bytes(escaped: &str) -> Vec<u8> {
    let bytes: Result<Vec<u8>, _> = unescape(escaped.as_bytes()).collect();
    bytes.unwrap_or_else(|_| escaped.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> What {
        What::Message {
            id: 17,
            priority: Priority::URGENT,
            from: "alice".to_string(),
            text: text.to_string(),
        }
    }

    #[test]
    fn message_is_printed_as_its_msg_line() {
        let shown = |text| line(&message(text), false).unwrap();
        assert_eq!(shown("smoke  in the workshop"), "MSG 17 p9 alice smoke  in the workshop");
        assert_eq!(shown(r"a \\ \x1b[2J"), r"MSG 17 p9 alice a \\ \x1b[2J");
        assert_eq!(shown("not escaped: \x1b[2J"), "MSG 17 p9 alice not escaped: \u{fffd}[2J");
    }

    #[test]
    fn json_has_the_text_without_escapes() {
        let shown = |text| line(&message(text), true).unwrap();
        let head = r#"{"id":17,"priority":9,"from":"alice","text":"#;
        assert_eq!(shown(r#"a "b" \\"#), head.to_string() + r#""a \"b\" \\"}"#);
        assert_eq!(shown(r"\x1b[2J"), head.to_string() + r#""\u001b[2J"}"#);
        assert_eq!(shown(r"\xff"), head.to_string() + "\"\u{fffd}\",\"text_base64\":\"/w==\"}");
        assert_eq!(shown(r"C:\temp"), head.to_string() + r#""C:\\temp"}"#, "it is not escaped");
    }

    #[test]
    fn only_messages_and_losses_are_printed() {
        let of = |what: What| [false, true].map(|is_json| line(&what, is_json));
        let both = |text: &str, json: &str| [Some(text.to_string()), Some(json.to_string())];
        assert_eq!(of(What::Lost(3)), both("LOST 3", r#"{"lost":3}"#));
        assert_eq!(of(What::Begin(Some(Gap::NoJournal))), both("LOST ?", r#"{"lost":null}"#));
        assert_eq!(of(What::Begin(Some(Gap::OtherJournal))), both("LOST ?", r#"{"lost":null}"#));
        let ahead = Gap::Ahead { asked: 2, newest: 1 };
        for what in [What::Begin(None), What::Begin(Some(ahead)), What::CaughtUp] {
            assert_eq!(of(what), [None, None]);
        }
    }
}
