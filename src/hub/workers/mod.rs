//! The threads that serve connections, and how other threads wake them.

pub mod caller;
pub mod context;
pub mod floods;
pub mod progress;
pub mod session_set;
pub mod timer;
pub mod wakeups;
pub mod worker;
pub mod worker_id;
pub mod yield_policy;
