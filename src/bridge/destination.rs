//! The broker, and how to introduce this client there.

use super::broker::Broker;
use super::exchange::Introduction;
use super::tls::Tls;

/// Where to connect, and as whom.
#[derive(Clone)]
pub struct Destination {
    /// The broker.
    pub broker: Broker,
    /// How to speak TLS to it, if it is to be.
    pub tls: Option<Tls>,
    /// As whom.
    pub introduction: Introduction,
}
