//! When a worker polls a session again.

/// When to poll a session next, unless its socket or another thread wakes it earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollAt {
    /// After the other runnable sessions, or before those that flood: there is more to do.
    Now,
    /// At this time at the latest, in nanoseconds.
    Time(u64),
    /// Only when it is woken.
    Ingress,
}

impl PollAt {
    /// At `deadline_ns`, in nanoseconds, or with `None`, only when it is woken.
    pub fn time(deadline_ns: Option<u64>) -> Self {
        deadline_ns.map_or(Self::Ingress, Self::Time)
    }

    /// The earlier of this and `deadline_ns`, in nanoseconds.
    pub fn at_latest(self, deadline_ns: u64) -> Self {
        match self {
            Self::Now => Self::Now,
            Self::Time(other_ns) => Self::Time(other_ns.min(deadline_ns)),
            Self::Ingress => Self::Time(deadline_ns),
        }
    }
}
