//! The protocol as bytes: what clients send and what they are sent.
//!
//! Nothing here does I/O, knows an operating system, allocates or panics, whatever the bytes are. Nothing here
//! knows which clients are connected or what waits: it turns bytes into requests, and answers into bytes.
//!
//! | file | owns |
//! | --- | --- |
//! | [`framing`] | bytes as they come in, cut into lines |
//! | [`command`] | what a line asks for, and the help |
//! | [`priority`] | how urgent a message is |
//! | [`reply`] | every line that is sent |
//! | [`foreign`] | clients of another protocol: HTTP, TLS, SSH, MQTT, Redis, PROXY headers, UTF-16; Telnet's negotiation |
//! | [`escape`] | a client's bytes made harmless for other people's terminals and the logs |
//!
//! The way of a line:
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
pub mod foreign;
pub mod framing;
pub mod priority;
pub mod reply;

pub use priority::Priority;
