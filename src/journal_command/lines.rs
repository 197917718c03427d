//! Messages as lines: for people, and for programs that read JSON.

use crate::journal::record::Record;
use crate::wire::escape::{Escaped, needs_escape};
use std::fmt::{self, Display, Write};

/// What stands where there is no time.
const NO_TIME: &str = "-";

/// A line without its LF, as text or JSON.
#[derive(Clone, Copy, Debug)]
pub enum Line<'a> {
    /// A message.
    Message(Record<'a>),
    /// So many are missing.
    Lost(u64),
    /// From that ID on they were refused in the end.
    Withdrawn(u64),
}

impl Line<'_> {
    /// Writes it for people, and for programs that read `MSG` lines.
    ///
    /// # Errors
    /// What `out` says.
    pub fn write(&self, out: &mut impl Write) -> fmt::Result {
        match self {
            Self::Message(record) => {
                let Record { id, time_ms, priority, from, text } = *record;
                let (from, text) = (Escaped(from), Escaped(text));
                write!(out, "{} MSG {id} {priority} {from} {text}", Time(time_ms))
            }
            Self::Lost(count) => write!(out, "{NO_TIME} LOST {count}"),
            Self::Withdrawn(id) => write!(out, "{NO_TIME} WITHDRAWN {id}"),
        }
    }

    /// Writes it as a JSON object.
    ///
    /// # Errors
    /// What `out` says.
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
    let (time, priority) = (Time(time_ms), priority.number());
    write!(out, "{{\"id\":{id},\"time\":\"{time}\",\"time_ms\":{time_ms},\"priority\":{priority},\"from\":")?;
    write_string(from, out)?;
    out.write_str(",\"text\":")?;
    write_string(text, out)?;
    if str::from_utf8(text).is_err() {
        out.write_str(",\"text_base64\":\"")?;
        write_base64(text, out)?;
        out.write_char('"')?;
    }
    out.write_char('}')
}

/// Writes a JSON string: RFC 8259, section 7. What is escaped in `MSG` lines is escaped here in JSON's way, so that it does no harm to
/// a terminal either. Bytes that are not UTF-8 become U+FFFD.
fn write_string(bytes: &[u8], out: &mut impl Write) -> fmt::Result {
    out.write_char('"')?;
    for character in String::from_utf8_lossy(bytes).chars() {
        match character {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            // All of them have 16 bits.
            harmful if needs_escape(harmful) => write!(out, "\\u{:04x}", u32::from(harmful))?,
            harmless => out.write_char(harmless)?,
        }
    }
    out.write_char('"')
}

/// RFC 4648, section 4.
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

/// Milliseconds since 1970, shown as date and time in UTC: ISO 8601, RFC 3339.
#[derive(Clone, Copy, Debug)]
pub struct Time(pub u64);

impl Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, ms) = (self.0 / 1_000, self.0 % 1_000);
        let (year, month, day) = date(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

/// Year, month and day of a day since 1970-01-01. A year begins in March here, so that the day that is not in all of them is its last:
/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn date(day: u64) -> (u64, u64, u64) {
    /// From 0000-03-01 to 1970-01-01.
    const DAYS_BEFORE_1970: u64 = 719_468;
    const DAYS_OF_400_YEARS: u64 = 146_097;
    let day = day + DAYS_BEFORE_1970;
    let (era, day) = (day / DAYS_OF_400_YEARS, day % DAYS_OF_400_YEARS);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Five months from March on have 153 days, and so do the next five.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, of_next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (400 * era + year + of_next_year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Priority;

    fn shown(write: impl FnOnce(&mut String) -> fmt::Result) -> String {
        let mut text = String::new();
        write(&mut text).unwrap();
        text
    }

    #[test]
    fn every_day_of_a_thousand_years_follows_the_one_before() {
        let is_leap = |year| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..366_000 {
            assert_eq!(date(days), (year, month, day), "{days}");
            let length = match month {
                2 if is_leap(year) => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    #[test]
    fn times_are_shown_in_utc() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_001, "2000-02-29T00:00:00.001Z"),
            (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Time(ms).to_string(), text);
        }
        assert!(Time(u64::MAX).to_string().ends_with(":51.615Z"), "a clock may say anything");
    }

    #[test]
    fn base64_is_that_of_the_standard() {
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

    #[test]
    fn a_message_is_a_line_for_people_and_one_for_programs() {
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
            r#"{"id":17,"time":"1970-01-01T00:00:00.001Z","time_ms":1,"priority":9,"from":"alice","text":"a \"b\" \\ \u001b[2J"}"#
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
