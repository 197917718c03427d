//! The result of a recovery.

/// What the writer found when it opened the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Recovery {
    /// The ID of the next message.
    pub next_id: u64,
    /// The number of valid segments.
    pub segments: usize,
    /// Damaged bytes of the last segment that are followed by whole records.
    pub damaged_bytes: u32,
    /// Bytes after the last record of the last segment that are an incomplete or damaged record: a power cut tore it,
    /// or the disk damaged it. They stay where they are.
    pub torn_bytes: u32,
    /// The number of IDs before the next one that no message has. The server skips them because it may have issued
    /// them.
    pub skipped: u64,
    /// Used segments that cannot be read: their headers are damaged, or belong to another journal.
    pub unreadable_segments: u64,
    /// Segments that may have followed the last readable one, and whose headers are lost.
    pub lost_segments: u64,
}

impl Recovery {
    /// Whether the journal is new.
    pub fn is_new(&self) -> bool {
        *self == Self { next_id: 1, ..Self::default() }
    }
}
