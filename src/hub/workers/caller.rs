//! Which thread delivers or sends.

use super::worker_id::WorkerId;

/// Which thread delivers or sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A worker.
    Worker(WorkerId),
    /// A thread that serves no connections: the consumer's own, the delivery's, or that of the replay.
    OwnThread,
}
