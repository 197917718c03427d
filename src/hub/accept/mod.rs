//! From a listener to a place: accepts connections, and lets them wait or rejects them.

pub mod acceptor;
pub mod backoff;
pub mod pending;
pub mod places;
pub mod rejected;
pub mod vacancies;
