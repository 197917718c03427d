//! From a listener to a place: connections that are accepted, wait, or are rejected.

pub mod acceptor;
pub mod backoff;
pub mod pending;
pub mod rejected;
