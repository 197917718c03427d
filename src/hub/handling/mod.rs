//! Handlers: clients that process messages. A message that a handler has to process is a *task*.
//!
//! ```text
//! worker of the sender ──> waiting ──> worker of the handler: give ──> given ── /done ──> queue of the consumer
//!                             ^                                          │
//!                             └── /later, a lost handler, a time-out ────┤
//!                                                                        └── /refuse, no attempt left ──> NAK
//! ```
//!
//! [`table`] composes [`waiting`], [`handlers`], [`entries`], [`fate`] and [`stats`]. [`entries`] are made of
//! [`entry`]s, which know the task type of [`waiting`]. [`waiting`], [`entry`] and [`fate`] know the [`past`] of a
//! task. The table knows no sockets, no threads and no clock. [`shared`] shares it between threads, sends the tasks to
//! the handlers, and sends the replies to the senders. It uses some [`parts`] of the hub for that.
//!
//! The worker of a handler gives it its tasks, and ends those that exceed their time. Other threads only wake that
//! worker. The acceptor's thread refuses the messages that no handler took in time. So no thread waits for a handler.

pub mod entries;
pub mod entry;
pub mod fate;
pub mod handlers;
pub mod offer;
#[cfg(not(loom))]
pub mod parts;
pub mod past;
pub mod schedule;
#[cfg(not(loom))]
pub mod shared;
pub mod stats;
pub mod table;
pub mod waiting;
