//! Commands on their way from the broker to the hub, and back. Without I/O.

use super::exchange::Delivery;
use super::limits::{COMMANDS_KNOWN_MAX, COMMANDS_MAX};
use crate::client::Message;
use crate::client::outcome;
use crate::protocol::Priority;

/// All commands that are not acknowledged to the broker. Their number is bounded: nothing more is received while there
/// are [too many](Self::has_too_many), and more than [`COMMANDS_KNOWN_MAX`] are refused; if they need no acknowledgement,
/// more than twice [`COMMANDS_MAX`].
#[derive(Debug, Default)]
pub struct Incoming {
    commands: Vec<Command>,
    /// The number of the next command.
    next: u64,
}

#[derive(Debug)]
struct Command {
    number: u64,
    /// The last delivery of the command.
    delivery: Delivery,
    /// Whether the broker waits for its acknowledgement on the current connection.
    is_connected: bool,
    /// Whether the hub refused it, and the hub's answer, once there is one.
    verdict: Option<(bool, String)>,
}

/// The meaning of a delivery.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrived {
    /// A new command for the hub, with its number.
    Command(u64, Message),
    /// A command that the hub has already.
    Known,
    /// A command that is done, or a delivery that is not a valid command.
    Done(Outcome),
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
    /// The hub's answer: `ACK ID`, `ACK ID = TEXT` or `NAK REASON`.
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
            let command = &mut self.commands[at];
            (command.delivery, command.is_connected) = (delivery, true);
            return match command.verdict.clone() {
                None => Arrived::Known,
                Some(verdict) => {
                    let command = self.commands.remove(at);
                    Arrived::Done(outcome(command.delivery, verdict))
                }
            };
        }
        if delivery.is_retained {
            // The broker sends it again after each connection, and the server would process it each time.
            return Arrived::Done(outcome(
                delivery,
                (true, "NAK retained: send it without that flag".to_string()),
            ));
        }
        let message =
            match priority(&delivery).map(|priority| Message::new(priority, delivery.payload.clone())) {
                Ok(Ok(message)) => message,
                Ok(Err(reason)) => return Arrived::Done(outcome(delivery, (true, format!("NAK {reason}")))),
                Err(reason) => return Arrived::Done(outcome(delivery, (true, format!("NAK {reason}")))),
            };
        let most = if delivery.packet_id.is_some() { COMMANDS_KNOWN_MAX } else { 2 * COMMANDS_MAX };
        if !self.make_room(most) {
            return Arrived::Done(outcome(
                delivery,
                (true, "NAK too-many: the server takes them too slowly".to_string()),
            ));
        }
        let number = self.next;
        self.next += 1;
        self.commands.push(Command { number, delivery, is_connected: true, verdict: None });
        Arrived::Command(number, message)
    }

    /// Ensures that there are fewer than `most` commands: if there are not, forgets one that is done and that the broker
    /// did not send again. Returns false if there is none of these.
    fn make_room(&mut self, most: usize) -> bool {
        if self.commands.len() < most {
            return true;
        }
        let done = self.commands.iter().position(|command| command.verdict.is_some());
        done.map(|at| self.commands.remove(at)).is_some()
    }

    /// Whether the broker waits for more than [`COMMANDS_MAX`] acknowledgements.
    pub fn has_too_many(&self) -> bool {
        let is_awaited = |command: &&Command| command.is_connected && command.delivery.packet_id.is_some();
        self.commands.iter().filter(is_awaited).count() > COMMANDS_MAX
    }

    /// The index of the known command, if this is a command that the broker sends again because it has no
    /// acknowledgement.
    fn known(&self, delivery: &Delivery) -> Option<usize> {
        let is_same = |command: &Command| {
            !command.is_connected
                && command.delivery.packet_id == delivery.packet_id
                && command.delivery.topic == delivery.topic
                && command.delivery.payload == delivery.payload
        };
        if delivery.is_repeated && delivery.packet_id.is_some() {
            self.commands.iter().position(is_same)
        } else {
            None
        }
    }

    /// Takes the hub's decision. Returns the outcome if the broker waits for it now.
    pub fn settle(&mut self, number: u64, decided: &outcome::Outcome) -> Option<Outcome> {
        let at = self.commands.iter().position(|command| command.number == number)?;
        let verdict = match decided {
            outcome::Outcome::Acknowledged(receipt) => (false, format!("ACK {receipt}")),
            outcome::Outcome::Refused(refusal) => (true, format!("NAK {refusal}")),
            outcome::Outcome::Unknown(reason) | outcome::Outcome::NotSent(reason) => {
                (true, format!("NAK {reason}"))
            }
        };
        let command = &mut self.commands[at];
        if command.is_connected || command.delivery.packet_id.is_none() {
            let command = self.commands.remove(at);
            Some(outcome(command.delivery, verdict))
        } else {
            command.verdict = Some(verdict);
            None
        }
    }

    /// How many commands the broker sends again if the bridge ends now.
    pub fn unacknowledged(&self) -> usize {
        self.commands.iter().filter(|command| command.delivery.packet_id.is_some()).count()
    }

    /// Records that the connection has ended.
    pub fn disconnect(&mut self) {
        for command in &mut self.commands {
            command.is_connected = false;
        }
    }

    /// Records that the broker has dropped the session of this client. It will repeat no command, so this forgets the
    /// commands that are done.
    pub fn forget(&mut self) {
        self.commands.retain(|command| command.verdict.is_none());
        for command in &mut self.commands {
            command.delivery.packet_id = None;
        }
    }
}

fn outcome(delivery: Delivery, (is_refused, text): (bool, String)) -> Outcome {
    let Delivery { packet_id, topic, response_topic, correlation, .. } = delivery;
    Outcome { topic, packet_id, is_refused, text, response_topic, correlation }
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
        let outcome = incoming.settle(first, &acknowledged(Some("open"))).unwrap();
        assert_eq!(
            (outcome.packet_id, outcome.is_refused, outcome.text.as_str()),
            (Some(5), false, "ACK 17 = open")
        );
        assert_eq!(
            (outcome.response_topic.as_deref(), outcome.correlation.as_deref()),
            (Some("answers"), Some(&b"x"[..]))
        );
        let refused = outcome::Outcome::Refused(Refusal::Message("no-handler".to_string()));
        let outcome = incoming.settle(second, &refused).unwrap();
        assert_eq!(
            (outcome.packet_id, outcome.is_refused, outcome.text.as_str()),
            (Some(6), true, "NAK no-handler")
        );
        let third = number(incoming.take(delivery(7, "shut it")));
        let outcome = incoming.settle(third, &outcome::Outcome::Unknown("handler-lost".to_string())).unwrap();
        assert_eq!((outcome.packet_id, outcome.text.as_str()), (Some(7), "NAK handler-lost"));
        assert!(incoming.commands.is_empty());
    }

    #[test]
    fn command_that_is_sent_again_is_not_done_twice() {
        let mut incoming = Incoming::default();
        let (first, second) =
            (number(incoming.take(delivery(5, "one"))), number(incoming.take(delivery(6, "two"))));
        incoming.disconnect();
        assert_eq!(incoming.settle(first, &acknowledged(None)), None, "nobody waits for it now");
        let again = |packet_id, text| Delivery { is_repeated: true, ..delivery(packet_id, text) };
        let Arrived::Done(outcome) = incoming.take(again(5, "one")) else { panic!("it is done") };
        assert_eq!((outcome.packet_id, outcome.text.as_str()), (Some(5), "ACK 17"));
        assert_eq!(incoming.take(again(6, "two")), Arrived::Known);
        assert_eq!(incoming.settle(second, &acknowledged(None)).unwrap().packet_id, Some(6));
        number(incoming.take(again(7, "one")));
    }

    #[test]
    fn what_cannot_be_a_command_is_refused_at_once() {
        let mut incoming = Incoming::default();
        let bad_priority = Delivery { priority: Some("10".to_string()), ..delivery(1, "x") };
        let retained = Delivery { is_retained: true, ..delivery(1, "x") };
        for delivery in [delivery(1, ""), delivery(1, "two\nlines"), bad_priority, retained] {
            let Arrived::Done(outcome) = incoming.take(delivery) else { panic!("it is no command") };
            assert!(
                outcome.is_refused && outcome.packet_id == Some(1) && outcome.text.starts_with("NAK "),
                "{outcome:?}"
            );
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
    fn commands_that_a_broker_may_not_drop_are_never_refused_but_held_back() {
        let mut incoming = Incoming::default();
        let numbers: Vec<u64> = (1..=100).map(|id| number(incoming.take(delivery(id, "x")))).collect();
        assert!(incoming.has_too_many() && incoming.unacknowledged() == 100);
        for number in &numbers[COMMANDS_MAX..] {
            assert!(incoming.has_too_many());
            assert!(incoming.settle(*number, &acknowledged(None)).is_some());
        }
        assert!(!incoming.has_too_many());
    }

    #[test]
    fn memory_is_bounded_without_acknowledgements_too() {
        let mut incoming = Incoming::default();
        let plain = || Delivery { packet_id: None, ..delivery(0, "x") };
        let taken = (0..1_000).filter(|_| matches!(incoming.take(plain()), Arrived::Command(..))).count();
        assert_eq!(taken, 2 * COMMANDS_MAX);
    }
}
