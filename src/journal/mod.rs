//! The journal: the history of messages on disk, in bounded space.
pub mod catalog;
pub mod cursor;
pub mod disk;
pub mod files;
pub mod record;
pub mod scan;
pub mod segment;
pub mod writer;
