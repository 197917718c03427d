//! The committed part of the journal, for its readers. Knows no clients.

use super::headers::Headers;

/// The part of the journal that the writer has committed. Readers must not read beyond it.
#[derive(Clone, Copy)]
pub struct Committed {
    /// The headers of all segments. The newest segment is the last one.
    pub headers: Headers,
    /// The offset in the last segment, in bytes, where its committed records end.
    pub end: u32,
    /// The ID of the next message.
    pub next_id: u64,
    /// How often the writer has reopened the files. When it changes, a reader must reopen them too, because other files
    /// may be in their place.
    pub openings: u64,
}
