//! One connection by MQTT 5 or 3.1.1, without I/O: it converts bytes to events, and requests to bytes. The library
//! `mqtt-protocol-core` implements the protocol. Nothing is stored or repeated here: each connection has its own
//! session.

use super::exchange::{BrokerEvent, Cause, Delivery, End, Introduction, Publication, Unsent, Version};
use super::limits::RECEIVED_PACKET_BYTES_MAX;
use super::packets;
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{ConnectionOptions, Event, TimerKind};
use mqtt_protocol_core::mqtt::packet::prelude::*;
use mqtt_protocol_core::mqtt::packet::{Packet, Property, Qos, SubEntry, SubOpts, v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, ConnectReturnCode, MqttError, PubackReasonCode, SubackReasonCode,
};
use mqtt_protocol_core::mqtt::{Connection, role};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A connection.
pub struct Session {
    connection: Connection<role::Client>,
    version: Version,
    output: Vec<u8>,
    sent: usize,
    events: VecDeque<BrokerEvent>,
    ping_at: Option<Instant>,
    answers: Answers,
    answer_timeout: Duration,
}

/// The deadlines for the outstanding answers of the broker.
#[derive(Debug, Default)]
struct Answers {
    connack: Option<Instant>,
    suback: Option<Instant>,
    pingresp: Option<Instant>,
}

impl Answers {
    fn first(&self) -> Option<Instant> {
        [self.connack, self.suback, self.pingresp].into_iter().flatten().min()
    }
}

impl Session {
    /// A session that begins with CONNECT.
    ///
    /// # Errors
    /// Which part of the introduction cannot be encoded.
    pub fn begin(introduction: &Introduction, now: Instant) -> Result<Self, String> {
        let version = introduction.version;
        // No receive maximum: the library would end the connection when a broker exceeds it, as Mosquitto 2.0 does, and
        // the commands that it repeats would be processed again.
        let options = ConnectionOptions::new().maximum_packet_size_recv(RECEIVED_PACKET_BYTES_MAX);
        let mut session = Self {
            connection: Connection::with_options(version, options),
            version,
            output: Vec::new(),
            sent: 0,
            events: VecDeque::new(),
            ping_at: None,
            answers: Answers::default(),
            answer_timeout: introduction.answer_timeout,
        };
        let timeout_ms = u64::try_from(introduction.answer_timeout.as_millis()).unwrap_or(u64::MAX);
        session.connection.set_pingresp_recv_timeout(timeout_ms);
        let packet = packets::connect(introduction)
            .map_err(|error| format!("the broker cannot be told who this is: {error}"))?;
        let events = session.connection.send(packet);
        session.apply(events, now);
        Ok(session)
    }

    /// Records that bytes can be sent from now on, so that the broker has to answer in time.
    pub fn opened(&mut self, now: Instant) {
        self.answers.connack = Some(now + self.answer_timeout);
    }

    /// The bytes that wait to be sent.
    pub fn unsent(&self) -> &[u8] {
        &self.output[self.sent..]
    }

    /// Records that this many of the [`unsent`](Self::unsent) bytes were sent.
    pub fn advance(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.sent >= self.output.len() {
            self.output.clear();
            self.sent = 0;
        }
    }

    /// Takes received bytes.
    pub fn feed(&mut self, bytes: &[u8], now: Instant) {
        let mut cursor = Cursor::new(bytes);
        while cursor.position() < bytes.len() as u64 && !self.is_closed() {
            let events = self.connection.recv(&mut cursor);
            self.apply(events, now);
        }
    }

    /// The next event from the broker.
    pub fn next_event(&mut self) -> Option<BrokerEvent> {
        self.events.pop_front()
    }

    /// When to call [`run_deadlines`](Self::run_deadlines).
    pub fn due(&self) -> Option<Instant> {
        self.ping_at.into_iter().chain(self.answers.first()).min()
    }

    /// Runs the deadlines that have passed.
    pub fn run_deadlines(&mut self, now: Instant) {
        if self.answers.first().is_some_and(|by| now >= by) {
            self.answers = Answers::default();
            let seconds = self.answer_timeout.as_secs_f64();
            self.close(format!("the broker has not answered for {seconds} s"), Cause::Silence);
        } else if self.ping_at.is_some_and(|at| now >= at) {
            self.ping_at = None;
            let events = self.connection.notify_timer_fired(TimerKind::PingreqSend);
            self.apply(events, now);
        }
    }

    /// Sends a PINGREQ, which is answered by a [`BrokerEvent::Alive`]. Returns false if the last one has no answer yet:
    /// then this sends none, because the next answer would be to that one.
    pub fn ping(&mut self, now: Instant) -> bool {
        if self.answers.pingresp.is_some() {
            return false;
        }
        let made = if self.version == Version::V3_1_1 {
            v3_1_1::Pingreq::builder().build().map(Packet::from)
        } else {
            v5_0::Pingreq::builder().build().map(Packet::from)
        };
        self.send(made, now);
        true
    }

    /// Sends a packet without a content that could make it impossible.
    fn send(&mut self, made: Result<Packet, MqttError>, now: Instant) {
        if let Ok(packet) = made {
            let events = self.connection.send(packet);
            self.apply(events, now);
        }
    }

    /// Publishes with QoS 1, and returns the number that its acknowledgement will have.
    ///
    /// # Errors
    /// Why nothing was sent.
    pub fn publish(&mut self, publication: &Publication, now: Instant) -> Result<u16, Unsent> {
        let packet_id = self.connection.acquire_packet_id().map_err(|_| Unsent::NotNow)?;
        let events = match packets::publish(self.version, publication, packet_id) {
            Ok(packet) => self.connection.send(packet),
            Err(_) => {
                let events = self.connection.release_packet_id(packet_id);
                self.apply(events, now);
                return Err(Unsent::Impossible);
            }
        };
        let failure = events.iter().find_map(|event| match event {
            Event::NotifyError(error) => Some(*error),
            _ => None,
        });
        match failure {
            None => {
                self.apply(events, now);
                Ok(packet_id)
            }
            Some(error) => {
                let events = self.connection.release_packet_id(packet_id);
                self.apply(events, now);
                Err(if error == MqttError::PacketTooLarge { Unsent::TooLarge } else { Unsent::NotNow })
            }
        }
    }

    /// Subscribes with QoS 1.
    ///
    /// # Errors
    /// The topic is not valid.
    pub fn subscribe(&mut self, topic: &str, now: Instant) -> Result<(), String> {
        let packet_id = self.connection.acquire_packet_id().map_err(|error| error.to_string())?;
        // The bridge must not receive its own answers as commands. MQTT 3.1.1 has no answers, and shared subscriptions
        // do not permit this option.
        let is_without_own = self.version == Version::V5_0 && !topic.starts_with("$share/");
        let options = SubOpts::new().set_qos(Qos::AtLeastOnce).set_nl(is_without_own);
        let made = SubEntry::new(topic, options).and_then(|entry| {
            Ok(if self.version == Version::V3_1_1 {
                v3_1_1::Subscribe::builder().entries(vec![entry]).packet_id(packet_id).build()?.into()
            } else {
                v5_0::Subscribe::builder().entries(vec![entry]).packet_id(packet_id).build()?.into()
            })
        });
        let packet: Packet =
            made.map_err(|error| format!("{topic}: it is no topic to subscribe to: {error}"))?;
        let events = self.connection.send(packet);
        self.apply(events, now);
        self.answers.suback = Some(now + self.answer_timeout);
        Ok(())
    }

    /// Acknowledges a message of the broker. With `is_refused` and MQTT 5, the acknowledgement says that the command
    /// was not done, as far as is known.
    pub fn acknowledge(&mut self, packet_id: u16, is_refused: bool, now: Instant) {
        let made = if self.version == Version::V3_1_1 {
            v3_1_1::Puback::builder().packet_id(packet_id).build().map(Packet::from)
        } else {
            let puback = v5_0::Puback::builder().packet_id(packet_id);
            let puback = if is_refused {
                puback.reason_code(PubackReasonCode::ImplementationSpecificError)
            } else {
                puback
            };
            puback.build().map(Packet::from)
        };
        self.send(made, now);
    }

    /// Disconnects cleanly.
    pub fn leave(&mut self, now: Instant) {
        let made = if self.version == Version::V3_1_1 {
            v3_1_1::Disconnect::builder().build().map(Packet::from)
        } else {
            v5_0::Disconnect::builder().build().map(Packet::from)
        };
        self.send(made, now);
    }

    /// Records that the connection has ended, for that reason. Events from before the end are returned first.
    pub fn close(&mut self, reason: String, cause: Cause) {
        if !self.is_closed() {
            self.events.push_back(BrokerEvent::Closed(End { reason, cause }));
        }
    }

    /// Whether the connection has ended, and that event was not returned yet.
    pub fn is_closed(&self) -> bool {
        matches!(self.events.back(), Some(BrokerEvent::Closed(_)))
    }

    // ---- What the library requests ---------------------------------------------------------------------------

    fn apply(&mut self, events: Vec<Event>, now: Instant) {
        // The error can follow the request to close.
        let breach = events.iter().find_map(|event| match event {
            Event::NotifyError(error) => Some(*error),
            _ => None,
        });
        for event in events {
            match event {
                Event::RequestSendPacket { packet, .. } => self.output.extend(packet.to_continuous_buffer()),
                Event::NotifyPacketReceived(packet) => self.receive(packet),
                Event::RequestTimerReset { kind, duration_ms } => {
                    self.set_timer(kind, Some(now + Duration::from_millis(duration_ms)));
                }
                Event::RequestTimerCancel(kind) => self.set_timer(kind, None),
                Event::NotifyError(_) | Event::RequestClose => {
                    let cause = if breach.is_some() { Cause::Breach } else { Cause::Other };
                    self.close(over(breach), cause);
                }
                Event::NotifyPacketIdReleased(_) => {}
            }
        }
    }

    fn set_timer(&mut self, kind: TimerKind, at: Option<Instant>) {
        match kind {
            TimerKind::PingreqSend => self.ping_at = at,
            TimerKind::PingrespRecv => self.answers.pingresp = at,
            TimerKind::PingreqRecv => {}
        }
    }

    fn receive(&mut self, packet: Packet) {
        match packet {
            Packet::V5_0Connack(connack) => self.receive_connack(&connack),
            Packet::V3_1_1Connack(connack) => match connack.return_code() {
                ConnectReturnCode::Accepted => self.connected(u16::MAX, connack.session_present()),
                code => self.close(packets::refused(&code.to_string()), Cause::Other),
            },
            Packet::V5_0Puback(puback) => {
                let id = puback.packet_id();
                self.events.push_back(match puback.reason_code().filter(PubackReasonCode::is_failure) {
                    None => BrokerEvent::Acknowledged(id),
                    Some(code) => BrokerEvent::Rejected(id, packets::rejection(code)),
                });
            }
            Packet::V3_1_1Puback(puback) => {
                self.events.push_back(BrokerEvent::Acknowledged(puback.packet_id()))
            }
            Packet::V5_0Suback(suback) => {
                let refused = suback.reason_codes().into_iter().find(SubackReasonCode::is_failure);
                self.subscribed(refused.map(|code| code.to_string()));
            }
            Packet::V3_1_1Suback(suback) => {
                let refused = suback.return_codes().into_iter().find(|code| code.is_failure());
                self.subscribed(refused.map(|code| code.to_string()));
            }
            Packet::V5_0Publish(publish) => self.deliver(packets::delivery_5(&publish), publish.qos()),
            Packet::V3_1_1Publish(publish) => {
                self.deliver(packets::delivery_3(&publish), publish.qos());
            }
            Packet::V5_0Disconnect(disconnect) => {
                let (reason, cause) = packets::ended(disconnect.reason_code());
                self.close(reason, cause);
            }
            Packet::V5_0Pingresp(_) | Packet::V3_1_1Pingresp(_) => self.events.push_back(BrokerEvent::Alive),
            // The library handles the other packets itself.
            _ => {}
        }
    }

    fn receive_connack(&mut self, connack: &v5_0::Connack) {
        if connack.reason_code() != ConnectReasonCode::Success {
            return self.close(packets::refused(&connack.reason_code().to_string()), Cause::Other);
        }
        let receive_maximum = connack.props().iter().find_map(|property| match property {
            Property::ReceiveMaximum(maximum) => Some(maximum.val()),
            _ => None,
        });
        let takes_qos_1 = !connack.props().iter().any(|property| match property {
            Property::MaximumQos(maximum) => maximum.val() == 0,
            _ => false,
        });
        if takes_qos_1 {
            self.connected(receive_maximum.unwrap_or(u16::MAX), connack.session_present());
        } else {
            self.close(
                "the broker takes no messages with an acknowledgement (QoS 1)".to_string(),
                Cause::Other,
            );
        }
    }

    fn connected(&mut self, receive_maximum: u16, session_present: bool) {
        self.answers.connack = None;
        self.events.push_back(BrokerEvent::Connected { receive_maximum, session_present });
    }

    fn subscribed(&mut self, refused: Option<String>) {
        self.answers.suback = None;
        match refused {
            None => self.events.push_back(BrokerEvent::Subscribed),
            Some(reason) => {
                self.close(format!("the broker refuses the subscription: {reason}"), Cause::Other)
            }
        }
    }

    fn deliver(&mut self, delivery: Delivery, qos: Qos) {
        if qos == Qos::ExactlyOnce {
            return self
                .close("the broker breaks the protocol: a message with QoS 2".to_string(), Cause::Other);
        }
        self.events.push_back(BrokerEvent::Delivery(delivery));
    }
}

/// Why the library ended the connection.
fn over(breach: Option<MqttError>) -> String {
    breach.map_or_else(
        || "the connection is over".to_string(),
        |error| format!("the broker breaks the protocol, or is no MQTT broker: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::limits::KEEP_ALIVE_S;

    const PINGRESP: [u8; 2] = [0xd0, 0];

    fn events(session: &mut Session) -> Vec<BrokerEvent> {
        std::iter::from_fn(|| session.next_event()).collect()
    }

    #[test]
    fn answer_to_one_question_is_none_to_another() {
        let start = Instant::now();
        let (keep_alive, timeout) = (Duration::from_secs(KEEP_ALIVE_S.into()), Duration::from_secs(60));
        let introduction = Introduction {
            version: Version::V5_0,
            client_id: "pi".to_string(),
            login: None,
            session_expiry_s: 0,
            answer_timeout: timeout,
        };
        let mut session = Session::begin(&introduction, start).unwrap();
        session.opened(start);
        session.feed(&[0x20, 3, 0, 0, 0], start);
        assert!(matches!(events(&mut session)[..], [BrokerEvent::Connected { .. }]));
        session.subscribe("do/#", start).unwrap();
        session.run_deadlines(start + keep_alive);
        session.feed(&PINGRESP, start + keep_alive);
        session.run_deadlines(start + timeout - Duration::from_millis(1));
        assert_eq!(events(&mut session), [BrokerEvent::Alive]);
        session.run_deadlines(start + timeout);
        let [BrokerEvent::Closed(End { cause: Cause::Silence, .. })] = &events(&mut session)[..] else {
            panic!("the subscription has no answer")
        };
    }
}
