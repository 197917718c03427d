//! The answers of a program: parses the lines of a program that runs for many tasks, and interprets the exit of one
//! that runs for one task.

use super::limits::TEXT_BYTES_MAX;
use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

/// The exit status of a program that cannot do its task now: `EX_TEMPFAIL` in sysexits(3).
const TEMPFAIL: i32 = 75;

/// The result of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Done(Vec<u8>),
    /// It was not done, and will not be.
    Refused(Vec<u8>),
    /// It was not done yet.
    Later(Vec<u8>),
    /// It is not known how much of it was done, for this reason.
    Unknown(String),
}

/// A line from a program that runs for many tasks.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// It can take tasks.
    Ready,
    /// It answers its task.
    Answer(Answer),
    /// It is none of these.
    Other,
}

impl Said {
    /// Parses a line without its LF.
    pub fn parse(line: &[u8]) -> Self {
        let line = line.trim_ascii();
        let (word, text) = match line.iter().position(|byte| *byte == b' ' || *byte == b'\t') {
            Some(blank) => (&line[..blank], line[blank..].trim_ascii_start()),
            None => (line, &[][..]),
        };
        match word {
            b"READY" if text == b"1" => Self::Ready,
            b"ok" => Self::Answer(Answer::Done(bounded(text))),
            b"no" => Self::Answer(Answer::Refused(bounded(text))),
            b"later" => Self::Answer(Answer::Later(bounded(text))),
            _ => Self::Other,
        }
    }
}

impl Answer {
    /// The answer of a program that ended with that status after it wrote `last_line`.
    pub fn of_status(status: ExitStatus, last_line: &[u8]) -> Self {
        let text = bounded(last_line.trim_ascii());
        match status.code() {
            Some(0) => Self::Done(text),
            Some(TEMPFAIL) => Self::Later(text),
            // A refusal without a reason would not help the sender.
            Some(code) if text.is_empty() => Self::Refused(format!("exit status {code}").into_bytes()),
            Some(_) => Self::Refused(text),
            None => Self::Unknown(format!("PROGRAM {}", ended(status))),
        }
    }
}

impl fmt::Display for Answer {
    /// The line with which a program gives this answer; for `Unknown`, the reason.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, text) = match self {
            Self::Done(text) => ("ok", text),
            Self::Refused(text) => ("no", text),
            Self::Later(text) => ("later", text),
            Self::Unknown(reason) => return f.write_str(reason),
        };
        f.write_str(word)?;
        if text.is_empty() { Ok(()) } else { write!(f, " {}", String::from_utf8_lossy(text)) }
    }
}

/// How a program ended, for people.
pub fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_string(),
    }
}

/// The beginning of a text. The server shortens a long text further, and marks the cut.
fn bounded(text: &[u8]) -> Vec<u8> {
    text[..text.len().min(TEXT_BYTES_MAX)].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_has_its_meaning() {
        let text = |text: &str| text.as_bytes().to_vec();
        for (line, said) in [
            ("READY 1", Said::Ready),
            ("READY 1\r", Said::Ready),
            ("ok", Said::Answer(Answer::Done(text("")))),
            ("ok\tthe valve  is shut ", Said::Answer(Answer::Done(text("the valve  is shut")))),
            ("no water", Said::Answer(Answer::Refused(text("water")))),
            ("later not yet", Said::Answer(Answer::Later(text("not yet")))),
            ("READY 2", Said::Other),
            ("READY", Said::Other),
            ("okay", Said::Other),
            ("OK", Said::Other),
            ("", Said::Other),
        ] {
            assert_eq!(Said::parse(line.as_bytes()), said, "{line:?}");
        }
    }

    #[test]
    fn long_text_is_cut_so_that_the_server_sees_it_is_too_long() {
        let Said::Answer(Answer::Done(text)) = Said::parse(&[b"ok ".as_slice(), &[b'x'; 5_000]].concat())
        else {
            panic!("it is an answer")
        };
        assert_eq!(text.len(), TEXT_BYTES_MAX);
    }

    #[test]
    fn exit_status_is_an_answer_and_a_signal_is_not() {
        let of = |raw: i32, line: &str| Answer::of_status(ExitStatus::from_raw(raw), line.as_bytes());
        let text = |text: &str| text.as_bytes().to_vec();
        assert_eq!(of(0, " shut \r"), Answer::Done(text("shut")));
        assert_eq!(of(75 << 8, "busy"), Answer::Later(text("busy")));
        assert_eq!(of(1 << 8, "no such valve"), Answer::Refused(text("no such valve")));
        assert_eq!(of(3 << 8, ""), Answer::Refused(text("exit status 3")));
        assert_eq!(of(9, "shut"), Answer::Unknown("PROGRAM was ended by signal 9".to_string()));
    }
}
