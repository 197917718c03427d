//! The journal: the history of messages on disk, in bounded space.
//!
//! - [`segment`], [`record`], [`mark`] — the format, byte by byte.
//! - [`disk`] — the boundary to the system; [`files`], [`names`] — the system's side of it; [`error`] — why it refuses.
//! - [`headers`] — reads the headers of all segments, and tells which belong to one journal.
//! - [`pages`] — what is written goes in whole pages.
//! - [`writer`] — appends and commits, and recovers at the start.
//! - [`committed`] — what the writer tells its readers.
//! - [`tail`] — where the records of a segment end.
//! - [`scan`], [`catalog`], [`cursor`] — reading, also while it is written, and past what is damaged; [`last`] — the last messages.
//! - [`resize`] — carries a history over to files of another length; [`overlay`] — the old one, which stays as it is meanwhile;
//!   `replacement` — puts the new files in the place of the old ones, also after a crash.
//! - [`policy`] — which messages are synced before their ACK.
//!
//! It is a ring of [`JOURNAL_SEGMENTS`](crate::limits::JOURNAL_SEGMENTS) files that have their full length from the start: it
//! never takes more room than that, a full disk cannot stop it, and a sync has nothing to write but data.
//!
//! Knows neither clients nor threads. Nothing here allocates after the files are open.

#[cfg(not(loom))]
pub mod catalog;
#[cfg(not(loom))]
pub mod committed;
#[cfg(not(loom))]
pub mod cursor;
#[cfg(not(loom))]
pub mod disk;
#[cfg(not(loom))]
pub mod error;
#[cfg(not(loom))]
pub mod files;
#[cfg(not(loom))]
pub mod headers;
#[cfg(not(loom))]
pub mod last;
#[cfg(not(loom))]
pub mod mark;
#[cfg(not(loom))]
pub mod names;
#[cfg(not(loom))]
mod number;
#[cfg(not(loom))]
pub mod overlay;
#[cfg(not(loom))]
pub mod pages;
pub mod policy;
#[cfg(all(test, not(loom)))]
mod power_tests;
#[cfg(not(loom))]
pub mod record;
#[cfg(not(loom))]
mod replacement;
#[cfg(not(loom))]
pub mod resize;
#[cfg(not(loom))]
pub mod scan;
#[cfg(not(loom))]
pub mod segment;
#[cfg(all(test, not(loom)))]
mod simulated;
#[cfg(not(loom))]
pub mod tail;
#[cfg(not(loom))]
pub mod writer;
