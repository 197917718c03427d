//! The broker, and how to introduce this client there.

use super::broker::Broker;
use super::exchange::Introduction;
use super::tls::Tls;

/// Where to connect, and how to introduce this client there.
#[derive(Clone)]
pub struct Destination {
    /// The broker.
    pub broker: Broker,
    /// How to use TLS with the broker, or `None` without TLS.
    pub tls: Option<Tls>,
    /// The introduction.
    pub introduction: Introduction,
}
