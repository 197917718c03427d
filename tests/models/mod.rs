//! What tests of several kinds compare the server with.
#![allow(dead_code, reason = "each who uses it uses its part")]

#[cfg(shuttle)]
pub mod kernel;
#[cfg(shuttle)]
pub mod party;
pub mod promises;
pub mod protocol;
pub mod world;
