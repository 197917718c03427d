//! Which thread runs the pipeline.

use super::worker_id::WorkerId;

/// Which thread runs the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A worker.
    Worker(WorkerId),
    /// A thread that serves no connections: the consumer's own thread, or the delivery's.
    OwnThread,
}
