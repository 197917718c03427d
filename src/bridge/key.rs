//! The key of a message: `NODE-ID-CHECKSUM`. A receiver can recognize a repeated message by it.

use super::item::Message;
use crate::journal::segment::Identity;

/// The key of that message. The checksum covers the journal's identity and the whole message: IDs begin again in
/// another journal, and an ID whose message was rolled back may be given to another one.
pub fn key(node: &str, identity: Identity, message: &Message) -> String {
    let mut hasher = crc32fast::Hasher::new();
    for number in [identity.0, message.id, message.time_ms, message.from.len() as u64] {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(&[message.priority.number()]);
    hasher.update(&message.from);
    hasher.update(&message.text);
    format!("{node}-{}-{:08x}", message.id, hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Priority;

    fn message() -> Message {
        Message {
            id: 17,
            time_ms: 5,
            priority: Priority::URGENT,
            from: b"ann".to_vec(),
            text: b"smoke".to_vec(),
        }
    }

    #[test]
    fn each_part_of_a_message_changes_its_key() {
        let of = |identity, message: &Message| key("pi", Identity(identity), message);
        let first = of(1, &message());
        assert!(first.starts_with("pi-17-") && first.len() == "pi-17-".len() + 8, "{first}");
        assert_eq!(of(1, &message()), first, "the same each time");
        let others = [
            Message { id: 18, ..message() },
            Message { time_ms: 6, ..message() },
            Message { priority: Priority::HIGH, ..message() },
            Message { from: b"bob".to_vec(), ..message() },
            Message { from: b"anns".to_vec(), text: b"moke".to_vec(), ..message() },
            Message { text: b"smoke!".to_vec(), ..message() },
        ];
        for other in others {
            assert_ne!(of(1, &other), first, "{other:?}");
        }
        assert_ne!(of(2, &message()), first, "another journal");
    }
}
