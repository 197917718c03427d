//! The result of `firstline journal`.

/// Whether the journal is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The command saw no damage.
    Sound,
    /// It saw damage.
    Damaged,
}
