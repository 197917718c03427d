//! Replay: reads the journal for clients that ask for it (`/last`, `/since`, `/join MIN since ID`), at the speed at which each of them
//! reads, in a thread of its own. So neither the consumer nor a worker ever waits for the disk because of a reader.
//!
//! A replay owns the slot of the line that asked. The slot is released with the reply that closes the line; so a place is never given to
//! another client while something is read for it. The reader fills the outbox as far as there is room, and wakes the worker; the worker
//! sends, and wakes the reader when there is room again. Meanwhile the server takes the client's lines as usual: the room for replies
//! stays free. If the client leaves, or joins anew, the replay ends.
//!
//! A client that joins goes over from the history to the live messages without a gap or a repetition. The consumer publishes what is
//! committed *before* it delivers. The reader lets a client join only if nothing is committed that the client has not been sent, and checks
//! that under the outbox's lock. If the consumer then delivers messages of before, their IDs leave them out. A client that is too slow for
//! the live messages is sent the history again from there.
//!
//! - [`request`] — what a client asks for, and a request under way. Knows no outbox and no thread.
//! - [`handle`] — what the other threads know of the reader.
//! - [`reader`] — the thread that reads.

pub mod handle;
pub mod reader;
pub mod request;

pub use handle::{Handle, Replays};
pub use reader::Reader;
pub use request::Request;
