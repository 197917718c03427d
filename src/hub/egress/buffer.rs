//! The bytes that wait to be sent to one client, in the order in which they were put in. Knows no slots and no sockets.

use crate::limits::{CLIENTS, OUTBOX_BYTES};
use heapless::{Vec, VecView};
use static_cell::ConstStaticCell;

/// Up to [`OUTBOX_BYTES`] bytes that are not sent yet. A new buffer is all zeroes.
#[repr(C)] // The numbers come first: beside the first lines, usually in the same page.
pub struct Buffer {
    /// The first `sent` of `bytes` are sent.
    sent: usize,
    /// The end of the last reply in `bytes`. After it there are only messages of other clients.
    replies_end: usize,
    bytes: Vec<u8, OUTBOX_BYTES>,
}

/// The buffers of all outboxes.
static BUFFERS: ConstStaticCell<[Buffer; CLIENTS]> = ConstStaticCell::new([const { Buffer::new() }; CLIENTS]);

/// Returns all buffers, one for each client. No page of them is written to before a client gets a line.
///
/// # Panics
/// When called twice.
pub fn take_buffers() -> &'static mut [Buffer; CLIENTS] {
    BUFFERS.take()
}

impl Default for Buffer {
    fn default() -> Self {
        Self::new()
    }
}

impl Buffer {
    /// An empty buffer.
    pub const fn new() -> Self {
        Self { sent: 0, replies_end: 0, bytes: Vec::new() }
    }

    /// Whether nothing is left to send.
    pub fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// Whether every reply is sent. Messages of other clients may be left.
    pub fn has_sent_replies(&self) -> bool {
        self.replies_end <= self.sent
    }

    /// How many bytes fit.
    pub fn room(&self) -> usize {
        OUTBOX_BYTES - (self.bytes.len() - self.sent)
    }

    /// The bytes that are not sent yet.
    pub fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// Appends a line. The caller has checked or reserved the room.
    pub fn append(&mut self, line: &[u8]) {
        self.make_contiguous(line.len());
        let appended = self.bytes.extend_from_slice(line);
        debug_assert!(appended.is_ok(), "the caller has checked or reserved the room");
    }

    /// Appends the replies that `write` writes: at most `len_max` bytes, for which the room is reserved.
    pub fn append_replies(&mut self, len_max: usize, write: impl FnOnce(&mut VecView<u8>)) {
        self.make_contiguous(len_max);
        let before = self.bytes.len();
        write(&mut self.bytes);
        debug_assert!(self.bytes.len() - before <= len_max);
        self.mark_reply();
    }

    /// Marks the last appended line as a reply.
    pub fn mark_reply(&mut self) {
        self.replies_end = self.bytes.len();
    }

    /// Records that the first `bytes` of [`Buffer::unsent`] are sent.
    pub fn advance(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.is_empty() {
            self.clear();
        }
    }

    /// Drops everything, sent or not. Writes nothing to an empty buffer, whose page may not be in memory.
    pub fn clear(&mut self) {
        if self.bytes.is_empty() {
            return;
        }
        self.bytes.clear();
        self.sent = 0;
        self.replies_end = 0;
    }

    /// Moves the unsent bytes to the front if fewer than `bytes` bytes are free after them.
    fn make_contiguous(&mut self, bytes: usize) {
        if self.bytes.len() + bytes > OUTBOX_BYTES {
            self.bytes.copy_within(self.sent.., 0);
            self.bytes.truncate(self.bytes.len() - self.sent);
            self.replies_end = self.replies_end.saturating_sub(self.sent);
            self.sent = 0;
        }
    }
}
