//! Converts an item to a publication.

use super::class::Class;
use super::exchange::Publication;
use super::item::{Content, Item, Loss, Message};
use super::key::key;
use super::topic::Topics;
use crate::journal::segment::Identity;
use crate::journal_command::lines::Line;
use std::fmt::Write as _;

/// The form of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// JSON as from `firstline journal --json`, with `node` and `key`.
    Json,
    /// The text, as the client sent it.
    Text,
}

/// How items are published.
#[derive(Clone, Debug)]
pub struct Form {
    /// The topics.
    pub topics: Topics,
    /// The form of a payload.
    pub payload: Payload,
    /// The name of this board.
    pub node: String,
}

impl Form {
    /// The publication for an item of that class.
    pub fn publication(&self, item: &Item, class: Class, identity: Identity) -> Publication {
        match &item.content {
            Content::Message(message) => self.of_message(message, identity),
            Content::Loss(loss) => self.of_loss(loss, class),
        }
    }

    fn of_message(&self, message: &Message, identity: Identity) -> Publication {
        let key = key(&self.node, identity, message);
        let payload = match self.payload {
            Payload::Text => message.text.clone(),
            Payload::Json => self.json(message, &key).into_bytes(),
        };
        let properties = vec![
            ("key", key),
            ("priority", message.priority.number().to_string()),
            ("id", message.id.to_string()),
            ("node", self.node.clone()),
        ];
        Publication { topic: self.topics.of(message.priority), payload, properties, correlation: None }
    }

    /// A node and a key contain no characters that JSON escapes.
    fn json(&self, message: &Message, key: &str) -> String {
        let mut json = String::new();
        // This cannot fail: a String grows.
        let _ = Line::Message(message.record()).write_json(&mut json);
        json.pop();
        let _ = write!(json, ",\"node\":\"{}\",\"key\":\"{key}\"}}", self.node);
        json
    }

    fn of_loss(&self, loss: &Loss, class: Class) -> Publication {
        let Loss { count, ids: (from, to), reason } = loss;
        let shown =
            |number: Option<u64>| number.map_or_else(|| "null".to_string(), |number| number.to_string());
        // If the count is unknown, as for another journal, so is the last ID.
        let (count, to) = (shown(*count), shown(count.map(|_| *to)));
        let node = &self.node;
        let payload = format!(
            "{{\"lost\":{count},\"from\":{from},\"to\":{to},\"reason\":\"{reason}\",\"class\":\"{class}\",\"node\":\"{node}\"}}"
        );
        let properties = vec![("node", node.clone())];
        Publication {
            topic: self.topics.lost(),
            payload: payload.into_bytes(),
            properties,
            correlation: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::item::Reason;
    use crate::protocol::Priority;

    fn form(payload: Payload) -> Form {
        let topics = Topics::new("firstline/{node}/p{priority}", "pi").unwrap();
        Form { topics, payload, node: "pi".to_string() }
    }

    fn message() -> Item {
        let (from, text) = (b"ann".to_vec(), b"say \"smoke\"\xff".to_vec());
        Item::message(Message { id: 17, time_ms: 1, priority: Priority::URGENT, from, text })
    }

    #[test]
    fn json_is_that_of_the_journal_with_node_and_key() {
        let publication = form(Payload::Json).publication(&message(), Class::Urgent, Identity(8));
        assert_eq!(publication.topic, "firstline/pi/p9");
        let json: serde_json::Value = serde_json::from_slice(&publication.payload).unwrap();
        let key = &publication.properties[0].1;
        assert_eq!((json["id"].as_u64(), json["priority"].as_u64()), (Some(17), Some(9)));
        assert_eq!((json["node"].as_str(), json["key"].as_str()), (Some("pi"), Some(key.as_str())));
        assert_eq!(json["text_base64"], "c2F5ICJzbW9rZSL/");
    }

    #[test]
    fn text_is_what_the_client_sent() {
        let publication = form(Payload::Text).publication(&message(), Class::Urgent, Identity(8));
        assert_eq!(publication.payload, b"say \"smoke\"\xff");
    }

    #[test]
    fn loss_says_what_is_lost_and_why() {
        for (count, shown) in [(Some(3), serde_json::json!(3)), (None, serde_json::Value::Null)] {
            let loss =
                Item::loss(Loss { count, ids: (5, 9), reason: Reason::Refused("NotAuthorized".into()) });
            let publication = form(Payload::Json).publication(&loss, Class::Rest, Identity(8));
            let json: serde_json::Value = serde_json::from_slice(&publication.payload).unwrap();
            assert_eq!(publication.topic, "firstline/pi/lost");
            assert_eq!((&json["lost"], json["from"].as_u64()), (&shown, Some(5)));
            assert_eq!(json["to"].as_u64(), count.map(|_| 9));
            assert_eq!(
                (json["reason"].as_str(), json["class"].as_str()),
                (Some("refused: NotAuthorized"), Some("rest"))
            );
        }
    }
}
