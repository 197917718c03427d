//! The messages to and from a broker, independent of the version of MQTT.

use super::secret::Login;
use std::time::Duration;

pub use mqtt_protocol_core::mqtt::Version;

/// How to introduce this client.
#[derive(Clone)]
pub struct Introduction {
    /// The version of the protocol.
    pub version: Version,
    /// The client ID, unique at the broker.
    pub client_id: String,
    /// User and password.
    pub login: Option<Login>,
    /// The session expiry interval, in seconds: how long the broker keeps the subscriptions and the messages for them; 0
    /// for a clean session. With MQTT 3.1.1 the broker decides how long.
    pub session_expiry_s: u32,
    /// How long an answer may take.
    pub answer_timeout: Duration,
}

/// A message to publish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publication {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
    /// With MQTT 5: properties with a name.
    pub properties: Vec<(&'static str, String)>,
    /// With MQTT 5: the correlation data of the request that it answers.
    pub correlation: Option<Vec<u8>>,
}

/// A message that the broker sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Its number, if it has to be acknowledged.
    pub packet_id: Option<u16>,
    /// Whether it may have been sent before.
    pub is_repeated: bool,
    /// Whether the broker had retained it from before the subscription.
    pub is_retained: bool,
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
    /// The property `priority`.
    pub priority: Option<String>,
    /// Where the answer goes.
    pub response_topic: Option<String>,
    /// The correlation data for the answer.
    pub correlation: Option<Vec<u8>>,
}

/// An event from the broker.
#[derive(Debug, PartialEq, Eq)]
pub enum BrokerEvent {
    /// The broker accepts this client.
    Connected {
        /// How many messages without an acknowledgement the broker takes.
        receive_maximum: u16,
        /// Whether the broker has kept the session.
        session_present: bool,
    },
    /// The broker acknowledged a message.
    Acknowledged(u16),
    /// The broker refused a message.
    Rejected(u16, Rejection),
    /// The broker confirmed the subscription.
    Subscribed,
    /// A message.
    Delivery(Delivery),
    /// The broker has received everything up to a PINGREQ.
    Alive,
    /// The connection has ended.
    Closed(End),
}

/// Why a message is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Whether it is refused for good.
    pub is_final: bool,
    /// The broker's reason.
    pub reason: String,
}

/// Why a connection has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The reason, in one line.
    pub reason: String,
    /// The cause.
    pub cause: Cause,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A message, according to the broker.
    Message,
    /// A breach of the protocol, according to the broker or the library: a message may be the reason.
    Breach,
    /// Another client uses the same client ID.
    ClientIdInUse,
    /// The broker does not answer in time.
    Silence,
    /// Anything else.
    Other,
}

/// Why a publication was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// The broker takes no packet of that size.
    TooLarge,
    /// The broker takes no more now, or the connection is over.
    NotNow,
    /// It cannot be encoded as a packet.
    Impossible,
}
