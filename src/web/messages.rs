//! The last messages, for the page.

use crate::limits::{FLUSH_MESSAGES_MAX, MESSAGES_MAX, SHOWN_TEXT_BYTES_MAX};
use firstline::protocol::Priority;
use firstline::protocol::escape::{escape, needs_escape};
use serde::Serialize;
use std::collections::VecDeque;

/// A message as the page shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Its number, unique in this process. The IDs of a hub without a journal begin anew when it restarts.
    pub number: u64,
    /// Its ID at the hub.
    pub id: u64,
    /// Its priority.
    pub priority: u8,
    /// The sender's name, without control characters.
    pub from: String,
    /// The text, without control characters, and cut if it is long.
    pub text: String,
    /// When the poller received it, in seconds of the history's clock.
    pub at_s: u64,
}

/// The last messages, and those that have not been sent to the viewers yet.
#[derive(Debug, Default)]
pub struct Messages {
    last: VecDeque<Shown>,
    fresh: VecDeque<Shown>,
    /// How many fresh messages were left out or lost.
    left_out: u64,
    /// The number of the newest message.
    newest: u64,
}

/// The messages of one event for the viewers.
#[derive(Debug, Default, Serialize)]
pub struct Batch {
    /// The messages, in the order of processing.
    pub messages: Vec<Shown>,
    /// How many others were left out or lost.
    pub left_out: u64,
}

impl Messages {
    /// Adds a message, and numbers it. If there are too many fresh ones, leaves out the least urgent, and of those the
    /// oldest.
    pub fn push(&mut self, mut message: Shown) {
        self.newest += 1;
        message.number = self.newest;
        if self.last.len() == MESSAGES_MAX {
            self.last.pop_front();
        }
        self.last.push_back(message.clone());
        if self.fresh.len() == FLUSH_MESSAGES_MAX {
            let least = (0..self.fresh.len()).min_by_key(|index| self.fresh[*index].priority).unwrap_or(0);
            self.fresh.remove(least);
            self.left_out += 1;
        }
        self.fresh.push_back(message);
    }

    /// Counts messages that the hub did not send.
    pub fn lose(&mut self, count: u64) {
        self.left_out = self.left_out.saturating_add(count);
    }

    /// Whether there is something for the viewers.
    pub fn has_fresh(&self) -> bool {
        !self.fresh.is_empty() || self.left_out > 0
    }

    /// Takes the messages that have not been sent to the viewers yet.
    pub fn take_fresh(&mut self) -> Batch {
        Batch { messages: self.fresh.drain(..).collect(), left_out: std::mem::take(&mut self.left_out) }
    }

    /// The last messages, for a new viewer.
    pub fn all(&self) -> Vec<Shown> {
        self.last.iter().cloned().collect()
    }

    /// Forgets all messages, because the hub no longer permits this client to read them.
    pub fn clear(&mut self) {
        *self = Self { newest: self.newest, ..Self::default() };
    }
}

impl Shown {
    /// A message as the hub sent it, without a number yet. A hub escapes control characters, but another program in
    /// its place may not.
    pub fn new(id: u64, priority: Priority, from: &str, text: &str, at_s: u64) -> Self {
        Self { number: 0, id, priority: priority.number(), from: plain(from), text: plain(text), at_s }
    }
}

/// A text without control characters and without characters that change the direction of text, cut if it is long.
pub fn plain(text: &str) -> String {
    let mut plain = String::new();
    for character in text.chars() {
        if plain.len() >= SHOWN_TEXT_BYTES_MAX {
            plain.push('…');
            break;
        }
        if character == '\\' || !needs_escape(character) {
            plain.push(character);
            continue;
        }
        // A String takes everything.
        let _ = escape(character.encode_utf8(&mut [0; 4]).as_bytes(), &mut plain);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: u64, priority: Priority) -> Shown {
        Shown::new(id, priority, "alice", "smoke", 0)
    }

    #[test]
    fn flood_leaves_the_most_urgent_and_newest_messages() {
        let mut messages = Messages::default();
        messages.push(message(1, Priority::URGENT));
        (2..1_000).for_each(|id| messages.push(message(id, Priority::NORMAL)));
        let batch = messages.take_fresh();
        assert_eq!(
            (batch.messages.len() as u64 + batch.left_out, batch.messages.len()),
            (999, FLUSH_MESSAGES_MAX)
        );
        assert_eq!((batch.messages[0].id, batch.messages[FLUSH_MESSAGES_MAX - 1].id), (1, 999));
        assert!(!messages.has_fresh());
        assert_eq!(messages.all().len(), MESSAGES_MAX);
    }

    #[test]
    fn plain_text_is_short_and_has_no_control_characters() {
        assert_eq!(plain("a\u{202e}b\x1b[2J\\x00"), "a\\xe2\\x80\\xaeb\\x1b[2J\\x00");
        assert!(plain(&"ü".repeat(10_000)).len() <= SHOWN_TEXT_BYTES_MAX + "ü…".len());
    }
}
