//! The journal: the history of messages on disk, in bounded space.
pub mod disk;
pub mod files;
#[cfg(test)]
mod power_tests;
pub mod record;
pub mod scan;
pub mod segment;
#[cfg(test)]
mod simulated;
pub mod writer;
