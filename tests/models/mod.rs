//! What tests of several kinds compare the server with.

pub mod promises;
pub mod wire;
pub mod world;
