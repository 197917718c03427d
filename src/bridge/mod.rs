//! `firstline-bridge`: sends a journal to an MQTT broker, and commands from the broker to a server. It is a separate
//! program, so it may allocate, within the bounds of `limits`; the server's binary contains no part of it.
//!
//! ```text
//! journal ─> reader ─> stream of each class ─> turns ─> session ─> transport ─> broker
//!                        (read ahead, window)            broker ─> PUBACK ─> window ─> cursor ─> file
//! broker ─> session ─> incoming ─> client ─> hub ─> ACK ─> incoming ─> response, PUBACK ─> broker
//! ```
//!
//! The journal is the only queue. A cursor passes a message once the broker has acknowledged the message, or the report
//! of its loss. So the copies in memory and in the libraries are never the only ones.
//!
//! | file | owns |
//! | --- | --- |
//! | `limits` | bounds, except those of one file alone |
//! | `class`, `turns` | the two classes, and which of them sends next |
//! | `item`, `window`, `stream` | a message or loss, those in flight, and one class from reading to acknowledgement |
//! | `cursors`, `cursor_file` | the position of each class, as bytes and as a file |
//! | `reader`, `changes`, `headroom` | the journal, writes to it, and how long it keeps unsent messages |
//! | `key`, `topic`, `publication` | an item as it is published |
//! | `outgoing`, `publisher` | the outbound direction, without a connection and with one |
//! | `incoming`, `commands` | the inbound direction, without a connection and with one |
//! | `barren`, `flapping` | connections that end because of a message, or that end soon, again and again |
//! | `exchange`, `packets`, `session` | messages to and from the broker, their packets, and MQTT without I/O |
//! | `broker`, `secret`, `opening`, `tls`, `transport`, `link`, `destination` | the connection to the broker |
//! | `options`, `names`, `counters`, `counter_file`, `state_files`, `report`, `stop`, `program` | the program |

mod barren;
mod broker;
mod changes;
mod class;
mod commands;
mod counter_file;
mod counters;
mod cursor_file;
mod cursors;
mod destination;
mod exchange;
mod flapping;
mod headroom;
mod incoming;
mod item;
mod key;
mod limits;
mod link;
mod names;
mod opening;
mod options;
mod outgoing;
mod packets;
mod program;
mod publication;
mod publisher;
mod reader;
mod report;
mod secret;
mod session;
mod state_files;
mod stop;
mod stream;
mod tls;
mod topic;
mod transport;
mod turns;
mod window;

pub use program::main;
