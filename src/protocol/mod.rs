//! The protocol as bytes: the lines of clients, and the lines of the server.
//!
//! Nothing here does I/O, knows an operating system, allocates, or panics, whatever the bytes are. Nothing here knows
//! which clients are connected or what the queue holds: this module turns bytes into requests, and replies into bytes.
//!
//! | file | owns |
//! | --- | --- |
//! | [`framing`] | splits received bytes into lines |
//! | [`command`], [`task_command`] | parse lines into requests; the help |
//! | [`priority`] | the priority of a message |
//! | [`handler_text`] | a handler's text for the sender of a message: its bound, and where it is cut |
//! | [`reply`] | formats every line that the server sends, with the reasons of refusals and farewells |
//! | [`foreign`] | detects other protocols: HTTP, TLS, SSH, MQTT, Redis, PROXY headers, UTF-16; skips Telnet's negotiation |
//! | [`escape`] | makes a client's bytes harmless for terminals and logs |
//!
//! How a line becomes a reply:
//!
//! ```
//! use firstline::limits::{RECEIVE_BYTES, REPLY_BYTES_MAX};
//! use firstline::protocol::Priority;
//! use firstline::protocol::{command::Request, framing::Framer, reply};
//!
//! let mut buffer = [0; RECEIVE_BYTES];
//! let mut framer = Framer::new(&mut buffer);
//! let received = b"/urgent smoke in the workshop\r\n";
//! framer.free()[..received.len()].copy_from_slice(received);
//! framer.commit(received.len());
//!
//! let request = framer.next().map(Request::from);
//! let text = b"smoke in the workshop";
//! assert_eq!(request, Some(Request::Message { priority: Priority::URGENT, text }));
//! let mut out = heapless::Vec::<u8, REPLY_BYTES_MAX>::new();
//! reply::acks(&mut out, 1..2, 17, false);
//! assert_eq!(out, b"ACK 1 17\n");
//! ```

pub mod command;
pub mod escape;
mod farewell;
pub mod foreign;
pub mod framing;
pub mod handler_text;
mod nak;
pub mod priority;
mod refusal;
pub mod reply;
pub mod task_command;
mod words;

pub use priority::Priority;
