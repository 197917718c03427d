//! The lines to the server, which the server confirms.

use super::answer::Answer;

/// A line from this process to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// How many tasks this process wants: `/handle`.
    Wanted,
    /// The answer to the task of that number.
    Answer(u64, Answer),
    /// A request for more time for the task of that number: `/extend`.
    Extend(u64),
    /// The end of the connection: `/quit`.
    Quit,
}

impl Report {
    /// The line for the server, without its LF; `None`: the server must not get this answer.
    pub fn line(&self, wanted: &str) -> Option<Vec<u8>> {
        let about = |command: &str, number: u64, text: &[u8]| {
            let blank: &[u8] = if text.is_empty() { b"" } else { b" " };
            Some([format!("{command} {number}").as_bytes(), blank, text].concat())
        };
        match self {
            Self::Wanted => Some(format!("/handle {wanted}").into_bytes()),
            Self::Answer(number, Answer::Done(text)) => about("/done", *number, text),
            Self::Answer(number, Answer::Refused(text)) => about("/refuse", *number, text),
            Self::Answer(number, Answer::Later(text)) => about("/later", *number, text),
            Self::Answer(_, Answer::Unknown(_)) => None,
            Self::Extend(number) => about("/extend", *number, b""),
            Self::Quit => Some(b"/quit".to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_report_is_a_command_of_the_protocol() {
        let text = b"the valve  is shut".to_vec();
        for (report, line) in [
            (Report::Wanted, Some("/handle 0 2")),
            (Report::Answer(3, Answer::Done(text)), Some("/done 3 the valve  is shut")),
            (Report::Answer(3, Answer::Refused(Vec::new())), Some("/refuse 3")),
            (Report::Answer(3, Answer::Later(Vec::new())), Some("/later 3")),
            (Report::Answer(3, Answer::Unknown("gone".to_string())), None),
            (Report::Extend(3), Some("/extend 3")),
            (Report::Quit, Some("/quit")),
        ] {
            assert_eq!(report.line("0 2").as_deref(), line.map(str::as_bytes));
        }
    }
}
