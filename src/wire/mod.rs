//! The protocol as bytes: what clients send and what they are sent.

pub mod escape;
pub mod framing;
pub mod reply;
