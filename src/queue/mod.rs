//! The queue.
pub mod priority;
pub use priority::Priority;
