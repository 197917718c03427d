//! From the queue through the sinks to the clients: the consumer, the delivery, and the pipeline that runs them.

pub mod commit_group;
pub mod consumer;
pub mod delivery;
pub mod dispatcher;
pub mod pipeline;
pub mod policy;
pub mod sinks;
