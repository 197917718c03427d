//! What the journal has committed, as its readers see it. Knows no clients.

use super::headers::Headers;

/// What the writer has committed. Readers may read no further.
#[derive(Clone, Copy)]
pub struct Committed {
    /// The headers of all segments. The newest segment is the last one.
    pub headers: Headers,
    /// The offset in the last segment, in bytes, where its committed records end.
    pub end: u32,
    /// The ID of the next message.
    pub next_id: u64,
    /// How often the writer has reopened the files. When it changes, a reader must reopen them too: they may be other
    /// files.
    pub openings: u64,
}
