//! All messages that the server has processed, as a client saw them that reads everything.

use super::reply::{Message, Reply};
use super::transcript::Transcript;
use firstline::limits::CUT_MARK;
use firstline::protocol::Priority;
use firstline::protocol::escape::unescape;
use std::collections::{BTreeMap, BTreeSet};

/// All messages that were processed, as the witness got them.
pub struct Witness {
    messages: BTreeMap<u64, Message>,
    /// Only messages after this ID are known.
    known_after: Option<u64>,
    /// The witness did not receive everything to the end.
    pub is_gone: bool,
    /// A client took a name that another one had before, so a name does not identify a client.
    pub names_are_shared: bool,
    /// The least priority of the messages that handlers process.
    pub handled: Option<Priority>,
    /// What handlers said to the senders, escaped.
    pub said: BTreeSet<String>,
}

impl Witness {
    /// No witness: nothing can be compared.
    pub fn nobody() -> Self {
        Self {
            messages: BTreeMap::new(),
            known_after: None,
            is_gone: true,
            names_are_shared: false,
            handled: None,
            said: BTreeSet::new(),
        }
    }

    /// A witness that only subscribed, and that receives the messages after `after`. None: those from any ID on.
    pub fn new(transcript: &Transcript, after: Option<u64>) -> Self {
        let (mut messages, mut last, mut is_gone) = (BTreeMap::new(), after, false);
        for (reply, _) in transcript.replies() {
            match reply {
                Reply::Msg(message) => {
                    assert!(last.is_none_or(|last| message.id == last + 1), "numbered in a row: {message:?}");
                    last = Some(message.id);
                    messages.insert(message.id, message.clone());
                }
                // The replies to /join, and perhaps to /auth before it.
                Reply::Ok(1 | 2, _) => {}
                Reply::Lost(_) | Reply::Bye(_) | Reply::Err(0, _) => is_gone = true,
                other => panic!("{other:?} for the witness"),
            }
        }
        let said = BTreeSet::new();
        Self { messages, known_after: after, is_gone, names_are_shared: false, handled: None, said }
    }

    /// The message with that ID, if it was processed and the witness knows it.
    ///
    /// # Panics
    /// If the witness would know the message if it had been processed.
    pub fn message(&self, id: u64) -> Option<&Message> {
        let message = self.messages.get(&id);
        assert!(message.is_some() || !self.knows(id), "{id} was acknowledged or sent, and not processed");
        message
    }

    /// Whether the witness knows the message with that ID, if it was processed.
    pub fn knows(&self, id: u64) -> bool {
        !self.is_gone && self.known_after.is_none_or(|after| after < id)
    }

    /// The messages between two IDs.
    pub fn between(&self, first: u64, last: u64) -> impl Iterator<Item = &Message> {
        self.messages.range(first + 1..last).map(|(_, message)| message)
    }

    /// Whether the text after the equals sign of a reply is what a handler said, or a cut beginning of that.
    pub fn has_said(&self, text: &str) -> bool {
        // Another text may end as the mark does: only the mark is no escape.
        let is_cut = unescape(text.as_bytes()).any(|byte| byte.is_err());
        match text.strip_suffix(CUT_MARK).filter(|_| is_cut) {
            Some(beginning) => self.said.iter().any(|said| said.starts_with(beginning)),
            None => self.said.contains(text),
        }
    }

    /// The ID of the last message that it saw.
    pub fn last_id(&self) -> Option<u64> {
        self.messages.last_key_value().map(|(id, _)| *id)
    }
}
