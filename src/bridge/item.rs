//! The items that are sent for a class: messages, and reports of losses, which are messages that cannot be sent.

use super::limits::ENVELOPE_BYTES;
use crate::journal::record::Record;
use crate::protocol::Priority;
use std::fmt;

/// One item to send. The items of a class are in the order of their IDs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The message or the loss.
    pub content: Content,
    /// The first ID that it covers. If the bridge restarts before the item is acknowledged, it continues from this ID.
    pub first: u64,
    /// How often the broker refused it for a temporary reason, or closed the connection because of it.
    pub attempts: u32,
}

/// The content of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A message of the journal.
    Message(Message),
    /// Messages that will not be sent.
    Loss(Loss),
}

/// A message of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its ID.
    pub id: u64,
    /// When it was processed, in ms since 1970 by the board's clock.
    pub time_ms: u64,
    /// Its priority.
    pub priority: Priority,
    /// The sender.
    pub from: Vec<u8>,
    /// The text.
    pub text: Vec<u8>,
}

/// Messages that will not be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// How many at most, or `None` if that is not known.
    pub count: Option<u64>,
    /// The first and the last ID that they may have.
    pub ids: (u64, u64),
    /// Why.
    pub reason: Reason,
}

/// Why messages will not be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Newer messages have overwritten them in the journal.
    Overwritten,
    /// They are damaged, or no message ever had these IDs.
    Missing,
    /// They were older than `--max-age`.
    Expired,
    /// The broker takes no packet of that size.
    TooLarge,
    /// The broker refuses them, for this reason, or they cannot be written as MQTT.
    Refused(String),
    /// Another journal has replaced theirs.
    OtherJournal,
}

impl Item {
    /// A message.
    pub fn message(message: Message) -> Self {
        Self { first: message.id, content: Content::Message(message), attempts: 0 }
    }

    /// A loss.
    pub fn loss(loss: Loss) -> Self {
        Self { first: loss.ids.0, content: Content::Loss(loss), attempts: 0 }
    }

    /// Its size for the turns of the classes: its text, its sender, and an estimate of the rest of the packet. So the
    /// bridge can decide which class sends next without encoding a packet.
    pub fn bytes(&self) -> usize {
        ENVELOPE_BYTES
            + match &self.content {
                Content::Message(message) => message.from.len() + message.text.len(),
                Content::Loss(_) => 0,
            }
    }

    /// Whether it is the loss of what remained in another journal, which this journal has replaced.
    pub fn is_of_other_journal(&self) -> bool {
        matches!(&self.content, Content::Loss(loss) if loss.reason == Reason::OtherJournal)
    }
}

impl Message {
    /// A copy of a record.
    pub fn of(record: &Record<'_>) -> Self {
        let Record { id, time_ms, priority, from, text } = *record;
        Self { id, time_ms, priority, from: from.to_vec(), text: text.to_vec() }
    }

    /// The message as a record.
    pub fn record(&self) -> Record<'_> {
        let Self { id, time_ms, priority, ref from, ref text } = *self;
        Record { id, time_ms, priority, from, text }
    }
}

impl Loss {
    /// Adds the `count` messages that follow, up to ID `last`, lost for the same reason.
    pub fn extend(&mut self, count: u64, last: u64) {
        self.count = self.count.map(|before| before.saturating_add(count));
        self.ids.1 = self.ids.1.max(last);
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overwritten => f.write_str("overwritten"),
            Self::Missing => f.write_str("missing"),
            Self::Expired => f.write_str("expired"),
            Self::TooLarge => f.write_str("too-large"),
            Self::Refused(reason) => write!(f, "refused: {reason}"),
            Self::OtherJournal => f.write_str("other-journal"),
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, ids: (first, last), reason } = self;
        match count {
            Some(1) if first == last => write!(f, "message {first} was not sent: {reason}"),
            Some(count) => {
                write!(f, "up to {count} messages with IDs {first} to {last} were not sent: {reason}")
            }
            None => write!(f, "an unknown number of messages from ID {first} on were not sent: {reason}"),
        }
    }
}
