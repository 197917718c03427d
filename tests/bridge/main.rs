//! `firstline-bridge` between the real server and a real mosquitto, with everything between them failing.

mod arrives_or_is_told;
mod broker;
#[cfg(feature = "faults")]
mod cables;
mod commands;
mod forwarding;
mod hostile;
#[cfg(feature = "faults")]
mod local_names;
mod nats;
mod outages;
mod process;
mod refusals;
mod scene;
mod tap;

#[path = "../support/mod.rs"]
mod support;
