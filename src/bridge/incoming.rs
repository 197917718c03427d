//! Commands on their way from the broker to the hub, and back. Without I/O.

use super::exchange::Delivery;
use super::limits::{COMMAND_BYTES_MAX, COMMANDS_MAX};
use crate::client::Message;
use crate::client::outcome;
use crate::protocol::Priority;

/// All commands that are not acknowledged to the broker, or whose answer is not sent. They are bounded by [`COMMANDS_MAX`]
/// and [`COMMAND_BYTES_MAX`]. What comes beyond that is postponed: the broker sends it again on the next connection.
#[derive(Debug, Default)]
pub struct Incoming {
    commands: Vec<Command>,
    /// The bytes of these commands.
    bytes: usize,
    /// The number of the next command.
    next: u64,
    /// Whether a command was postponed on this connection. Then all later ones are, so that their order stays.
    is_postponing: bool,
}

#[derive(Debug)]
struct Command {
    number: u64,
    /// The first delivery of the command.
    delivery: Delivery,
    /// Whether the broker waits for its acknowledgement on the current connection.
    is_awaited: bool,
    /// The decision, once there is one.
    verdict: Option<Verdict>,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Verdict {
    is_refused: bool,
    /// The answer.
    text: String,
}

/// The meaning of a delivery.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrived {
    /// A new command for the hub, with its number.
    Command(u64, Message),
    /// A command that was delivered before, or that is no valid command; it is answered like all others.
    Known,
    /// There is no room, and the broker sends it again on the next connection.
    Postponed,
    /// There is no room, and the broker does not send it again.
    Dropped,
}

/// The outcome of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The topic of the command.
    pub topic: String,
    /// The packet to acknowledge.
    pub packet_id: Option<u16>,
    /// Whether the answer is a NAK: the bridge or the hub refused the command, or its result is not known.
    pub is_refused: bool,
    /// The answer: `ACK ID`, `ACK ID = TEXT` or `NAK REASON`.
    pub text: String,
    /// The topic for the answer.
    pub response_topic: Option<String>,
    /// The correlation data for the answer.
    pub correlation: Option<Vec<u8>>,
}

impl Incoming {
    /// Takes a delivery.
    pub fn take(&mut self, delivery: Delivery) -> Arrived {
        if let Some(at) = self.known(&delivery) {
            self.commands[at].is_awaited = true;
            return Arrived::Known;
        }
        let needs_acknowledgement = delivery.packet_id.is_some();
        // What the broker does not repeat leaves half of the room to what it does.
        let part = if needs_acknowledgement { 1 } else { 2 };
        if needs_acknowledgement && self.is_postponing || !self.make_room(bytes_of(&delivery), part) {
            self.is_postponing |= needs_acknowledgement;
            return if needs_acknowledgement { Arrived::Postponed } else { Arrived::Dropped };
        }
        let message = message(&delivery);
        let number = self.next;
        self.next += 1;
        self.bytes += bytes_of(&delivery);
        let verdict =
            message.as_ref().err().map(|reason| Verdict { is_refused: true, text: format!("NAK {reason}") });
        self.commands.push(Command { number, delivery, is_awaited: needs_acknowledgement, verdict });
        message.map_or(Arrived::Known, |message| Arrived::Command(number, message))
    }

    /// Ensures that another command fits into one `part`-th of the room: if it does not, forgets those that are done and
    /// that the broker did not send again. Returns false if there are none of these.
    fn make_room(&mut self, bytes: usize, part: usize) -> bool {
        while !self.has_room(bytes, part) {
            let is_forgotten = |command: &Command| {
                command.verdict.is_some() && !command.is_awaited && command.delivery.packet_id.is_some()
            };
            let Some(at) = self.commands.iter().position(is_forgotten) else { return false };
            self.remove(at);
        }
        true
    }

    fn has_room(&self, bytes: usize, part: usize) -> bool {
        self.commands.len() < COMMANDS_MAX / part && self.bytes + bytes <= COMMAND_BYTES_MAX / part
    }

    fn remove(&mut self, at: usize) -> Command {
        let command = self.commands.remove(at);
        self.bytes -= bytes_of(&command.delivery);
        command
    }

    /// The index of the known command, if this is a command that the broker sends again because it has no
    /// acknowledgement. Some brokers do so on the same connection.
    fn known(&self, delivery: &Delivery) -> Option<usize> {
        let is_same = |command: &Command| {
            command.delivery.packet_id == delivery.packet_id
                && command.delivery.topic == delivery.topic
                && command.delivery.payload == delivery.payload
        };
        if delivery.is_repeated && delivery.packet_id.is_some() {
            self.commands.iter().position(is_same)
        } else {
            None
        }
    }

    /// Takes the hub's decision.
    pub fn settle(&mut self, number: u64, decided: &outcome::Outcome) {
        let verdict = match decided {
            outcome::Outcome::Acknowledged(receipt) => {
                Verdict { is_refused: false, text: format!("ACK {receipt}") }
            }
            outcome::Outcome::Refused(refusal) => {
                Verdict { is_refused: true, text: format!("NAK {refusal}") }
            }
            outcome::Outcome::Unknown(reason) | outcome::Outcome::NotSent(reason) => {
                Verdict { is_refused: true, text: format!("NAK {reason}") }
            }
        };
        if let Some(command) = self.commands.iter_mut().find(|command| command.number == number) {
            command.verdict = Some(verdict);
        }
    }

    /// Takes the first outcome that can be told to the broker now, and forgets its command.
    pub fn next_outcome(&mut self) -> Option<Outcome> {
        let is_due = |command: &Command| {
            command.verdict.is_some() && (command.is_awaited || command.delivery.packet_id.is_none())
        };
        let at = self.commands.iter().position(is_due)?;
        let Command { delivery, verdict, .. } = self.remove(at);
        let Verdict { is_refused, text } = verdict?;
        let Delivery { packet_id, topic, response_topic, correlation, .. } = delivery;
        Some(Outcome { topic, packet_id, is_refused, text, response_topic, correlation })
    }

    /// Whether a new connection is necessary: a command was postponed, all others are acknowledged, and half of the room is
    /// free again.
    pub fn needs_new_connection(&self) -> bool {
        let is_any_awaited = self.commands.iter().any(|command| command.is_awaited);
        self.is_postponing && !is_any_awaited && self.has_room(0, 2)
    }

    /// How many commands the broker sends again if the bridge ends now.
    pub fn unacknowledged(&self) -> usize {
        self.commands.iter().filter(|command| command.delivery.packet_id.is_some()).count()
    }

    /// Records that the connection has ended.
    pub fn disconnect(&mut self) {
        self.is_postponing = false;
        for command in &mut self.commands {
            command.is_awaited = false;
        }
    }

    /// Records that the broker has dropped the session of this client. It will repeat no command, so this forgets the
    /// commands that are done.
    pub fn forget(&mut self) {
        let is_done = |command: &Command| command.verdict.is_some() && command.delivery.packet_id.is_some();
        while let Some(at) = self.commands.iter().position(is_done) {
            self.remove(at);
        }
        for command in &mut self.commands {
            command.delivery.packet_id = None;
        }
    }
}

/// The bytes that a command counts.
fn bytes_of(delivery: &Delivery) -> usize {
    let Delivery { topic, payload, response_topic, correlation, priority, .. } = delivery;
    let optional = [response_topic, priority].map(|text| text.as_ref().map_or(0, String::len));
    topic.len() + payload.len() + optional.iter().sum::<usize>() + correlation.as_ref().map_or(0, Vec::len)
}

/// The message for the hub.
///
/// # Errors
/// The reason of a NAK.
fn message(delivery: &Delivery) -> Result<Message, String> {
    if delivery.is_retained {
        // The broker sends it again after each connection, and the server would process it each time.
        return Err("retained: send it without that flag".to_string());
    }
    Message::new(priority(delivery)?, delivery.payload.clone()).map_err(|reason| reason.to_string())
}

/// The priority of a command: its property `priority`, or else the last level of its topic if that is like `p9`, or
/// else the priority of a plain line.
fn priority(delivery: &Delivery) -> Result<Priority, String> {
    let level = delivery.topic.rsplit('/').next().unwrap_or_default();
    let digit = |text: &str| match text.as_bytes() {
        [digit] => Priority::from_digit(*digit),
        _ => None,
    };
    if let Some(given) = &delivery.priority {
        return digit(given).ok_or_else(|| "bad-priority: the property takes 0 to 9".to_string());
    }
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match level.strip_prefix('p').filter(|text| is_number(text)) {
        // `p10` was meant as a priority, and must not count as a usual one.
        Some(text) => digit(text).ok_or_else(|| "bad-priority: the topic takes p0 to p9".to_string()),
        None => Ok(Priority::NORMAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Receipt, Refusal};

    fn delivery(packet_id: u16, text: &str) -> Delivery {
        let payload = text.as_bytes().to_vec();
        Delivery { packet_id: Some(packet_id), topic: "do/p9".to_string(), payload, ..Delivery::default() }
    }

    fn acknowledged(text: Option<&str>) -> outcome::Outcome {
        let text = text.map(str::to_string);
        outcome::Outcome::Acknowledged(Receipt { id: 17, is_lowered: false, text, may_be_doubled: false })
    }

    fn number(arrived: Arrived) -> u64 {
        let Arrived::Command(number, message) = arrived else { panic!("{arrived:?}") };
        assert_eq!(message.priority(), Priority::URGENT);
        number
    }

    /// The outcomes that are due, with their packet IDs.
    fn outcomes(incoming: &mut Incoming) -> Vec<(Option<u16>, String)> {
        std::iter::from_fn(|| incoming.next_outcome())
            .map(|outcome| (outcome.packet_id, outcome.text))
            .collect()
    }

    fn again(packet_id: u16, text: &str) -> Delivery {
        Delivery { is_repeated: true, ..delivery(packet_id, text) }
    }

    #[test]
    fn broker_is_answered_once_the_hub_has_decided() {
        let mut incoming = Incoming::default();
        let request = Delivery {
            response_topic: Some("answers".to_string()),
            correlation: Some(b"x".to_vec()),
            ..delivery(5, "open the valve")
        };
        let first = number(incoming.take(request));
        let second = number(incoming.take(delivery(6, "close it")));
        let third = number(incoming.take(delivery(7, "shut it")));
        assert_eq!(incoming.next_outcome(), None);
        incoming.settle(first, &acknowledged(Some("open")));
        let expected = Outcome {
            topic: "do/p9".to_string(),
            packet_id: Some(5),
            is_refused: false,
            text: "ACK 17 = open".to_string(),
            response_topic: Some("answers".to_string()),
            correlation: Some(b"x".to_vec()),
        };
        assert_eq!(incoming.next_outcome(), Some(expected));
        incoming.settle(second, &outcome::Outcome::Refused(Refusal::Message("no-handler".to_string())));
        incoming.settle(third, &outcome::Outcome::Unknown("handler-lost".to_string()));
        let expected = [(Some(6), "NAK no-handler".to_string()), (Some(7), "NAK handler-lost".to_string())];
        assert_eq!(outcomes(&mut incoming), expected);
        assert!(incoming.commands.is_empty() && incoming.bytes == 0);
    }

    #[test]
    fn command_that_is_sent_again_is_not_done_twice() {
        let mut incoming = Incoming::default();
        let (first, second) =
            (number(incoming.take(delivery(5, "one"))), number(incoming.take(delivery(6, "two"))));
        assert_eq!(incoming.take(again(5, "one")), Arrived::Known, "on the same connection");
        incoming.disconnect();
        incoming.settle(first, &acknowledged(None));
        assert_eq!(incoming.next_outcome(), None, "the broker does not wait for it now");
        assert_eq!(incoming.take(again(5, "one")), Arrived::Known);
        assert_eq!(incoming.take(again(6, "two")), Arrived::Known);
        assert_eq!(outcomes(&mut incoming), [(Some(5), "ACK 17".to_string())]);
        incoming.settle(second, &acknowledged(None));
        assert_eq!(outcomes(&mut incoming), [(Some(6), "ACK 17".to_string())]);
        number(incoming.take(again(7, "one")));
    }

    #[test]
    fn what_cannot_be_a_command_is_refused() {
        let mut incoming = Incoming::default();
        let bad_priority = Delivery { priority: Some("10".to_string()), ..delivery(1, "x") };
        let retained = Delivery { is_retained: true, ..delivery(1, "x") };
        for delivery in [delivery(1, ""), delivery(1, "two\nlines"), bad_priority, retained] {
            assert_eq!(incoming.take(delivery), Arrived::Known);
            let outcome = incoming.next_outcome().unwrap();
            assert!(outcome.is_refused && outcome.packet_id == Some(1), "{outcome:?}");
            assert!(outcome.text.starts_with("NAK "), "{outcome:?}");
        }
    }

    #[test]
    fn priority_comes_from_the_property_or_the_topic() {
        let of = |topic: &str, property: Option<&str>| {
            let (topic, priority) = (topic.to_string(), property.map(str::to_string));
            super::priority(&Delivery { topic, priority, ..Delivery::default() }).map(Priority::number)
        };
        for (topic, property, expected) in [
            ("a", None, 4),
            ("a/p0", None, 0),
            ("a/p9", Some("2"), 2),
            ("p7", None, 7),
            ("a/p", None, 4),
            ("a/pump10", None, 4),
        ] {
            assert_eq!(of(topic, property), Ok(expected), "{topic}");
        }
        for (topic, property) in [("a/p10", None), ("a/p9", Some("10")), ("a", Some("p9"))] {
            assert!(of(topic, property).is_err_and(|reason| reason.starts_with("bad-priority")), "{topic}");
        }
    }

    #[test]
    fn commands_without_room_are_postponed_in_order_until_the_next_connection() {
        let mut incoming = Incoming::default();
        let take = |incoming: &mut Incoming, id: usize| incoming.take(delivery(id as u16, "x"));
        let numbers: Vec<u64> = (0..COMMANDS_MAX).map(|id| number(take(&mut incoming, id))).collect();
        assert_eq!(take(&mut incoming, COMMANDS_MAX), Arrived::Postponed);
        for number in &numbers[1..] {
            incoming.settle(*number, &acknowledged(None));
        }
        assert_eq!(outcomes(&mut incoming).len(), COMMANDS_MAX - 1);
        assert_eq!(take(&mut incoming, COMMANDS_MAX + 1), Arrived::Postponed, "it came later");
        assert!(!incoming.needs_new_connection());
        incoming.settle(numbers[0], &acknowledged(None));
        outcomes(&mut incoming);
        assert!(incoming.needs_new_connection());
        incoming.disconnect();
        number(incoming.take(again(COMMANDS_MAX as u16, "x")));
        assert!(!incoming.needs_new_connection());
    }

    #[test]
    fn commands_of_a_lost_session_cause_no_new_connection_while_they_take_the_room() {
        let mut incoming = Incoming::default();
        let mut take = |id: usize| incoming.take(delivery(id as u16, "x"));
        let numbers: Vec<u64> = (0..COMMANDS_MAX).map(|id| number(take(id))).collect();
        incoming.disconnect();
        incoming.forget();
        assert_eq!(incoming.take(delivery(1, "new")), Arrived::Postponed);
        assert!(!incoming.needs_new_connection());
        for number in &numbers[..COMMANDS_MAX / 2 + 1] {
            incoming.settle(*number, &acknowledged(None));
        }
        outcomes(&mut incoming);
        assert!(incoming.needs_new_connection());
    }

    #[test]
    fn memory_is_bounded_without_acknowledgements_too() {
        let plain = |bytes| Delivery { packet_id: None, ..delivery(0, &"x".repeat(bytes)) };
        for bytes in [1, 30_000] {
            let mut incoming = Incoming::default();
            let dropped = (0..2_000).filter(|_| incoming.take(plain(bytes)) == Arrived::Dropped).count();
            assert!(dropped > 0 && incoming.commands.len() == 2_000 - dropped);
            assert!(incoming.commands.len() <= COMMANDS_MAX / 2 && incoming.bytes <= COMMAND_BYTES_MAX / 2);
            number(incoming.take(delivery(1, "what needs an acknowledgement has room")));
        }
    }
}
