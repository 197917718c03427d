//! The sessions that have flooded their worker lately.

use crate::hub::workers::session_set::SessionSet;
use crate::limits::FLOOD_MEMORY_MS;

/// The sessions that have flooded their worker lately: a session is forgotten at the latest after twice
/// [`FLOOD_MEMORY_MS`] in which it has not flooded.
#[derive(Clone, Copy)]
pub struct Floods {
    /// Since `since_ns`.
    recent: SessionSet,
    /// In the period before that.
    before: SessionSet,
    since_ns: u64,
}

impl Floods {
    /// No session.
    pub const NONE: Self = Self { recent: SessionSet::EMPTY, before: SessionSet::EMPTY, since_ns: 0 };

    /// The sessions.
    pub fn sessions(&self) -> SessionSet {
        self.recent.with(&self.before)
    }

    /// Adds a session that floods.
    pub fn insert(&mut self, session: usize) {
        self.recent.insert(session);
    }

    /// Removes a session that no longer floods.
    pub fn remove(&mut self, session: usize) {
        self.recent.remove(session);
        self.before.remove(session);
    }

    /// Begins another period, if this one is over at `now_ns`, in nanoseconds.
    pub fn forget_old(&mut self, now_ns: u64) {
        if now_ns.saturating_sub(self.since_ns) >= FLOOD_MEMORY_MS * 1_000_000 {
            *self = Self { recent: SessionSet::EMPTY, before: self.recent, since_ns: now_ns };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions(floods: &Floods) -> Vec<usize> {
        floods.sessions().iter().collect()
    }

    #[test]
    fn session_that_no_longer_floods_is_forgotten() {
        let (mut floods, period_ns) = (Floods::NONE, FLOOD_MEMORY_MS * 1_000_000);
        floods.forget_old(period_ns);
        floods.insert(1);
        floods.insert(0);
        floods.remove(1);
        floods.forget_old(2 * period_ns - 1);
        assert_eq!(sessions(&floods), [0]);
        floods.forget_old(2 * period_ns);
        assert_eq!(sessions(&floods), [0], "the period before is remembered");
        floods.insert(1);
        floods.forget_old(3 * period_ns);
        assert_eq!(sessions(&floods), [1]);
        floods.remove(1);
        assert!(floods.sessions().is_empty());
    }
}
