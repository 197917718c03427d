//! What tests of several kinds compare the server with.

#[cfg(shuttle)]
pub mod kernel;
#[cfg(shuttle)]
pub mod party;
pub mod promises;
pub mod wire;
pub mod world;
