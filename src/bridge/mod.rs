//! `firstline-bridge`: sends a journal to an MQTT broker, and commands from there to a server. It is a program of its
//! own, so it may allocate, within the bounds of `limits`; nothing of it is in the server's binary.
//!
//! ```text
//! journal ─> reader ─> stream of each class ─> turns ─> session ─> transport ─> broker
//!                        (read ahead, window)            broker ─> PUBACK ─> window ─> cursor ─> file
//! broker ─> session ─> incoming ─> client ─> hub ─> ACK ─> incoming ─> response, PUBACK ─> broker
//! ```
//!
//! The journal is the only queue. A cursor passes a message once the broker has acknowledged it, or once the broker
//! has acknowledged that it was told of the loss. So what is in memory, and in the libraries, is never the only copy.
//!
//! | file | owns |
//! | --- | --- |
//! | `limits` | every bound |
//! | `class`, `turns` | the two classes, and which of them sends next |
//! | `item`, `window`, `stream` | what is sent, what is on its way, and one class from its reading to its acknowledgement |
//! | `cursors`, `cursor_file` | how far each class has come, as bytes and as a file |
//! | `reader`, `changes`, `headroom` | the journal, when it is written, and how long it keeps what is not sent |
//! | `key`, `topic`, `publication` | what an item looks like at the broker |
//! | `outgoing`, `publisher` | all of these together, without a connection and with one |
//! | `incoming`, `commands` | the way in, without a connection and with one |
//! | `barren`, `flapping` | whether connections end over a message, or soon, again and again |
//! | `exchange`, `packets`, `session` | what is said, as packets, and MQTT without I/O |
//! | `broker`, `secret`, `opening`, `tls`, `transport`, `link`, `destination` | the way to the broker |
//! | `options`, `names`, `counters`, `counter_file`, `records`, `report`, `stop`, `program` | the program |

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
mod records;
mod report;
mod secret;
mod session;
mod stop;
mod stream;
mod tls;
mod topic;
mod transport;
mod turns;
mod window;

pub use program::main;
