//! Which messages are on the disk before the server acknowledges them.

use crate::protocol::Priority;

/// Which messages the server syncs before it acknowledges them (`--sync`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// All messages.
    All,
    /// Messages of that priority and above. It syncs the others within `--sync-interval`.
    From(Priority),
    /// None. The kernel decides when it writes them to the disk.
    None,
}

impl Sync {
    /// Whether the server syncs a message of that priority before its ACK.
    pub fn covers(self, priority: Priority) -> bool {
        match self {
            Self::All => true,
            Self::From(least) => priority >= least,
            Self::None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_policy_covers_its_priorities() {
        let covered = |sync: Sync| Priority::all().filter(|priority| sync.covers(*priority)).count();
        assert_eq!(covered(Sync::All), Priority::COUNT);
        assert_eq!(covered(Sync::From(Priority::HIGH)), 3);
        assert_eq!(covered(Sync::None), 0);
    }
}
