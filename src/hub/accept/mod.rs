//! From a listener to a place: connections that are accepted, wait, or are rejected.

pub mod acceptor;
pub mod backoff;
pub mod pending;
pub mod places;
pub mod rejected;
pub mod vacancies;
