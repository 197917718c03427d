//! What an ACK means: which messages are on the disk before it.

use crate::protocol::Priority;

/// Which messages are synced before they are acknowledged (`--sync`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// Every one.
    All,
    /// Those of that priority and above; the rest within `--sync-interval`.
    From(Priority),
    /// None: the system writes them when it likes.
    None,
}

impl Sync {
    /// Whether a message of that priority is synced before its ACK.
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
    fn it_covers_what_it_says() {
        let covered = |sync: Sync| Priority::all().filter(|priority| sync.covers(*priority)).count();
        assert_eq!(covered(Sync::All), Priority::COUNT);
        assert_eq!(covered(Sync::From(Priority::HIGH)), 3);
        assert_eq!(covered(Sync::None), 0);
    }
}
