//! What the journal has committed, as its readers see it. Knows no clients.

use super::headers::Headers;

/// What the writer has committed: a reader may read up to there.
#[derive(Clone, Copy)]
pub struct Committed {
    /// What the segments hold. The newest of them is the last one.
    pub headers: Headers,
    /// The offset in the last segment, in bytes, where its committed records end.
    pub end: u32,
    /// The ID of the next message.
    pub next_id: u64,
    /// How often the files were opened anew: a reader must open them anew then too, for they are other files.
    pub openings: u64,
}
