//! The names of a journal's files.

use crate::limits::JOURNAL_SEGMENTS;

/// The file name of each segment.
pub const NAMES: [&str; JOURNAL_SEGMENTS] =
    ["0.journal", "1.journal", "2.journal", "3.journal", "4.journal", "5.journal", "6.journal", "7.journal"];
