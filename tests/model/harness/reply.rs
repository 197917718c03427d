//! The lines of the server, parsed.

use super::protocol::is_harmless;
use firstline::protocol::Priority;

/// One line from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Whether the priority was lowered, and the text of its handler.
    Ack(u64, u64, bool, Option<String>),
    /// With the text of its handler.
    Nak(u64, String, Option<String>),
    /// The number of a task, its priority, its sender, and its text, escaped.
    Task(u64, Priority, String, String),
    /// With the text after the number.
    Ok(u64, String),
    Err(u64, String),
    Msg(Message),
    /// How many IDs were lost: at most as many messages for this client.
    Lost(u64),
    /// A line of a longer answer.
    Item(String),
    Bye(String),
}

/// A `MSG` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: u64,
    pub priority: Priority,
    pub from: String,
    /// Escaped.
    pub text: String,
}

/// A number in the form in which the server writes it.
fn number(word: &str) -> u64 {
    let number = word.parse().unwrap_or_else(|_| panic!("no number: {word:?}"));
    assert_eq!(u64::to_string(&number), word);
    number
}

/// The priority in the form `pP`.
fn priority_of(word: &str) -> Priority {
    let digit = word.strip_prefix('p').expect("a priority is p and a digit").as_bytes();
    assert_eq!(digit.len(), 1);
    Priority::from_digit(digit[0]).expect("a digit")
}

impl Reply {
    /// Parses a line; a line that is not in the protocol is a forgery.
    pub fn of(line: &[u8]) -> Self {
        let line = str::from_utf8(line).expect("the server sends UTF-8");
        assert!(line.chars().all(is_harmless), "{line:?}");
        let words: Vec<&str> = line.splitn(5, ' ').collect();
        match words[..] {
            ["ACK", n, id] => Self::Ack(number(n), number(id), false, None),
            ["ACK", n, id, "lowered"] => Self::Ack(number(n), number(id), true, None),
            ["ACK", n, id, "=", text] => Self::Ack(number(n), number(id), false, Some(text.to_string())),
            ["ACK", n, id, "lowered", text] => {
                let text = text.strip_prefix("= ").expect("a text follows an equals sign");
                Self::Ack(number(n), number(id), true, Some(text.to_string()))
            }
            ["NAK", n, reason] => Self::Nak(number(n), reason.to_string(), None),
            ["NAK", n, reason, "=", text] => Self::Nak(number(n), reason.to_string(), Some(text.to_string())),
            ["TASK", k, priority, left_ms, rest] => {
                number(left_ms);
                let (from, text) = rest.split_once(' ').expect("a text follows the sender");
                Self::Task(number(k), priority_of(priority), from.to_string(), text.to_string())
            }
            ["OK", n] => Self::Ok(number(n), String::new()),
            ["OK", n, text] => Self::Ok(number(n), text.to_string()),
            ["ERR", n, reason, ..] => Self::Err(number(n), reason.to_string()),
            ["LOST", count] => {
                let count = number(count);
                assert!(count > 0, "a LOST without a loss");
                Self::Lost(count)
            }
            ["BYE", reason @ ("quit" | "shutting-down")] => Self::Bye(reason.to_string()),
            ["WHO" | "STAT" | "HELP", ..] => Self::Item(line.to_string()),
            ["MSG", id, priority, from, text] => Self::Msg(Message {
                id: number(id),
                priority: priority_of(priority),
                from: from.to_string(),
                text: text.to_string(),
            }),
            _ => panic!("not a line of the server: {line:?}"),
        }
    }

    /// Whether the server ended a connection that the client wanted to keep.
    pub fn is_early_end(&self) -> bool {
        matches!(self, Self::Err(0, _)) || *self == Self::Bye("shutting-down".to_string())
    }
}
