//! The outcomes of a message.

use super::reason::Meaning;
use super::reply::Reply;
use super::shown::{shown, shown_whole};
use std::fmt;

/// The outcome of a message: acknowledged, or one of three failures. Each failure needs a different reaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server has processed it.
    Acknowledged(Receipt),
    /// The server refused it and did not process it. Sending it again would not help.
    Refused(Refusal),
    /// It was sent, but for this reason the client does not know whether the server processed it. If it is sent again,
    /// it may be processed twice.
    Unknown(String),
    /// It was not processed, for this reason. If it is sent again, it is not processed twice.
    NotSent(String),
}

/// An acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The message's ID, unique in the whole server. IDs rise in the order of processing.
    pub id: u64,
    /// The server lowered its priority.
    pub is_lowered: bool,
    /// The result from its handler, escaped as in `MSG`.
    pub text: Option<String>,
    /// An earlier attempt has an unknown outcome, so the message may have been processed twice.
    pub may_be_doubled: bool,
}

/// A refusal, with the server's reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The server refuses this message; it may accept others.
    Message(String),
    /// The client has no right to send, so the server refuses each message.
    Client(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Message(reason) | Self::Client(reason)) = self;
        f.write_str(reason)
    }
}

impl fmt::Display for Receipt {
    /// As in the server's `ACK`: `ID`, `ID lowered`, `ID = TEXT` or `ID lowered = TEXT`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(itoa::Buffer::new().format(self.id))?;
        if self.is_lowered {
            f.write_str(" lowered")?;
        }
        self.text.as_ref().map_or(Ok(()), |text| write!(f, " = {text}"))
    }
}

/// The meaning of a reply for its message.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was processed.
    Acknowledged(Receipt),
    /// It was not processed. Sending it again would not help.
    Refused(String),
    /// It was not processed, because the client has no right to send.
    Denied(String),
    /// It was not processed. Sending it again later may succeed.
    Later(String),
    /// It was not processed: no handler took it within the server's `--handle-wait`.
    NotBegun(String),
    /// A handler may have processed it.
    Unknown(String),
}

/// The number of the line that a reply answers, and the verdict; `None`: the reply answers no line, or is an `OK`.
pub fn verdict(reply: &Reply) -> Option<(u64, Verdict)> {
    match reply {
        Reply::Ack { line, id, is_lowered, text } => {
            let text = text.as_deref().map(shown_whole);
            let receipt = Receipt { id: *id, is_lowered: *is_lowered, text, may_be_doubled: false };
            Some((*line, Verdict::Acknowledged(receipt)))
        }
        Reply::Nak { line, reason, text } => Some((*line, of_reason(reason)(said(reason, text)))),
        Reply::Err { line, reason, text } if *line > 0 => Some((*line, Verdict::Refused(said(reason, text)))),
        _ => None,
    }
}

/// A reason and the text that follows it, for people.
pub fn said(reason: &str, text: &str) -> String {
    if text.is_empty() { shown(reason) } else { shown(&format!("{reason}: {text}")) }
}

/// The verdict for the reason of a `NAK`.
fn of_reason(reason: &str) -> fn(String) -> Verdict {
    match Meaning::of(reason) {
        Meaning::Later => Verdict::Later,
        Meaning::NotBegun => Verdict::NotBegun,
        Meaning::NoRight => Verdict::Denied,
        Meaning::Unknown => Verdict::Unknown,
        Meaning::NotUnderstood | Meaning::Other => Verdict::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Option<(u64, Verdict)> {
        verdict(&Reply::parse(line.as_bytes()).unwrap())
    }

    #[test]
    fn receipt_is_shown_as_in_the_ack() {
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
    fn each_failure_has_its_verdict() {
        let text = |text: &str| text.to_string();
        for (line, expected) in [
            ("NAK 2 too-long", Some((2, Verdict::Refused(text("too-long"))))),
            ("NAK 2 handler-refused = dry", Some((2, Verdict::Refused(text("handler-refused: dry"))))),
            ("NAK 2 not-authenticated", Some((2, Verdict::Denied(text("not-authenticated"))))),
            ("NAK 2 no-handler", Some((2, Verdict::NotBegun(text("no-handler"))))),
            ("NAK 2 shutting-down", Some((2, Verdict::Later(text("shutting-down"))))),
            ("NAK 2 journal-failed", Some((2, Verdict::Later(text("journal-failed"))))),
            ("NAK 2 handler-lost", Some((2, Verdict::Unknown(text("handler-lost"))))),
            ("NAK 2 handler-unrecorded", Some((2, Verdict::Unknown(text("handler-unrecorded"))))),
            ("NAK 2 newer-reason", Some((2, Verdict::Refused(text("newer-reason"))))),
            ("ERR 2 unknown try /help", Some((2, Verdict::Refused(text("unknown: try /help"))))),
            ("ERR 0 idle", None),
            ("OK 1", None),
            ("LOST 2", None),
        ] {
            assert_eq!(of(line), expected, "{line}");
        }
    }
}
