//! What became of a message.

use super::reply::Reply;
use super::shown::{shown, shown_whole};
use std::fmt;

/// What became of a message: acknowledged, or one of three failures that ask for different things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server has processed it.
    Acknowledged(Receipt),
    /// The server will not take it, and it was not processed. To send it again would not help.
    Refused(Refusal),
    /// It was sent, and whether it was processed is not known, for this reason. To send it again may double it.
    Unknown(String),
    /// It was not processed, for this reason. To send it again later doubles nothing.
    NotSent(String),
}

/// An acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The message's number in the whole server; they rise in the order of processing.
    pub id: u64,
    /// It was processed with a lower priority than was asked for.
    pub is_lowered: bool,
    /// What its handler said, escaped as in `MSG`.
    pub text: Option<String>,
    /// It was sent before, and that became unknown: it may have been processed twice.
    pub may_be_doubled: bool,
}

/// A refusal, with the server's reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This message is refused, others may not be.
    Message(String),
    /// This client has no right, so each message is refused.
    Client(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Message(reason) | Self::Client(reason)) = self;
        f.write_str(reason)
    }
}

impl fmt::Display for Receipt {
    /// As the server says it: `ID`, `ID lowered`, `ID = TEXT` or `ID lowered = TEXT`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id)?;
        if self.is_lowered {
            f.write_str(" lowered")?;
        }
        self.text.as_ref().map_or(Ok(()), |text| write!(f, " = {text}"))
    }
}

/// What a reply says of one message.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was processed.
    Acknowledged(Receipt),
    /// It was not, and will not be.
    Refused(String),
    /// It was not, for this client has no right.
    Denied(String),
    /// It was not, and may be later.
    Later(String),
    /// A handler may have done it.
    Unknown(String),
}

/// The verdict of a closing reply, with the number of its line; none: it closes no line, or that of a command that went well.
pub fn verdict(reply: &Reply) -> Option<(u64, Verdict)> {
    match reply {
        Reply::Ack { line, id, is_lowered, text } => {
            let text = text.as_deref().map(shown_whole);
            let receipt = Receipt { id: *id, is_lowered: *is_lowered, text, may_be_doubled: false };
            Some((*line, Verdict::Acknowledged(receipt)))
        }
        Reply::Nak { line, reason, text } => Some((*line, of_reason(reason)(said(reason, text)))),
        Reply::Err { line, reason, .. } if *line > 0 => Some((*line, Verdict::Refused(shown(reason)))),
        _ => None,
    }
}

/// A reason and what the server says to do, for people.
pub fn said(reason: &str, text: &str) -> String {
    if text.is_empty() { shown(reason) } else { shown(&format!("{reason}: {text}")) }
}

/// What kind of failure a `NAK` means: the protocol says of the first that the message may be sent again, and of the second that its
/// handler took it.
fn of_reason(reason: &str) -> fn(String) -> Verdict {
    match reason {
        "shutting-down" | "journal-failed" | "print-failed" => Verdict::Later,
        "not-authenticated" => Verdict::Denied,
        "handler-timeout" | "handler-lost" => Verdict::Unknown,
        _ => Verdict::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Option<(u64, Verdict)> {
        verdict(&Reply::parse(line.as_bytes()).unwrap())
    }

    #[test]
    fn a_receipt_reads_as_the_server_says_it() {
        for said in ["17", "17 lowered", "17 = done", "17 lowered = it is = shut"] {
            let Some((3, Verdict::Acknowledged(receipt))) = of(&format!("ACK 3 {said}")) else {
                panic!("{said}")
            };
            assert_eq!(receipt.to_string(), said);
        }
        let Some((_, Verdict::Acknowledged(receipt))) = of("ACK 3 17 = a\x1bb") else {
            panic!("it is an ACK")
        };
        assert_eq!(receipt.to_string(), "17 = a\u{fffd}b");
    }

    #[test]
    fn failures_are_told_apart() {
        let text = |text: &str| text.to_string();
        for (line, expected) in [
            ("NAK 2 too-long", Some((2, Verdict::Refused(text("too-long"))))),
            ("NAK 2 handler-refused = dry", Some((2, Verdict::Refused(text("handler-refused: dry"))))),
            ("NAK 2 not-authenticated", Some((2, Verdict::Denied(text("not-authenticated"))))),
            ("NAK 2 no-handler", Some((2, Verdict::Refused(text("no-handler"))))),
            ("NAK 2 shutting-down", Some((2, Verdict::Later(text("shutting-down"))))),
            ("NAK 2 journal-failed", Some((2, Verdict::Later(text("journal-failed"))))),
            ("NAK 2 handler-lost", Some((2, Verdict::Unknown(text("handler-lost"))))),
            ("NAK 2 newer-reason", Some((2, Verdict::Refused(text("newer-reason"))))),
            ("ERR 0 idle", None),
            ("OK 1", None),
            ("LOST 2", None),
        ] {
            assert_eq!(of(line), expected, "{line}");
        }
    }
}
