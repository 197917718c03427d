//! The threads that serve connections, and how they are woken.

pub mod timer;
pub mod wakeups;
pub mod worker;
