//! Messages as lines: for people, and for programs that read JSON.

use crate::clock::Utc;
use crate::journal::record::Record;
use crate::json::{write_string, write_text};
use crate::protocol::escape::Escaped;
use std::fmt::{self, Write};

/// What a line without a time begins with.
const NO_TIME: &str = "-";

/// A line without its LF, as text or JSON.
#[derive(Clone, Copy, Debug)]
pub enum Line<'a> {
    /// A message.
    Message(Record<'a>),
    /// This many messages are missing.
    Lost(u64),
    /// The server has refused the printed messages from this ID on: it could not commit them.
    Withdrawn(u64),
}

impl Line<'_> {
    /// Writes the line for people, and for programs that read `MSG` lines.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut impl Write) -> fmt::Result {
        match self {
            Self::Message(record) => {
                let Record { id, time_ms, priority, from, text } = *record;
                let (from, text) = (Escaped(from), Escaped(text));
                write!(out, "{} MSG {id} {priority} {from} {text}", Utc(time_ms))
            }
            Self::Lost(count) => write!(out, "{NO_TIME} LOST {count}"),
            Self::Withdrawn(id) => write!(out, "{NO_TIME} WITHDRAWN {id}"),
        }
    }

    /// Writes the line as a JSON object.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_json(&self, out: &mut impl Write) -> fmt::Result {
        match self {
            Self::Message(record) => write_message(record, out),
            Self::Lost(count) => write!(out, "{{\"lost\":{count}}}"),
            Self::Withdrawn(id) => write!(out, "{{\"withdrawn\":{id}}}"),
        }
    }
}

fn write_message(record: &Record<'_>, out: &mut impl Write) -> fmt::Result {
    let Record { id, time_ms, priority, from, text } = *record;
    let (time, priority) = (Utc(time_ms), priority.number());
    write!(out, "{{\"id\":{id},\"time\":\"{time}\",\"time_ms\":{time_ms},\"priority\":{priority},\"from\":")?;
    write_string(from, out)?;
    out.write_char(',')?;
    write_text(text, out)?;
    out.write_char('}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Priority;

    fn shown(write: impl FnOnce(&mut String) -> fmt::Result) -> String {
        let mut text = String::new();
        write(&mut text).unwrap();
        text
    }

    #[test]
    fn message_is_one_line_as_text_and_as_json() {
        let record = Record {
            id: 17,
            time_ms: 1,
            priority: Priority::URGENT,
            from: b"alice",
            text: b"a \"b\" \\ \x1b[2J",
        };
        let line = Line::Message(record);
        assert_eq!(
            shown(|out| line.write(out)),
            r#"1970-01-01T00:00:00.001Z MSG 17 p9 alice a "b" \\ \x1b[2J"#
        );
        assert_eq!(
            shown(|out| line.write_json(out)),
            concat!(
                r#"{"id":17,"time":"1970-01-01T00:00:00.001Z","time_ms":1,"priority":9,"from":"alice","#,
                r#""text":"a \"b\" \\ \u001b[2J"}"#
            )
        );
        let line = Line::Message(Record { text: b"\xff\xe2\x80\xae", ..record });
        let json = shown(|out| line.write_json(out));
        assert!(json.ends_with(",\"text\":\"\u{fffd}\\u202e\",\"text_base64\":\"/+KArg==\"}"), "{json}");
        assert_eq!(shown(|out| Line::Lost(3).write(out)), "- LOST 3");
        assert_eq!(shown(|out| Line::Lost(3).write_json(out)), r#"{"lost":3}"#);
        assert_eq!(shown(|out| Line::Withdrawn(3).write(out)), "- WITHDRAWN 3");
        assert_eq!(shown(|out| Line::Withdrawn(3).write_json(out)), r#"{"withdrawn":3}"#);
    }
}
