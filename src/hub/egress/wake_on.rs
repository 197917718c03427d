//! The events besides those of its socket that a worker waits for. Knows no outbox.

/// The event at which other threads wake the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakeOn {
    /// Nothing: only the socket wakes the worker.
    Nothing,
    /// A released slot, or sent bytes: the worker has work that lacks room.
    Room,
    /// No slot is outstanding and no thread sends.
    Quiescence,
}

impl WakeOn {
    /// Whether to wake the worker now, after a slot was released or bytes were sent; `is_quiescent` says whether no
    /// slot is outstanding and no thread sends. If this returns true, the worker is woken for nothing else until it
    /// sets this again.
    pub fn take(&mut self, is_quiescent: bool) -> bool {
        let is_wanted = match self {
            Self::Nothing => false,
            Self::Room => true,
            Self::Quiescence => is_quiescent,
        };
        if is_wanted {
            *self = Self::Nothing;
        }
        is_wanted
    }
}
