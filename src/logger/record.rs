//! One log record. It has a fixed size, and the caller makes it on its stack, without an allocation.
//!
//! This module owns the format of a line, `12.345678 INFO  text`: time, level, text. It knows neither the ring nor the
//! output.

use core::fmt::{self, Write};

use log::LevelFilter;

use super::times::Times;
use crate::limits::{LOG_ORIGIN_BYTES_MAX, LOG_TEXT_BYTES_MAX};

/// The end of a text that was cut.
const ELLIPSIS: &str = "…";

/// A line to be logged.
///
/// All fields of an empty record are zero, and it has no padding, so that an array of them takes no space in the
/// executable. That is why the level is a `LevelFilter`: its `Off` is zero.
#[derive(Clone, Copy)]
pub struct Record {
    time_ns: u64,
    level: LevelFilter,
    text_bytes: usize,
    text: [u8; LOG_TEXT_BYTES_MAX],
}

/// Where in the source a record comes from.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    /// The module's path.
    pub module: &'a str,
    /// The line in its file, if it is known.
    pub line: Option<u32>,
}

impl Record {
    /// An empty record, for an empty place of the ring.
    pub const EMPTY: Self =
        Self { time_ns: 0, level: LevelFilter::Off, text_bytes: 0, text: [0; LOG_TEXT_BYTES_MAX] };

    /// The record of a text, at time zero; with the origin if the line shows it.
    ///
    /// Control characters are escaped, so the record is one line whatever the text is. If text and origin together are
    /// longer than [`LOG_TEXT_BYTES_MAX`], the text is cut and ends in `…`.
    pub fn new(level: log::Level, text: fmt::Arguments<'_>, origin: Option<Origin<'_>>) -> Self {
        let mut end = [0; LOG_ORIGIN_BYTES_MAX];
        let end = origin.map_or(&[][..], |origin| print(&mut end, format_args!("  ({origin})")));
        let mut record = Self { level: level.to_level_filter(), ..Self::EMPTY };
        let begin_bytes = print(&mut record.text[..LOG_TEXT_BYTES_MAX - end.len()], text).len();
        record.text_bytes = begin_bytes + end.len();
        record.text[begin_bytes..record.text_bytes].copy_from_slice(end);
        record
    }

    /// The record at that time, in nanoseconds since the start.
    pub fn at(self, time_ns: u64) -> Self {
        Self { time_ns, ..self }
    }

    /// When it was logged, in nanoseconds since the start.
    pub fn time_ns(&self) -> u64 {
        self.time_ns
    }

    /// Appends the record as a line, with its time as `times` shows it.
    ///
    /// # Panics
    /// If there is no room for [`LOG_LINE_BYTES_MAX`](crate::limits::LOG_LINE_BYTES_MAX).
    pub fn append_to<const CAPACITY: usize>(&self, times: &Times, out: &mut heapless::Vec<u8, CAPACITY>) {
        let time = times.shown(self.time_ns);
        write!(out, "{time} {:<5} ", self.level.as_str()).expect("a line must fit");
        out.extend_from_slice(&self.text[..self.text_bytes]).expect("a line must fit");
        out.push(b'\n').expect("a line must fit");
    }
}

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.module),
            None => f.write_str(self.module),
        }
    }
}

/// Writes as much of the text as fits, and returns that part. There must be room for the ellipsis.
fn print<'a>(room: &'a mut [u8], text: fmt::Arguments<'_>) -> &'a [u8] {
    let mut line = Line { room, used: 0, cut_at: 0 };
    if line.write_fmt(text).is_err() {
        line.cut();
    }
    let Line { room, used, .. } = line;
    &room[..used]
}

/// A line in a buffer of fixed size. It always holds whole characters and whole escapes.
struct Line<'a> {
    room: &'a mut [u8],
    used: usize,
    /// The last end of a character or an escape that leaves room for the ellipsis.
    cut_at: usize,
}

impl Line<'_> {
    /// Appends all of these bytes, or none.
    fn push(&mut self, bytes: &[u8]) -> fmt::Result {
        let end = self.used + bytes.len();
        self.room.get_mut(self.used..end).ok_or(fmt::Error)?.copy_from_slice(bytes);
        self.used = end;
        if end + ELLIPSIS.len() <= self.room.len() {
            self.cut_at = end;
        }
        Ok(())
    }

    fn push_escaped(&mut self, character: &str) -> fmt::Result {
        let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
        for byte in character.bytes() {
            self.push(&[b'\\', b'x', digit(byte >> 4), digit(byte & 0xf)])?;
        }
        Ok(())
    }

    /// Ends the line with the ellipsis.
    fn cut(&mut self) {
        self.used = self.cut_at + ELLIPSIS.len();
        self.room[self.cut_at..self.used].copy_from_slice(ELLIPSIS.as_bytes());
    }
}

impl Write for Line<'_> {
    /// Returns an error as soon as the room is used up. That also ends the formatting.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            let mut bytes = [0; 4];
            let bytes = character.encode_utf8(&mut bytes);
            if is_control(character) { self.push_escaped(bytes)? } else { self.push(bytes.as_bytes())? }
        }
        Ok(())
    }
}

/// Whether the character could end a line, control a terminal, or change the direction of text.
fn is_control(character: char) -> bool {
    let turns = matches!(character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    character.is_control() || turns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LOG_LINE_BYTES_MAX;
    use log::Level;
    use proptest::prelude::*;

    fn line(record: &Record) -> String {
        let mut out = heapless::Vec::<u8, LOG_LINE_BYTES_MAX>::new();
        record.append_to(&Times::SinceStart, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    fn text(text: &str) -> String {
        let line = line(&Record::new(Level::Info, format_args!("{text}"), None));
        line.strip_prefix("0.000000 INFO  ").unwrap().strip_suffix('\n').unwrap().to_string()
    }

    #[test]
    fn line_is_time_level_text() {
        let record = Record::new(Level::Info, format_args!("{} clients", 3), None);
        assert_eq!(line(&record.at(12_345_678_901)), "12.345678 INFO  3 clients\n");
        let record = Record::new(Level::Error, format_args!(""), None);
        assert_eq!(line(&record.at(999)), "0.000000 ERROR \n");
    }

    #[test]
    fn origin_is_at_the_end_even_of_a_cut_text() {
        let origin = Some(Origin { module: "hub::workers::worker", line: Some(123) });
        assert_eq!(
            line(&Record::new(Level::Debug, format_args!("text"), origin)),
            "0.000000 DEBUG text  (hub::workers::worker:123)\n"
        );
        let long = line(&Record::new(Level::Debug, format_args!("{:0300}", 0), origin));
        assert!(long.ends_with("0…  (hub::workers::worker:123)\n"));
        let origin = Some(Origin { module: &"m".repeat(300), line: None });
        let both = line(&Record::new(Level::Debug, format_args!("{:0300}", 0), origin));
        assert!(both.contains("0…  (m") && both.ends_with("m…\n"));
    }

    #[test]
    fn longest_line_fits() {
        let record = Record::new(Level::Error, format_args!("{:0999}", 0), None).at(u64::MAX);
        assert!(line(&record).len() <= LOG_LINE_BYTES_MAX);
        let mut out = heapless::Vec::<u8, LOG_LINE_BYTES_MAX>::new();
        record.append_to(&Times::utc(), &mut out);
        assert_eq!(out.len(), LOG_LINE_BYTES_MAX);
    }

    #[test]
    fn text_cannot_forge_a_line() {
        assert_eq!(text("a\n0.1 INFO b\r\x1b[2J"), r"a\x0a0.1 INFO b\x0d\x1b[2J");
        assert_eq!(text("\u{85}\u{202e}\\n"), r"\xc2\x85\xe2\x80\xae\n");
    }

    #[test]
    fn text_that_just_fits_is_whole_and_a_longer_one_is_cut() {
        let whole = "x".repeat(LOG_TEXT_BYTES_MAX);
        assert_eq!(text(&whole), whole);
        let cut = text(&(whole + "x"));
        assert_eq!(cut, "x".repeat(LOG_TEXT_BYTES_MAX - ELLIPSIS.len()) + ELLIPSIS);
    }

    #[test]
    fn empty_record_is_all_zero() {
        assert_eq!(Record::EMPTY.level as usize, 0);
        let fields = size_of::<u64>() + 2 * size_of::<usize>() + LOG_TEXT_BYTES_MAX;
        assert_eq!(size_of::<Record>(), fields, "padding would not be zero");
    }

    proptest! {
        #[test]
        fn every_text_is_one_line_that_begins_as_it_does(given in "(?s).{0,300}") {
            let shown = text(&given);
            prop_assert!(shown.len() <= LOG_TEXT_BYTES_MAX);
            prop_assert!(!shown.chars().any(is_control));
            let mut whole = String::new();
            for character in given.chars() {
                if is_control(character) {
                    for byte in character.to_string().bytes() {
                        whole += &format!("\\x{byte:02x}");
                    }
                } else {
                    whole.push(character);
                }
            }
            if whole.len() <= LOG_TEXT_BYTES_MAX {
                prop_assert_eq!(shown, whole);
            } else {
                let begin = shown.strip_suffix(ELLIPSIS).unwrap();
                prop_assert!(whole.starts_with(begin));
                prop_assert!(begin.len() + ELLIPSIS.len() + 3 + 16 > LOG_TEXT_BYTES_MAX);
            }
        }
    }
}
