//! `firstline-bridge` between the real server and a real mosquitto, with everything between them failing.

mod broker;
mod commands;
mod forwarding;
mod outages;
mod process;
mod refusals;
mod scene;
mod tap;

#[path = "../support/mod.rs"]
mod support;
