//! When a worker polls a session again.

/// When to poll a session next, unless its socket or another thread wakes it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollAt {
    /// As soon as the other runnable sessions have been polled: there is more to do.
    Now,
    /// At that time at the latest, in nanoseconds.
    Time(u64),
    /// Not before it is woken.
    Ingress,
}

impl PollAt {
    /// At that time, in nanoseconds; none: when it is woken.
    pub fn time(deadline_ns: Option<u64>) -> Self {
        deadline_ns.map_or(Self::Ingress, Self::Time)
    }

    /// The same, but at that time at the latest, in nanoseconds.
    pub fn at_latest(self, deadline_ns: u64) -> Self {
        match self {
            Self::Now => Self::Now,
            Self::Time(other_ns) => Self::Time(other_ns.min(deadline_ns)),
            Self::Ingress => Self::Time(deadline_ns),
        }
    }
}
