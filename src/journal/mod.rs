//! The journal: the history of messages on disk, in bounded space.
//!
//! - [`segment`], [`record`], [`mark`] — the format, byte by byte.
//! - [`disk`] — the interface to the system; [`error`] — why a journal cannot be opened.
//! - [`files`], [`read_only`] — the files, for the writer and for readers; below them `directory`, `segment_file`,
//!   `file_state`, `file_io`; [`names`].
//! - [`headers`] — reads the headers of all segments, and decides which belong to one journal.
//! - [`writer`] — appends, commits and recovers; below it [`rotation`], `active_segment`, `last_segment`, [`ring`],
//!   [`store`], [`pages`], `random`; [`recovery`] — what it recovered.
//! - [`committed`] — what the writer publishes for its readers.
//! - [`tail`] — where the records of a segment end.
//! - [`scan`], [`catalog`], [`cursor`] — read the history, also while the writer writes, and past damage;
//!   [`last`] — finds the last messages.
//! - [`resize`] — copies the history to files of another length; [`overlay`] — recovers the old journal without a
//!   change to its files; `replacement` — puts the new files in the place of the old ones, also after a crash.
//! - [`policy`] — which messages are synced before their ACK.
//!
//! The journal is a ring of [`JOURNAL_SEGMENTS`](crate::limits::JOURNAL_SEGMENTS) files with their full length from the
//! start. So it never takes more room than that, a full disk cannot stop it, and a sync writes only data.
//!
//! Knows neither clients nor threads. Only a resize allocates.

#[cfg(not(loom))]
mod active_segment;
#[cfg(not(loom))]
pub mod catalog;
#[cfg(not(loom))]
pub mod committed;
#[cfg(not(loom))]
pub mod cursor;
#[cfg(not(loom))]
mod directory;
#[cfg(not(loom))]
pub mod disk;
#[cfg(not(loom))]
pub mod error;
#[cfg(not(loom))]
mod file_io;
#[cfg(not(loom))]
mod file_state;
#[cfg(not(loom))]
pub mod files;
#[cfg(not(loom))]
pub mod headers;
#[cfg(not(loom))]
pub mod last;
#[cfg(not(loom))]
mod last_segment;
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
#[cfg(not(loom))]
mod per_segment;
pub mod policy;
#[cfg(all(test, not(loom)))]
mod power_tests;
#[cfg(not(loom))]
mod random;
#[cfg(not(loom))]
pub mod read_only;
#[cfg(not(loom))]
pub mod record;
#[cfg(not(loom))]
pub mod recovery;
#[cfg(not(loom))]
mod replacement;
#[cfg(not(loom))]
pub mod resize;
#[cfg(not(loom))]
pub mod ring;
#[cfg(not(loom))]
pub mod rotation;
#[cfg(not(loom))]
pub mod scan;
#[cfg(not(loom))]
pub mod segment;
#[cfg(not(loom))]
mod segment_file;
#[cfg(all(test, not(loom)))]
pub(crate) mod simulated;
#[cfg(not(loom))]
pub mod store;
#[cfg(not(loom))]
pub mod tail;
#[cfg(not(loom))]
pub mod writer;
