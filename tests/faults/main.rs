//! What goes wrong with networks and machines: whatever it is, nothing is acknowledged that was not processed, nothing
//! admitted goes unanswered, others do not notice, and all is well again by itself. Every test ends in [`scene::Scene::end`],
//! which compares what each client was told with what the journal has.
//!
//! Needs to make network namespaces and to mount, as root: `tests/run faults`. What other tests show is not shown again: no
//! descriptors left (bounds, disks), standard output that fails (printing), disks of the journal that fail (disks, journal).

mod addresses;
#[path = "../common/mod.rs"]
mod common;
mod hosts;
mod logs;
mod machine;
mod network;
mod resets;
mod rough;
mod scene;
