//! Replay: a thread of its own reads the journal for the clients that request it (`/last`, `/since`,
//! `/join MIN since ID`), as fast as each client reads, or more slowly if clients flood the server. So neither the
//! consumer nor a worker ever waits for the disk because of a replay.
//!
//! A replay owns the slot of the line that requested it. The reply that closes the line releases the slot, so no place
//! goes to another client while the reader still reads for it. The reader fills the outbox as far as there is room, and
//! sends. If the socket is full, the worker sends the rest, and wakes the reader when the outbox has room. Meanwhile
//! the server takes the client's lines as usual, because the room for replies stays free. If the client leaves or joins
//! again, the replay ends. If a client that fell behind joins without an ID, the server counts the messages that the
//! client missed as lost.
//!
//! A client that joins passes from the history to the live messages without a gap or a repetition. The consumer
//! publishes the committed part of the journal *before* it delivers. The reader lets a client join only if it has sent
//! the client all committed messages, and checks that under the outbox's lock. If older messages are delivered after
//! that, the delivery skips them by their IDs. A client that is too slow for the live messages gets the history again,
//! from the first message that it lacks.
//!
//! - [`request`] — what a client requests, and a replay in progress. Knows no outbox and no thread.
//! - [`limiter`] — limits the CPU time of replays during a flood.
//! - [`handle`] — the interface of the other threads to the reader.
//! - [`reader`] — the thread that reads.

pub mod handle;
pub mod limiter;
pub mod reader;
pub mod request;

pub use handle::{Handle, Replays};
pub use reader::Reader;
pub use request::Request;
