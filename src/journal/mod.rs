//! The journal: the history of messages on disk, in bounded space.
#[cfg(not(loom))]
pub mod catalog;
#[cfg(not(loom))]
pub mod cursor;
#[cfg(not(loom))]
pub mod disk;
#[cfg(not(loom))]
pub mod files;
pub mod policy;
#[cfg(all(test, not(loom)))]
mod power_tests;
#[cfg(not(loom))]
pub mod record;
#[cfg(not(loom))]
pub mod scan;
#[cfg(not(loom))]
pub mod segment;
#[cfg(all(test, not(loom)))]
mod simulated;
#[cfg(not(loom))]
pub mod writer;
