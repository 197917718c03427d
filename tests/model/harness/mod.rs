//! The reference that tests of several kinds compare the server with.
#![allow(dead_code, reason = "each test program uses its part")]

pub mod driven_hub;
#[cfg(shuttle)]
pub mod kernel;
#[cfg(shuttle)]
pub mod members;
pub mod promises;
pub mod protocol;
