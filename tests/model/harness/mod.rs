//! What tests of several kinds share: a hub that a test drives, and the reference that they compare the server with.
#![allow(dead_code, reason = "each test program uses its part")]

pub mod driven_hub;
#[cfg(shuttle)]
pub mod kernel;
#[cfg(shuttle)]
pub mod members;
pub mod promises;
pub mod protocol;
mod refusals;
mod reply;
pub mod transcript;
pub mod witness;
