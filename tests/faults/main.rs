//! Faults of networks and machines. Whatever the fault is, no message is acknowledged that was not processed,
//! every admitted message is answered, other clients do not notice, and the server recovers by itself. Every
//! test ends in [`scene::Scene::end`], which compares what each client was told with the journal.
//!
//! Network namespaces and mounts take root: `tests/run faults`. Other tests show these faults: no descriptors left
//! (bounds, disks), standard output that fails (printing), disks of the journal that fail (disks, journal).

mod addresses;
mod logs;
mod machine;
mod network;
mod resets;
mod scene;
#[path = "../support/mod.rs"]
mod support;
