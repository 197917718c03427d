//! The same with another make of broker: nats-server, by MQTT 3.1.1.

use crate::arrives_or_is_told::{Fault, Kind, arrives_or_is_told, seeds};

#[test]
fn nats_killed() {
    for seed in 0..seeds() {
        arrives_or_is_told(Fault::BrokerKilled, Kind::Nats, seed);
    }
}

#[test]
fn nats_with_the_bridge_killed() {
    for seed in 0..seeds() {
        arrives_or_is_told(Fault::BridgeKilled, Kind::Nats, seed);
    }
}

#[test]
fn nats_with_the_connection_cut_after_any_packet() {
    for seed in 0..seeds() {
        arrives_or_is_told(Fault::ConnectionCut, Kind::Nats, seed);
    }
}
