//! A slot holds the text of a message, and the name of its sender, while the message waits.
//!
//! Slots belong to clients: each client has `IN_FLIGHT` of them, all static. Each slot has exactly one
//! `&'static mut Slot`, and the holder of that reference owns the message in the slot. The client's outbox holds the
//! free slots. A slot goes from there to the worker, which fills it, then through the queue to the consumer, which
//! reads it, and back to the outbox together with the reply. So the compiler proves that no two threads touch a slot
//! at the same time.

use crate::conn_id::ConnId;
use crate::limits::{BATCH, CLIENTS, IN_FLIGHT, NICK_BYTES_MAX, TEXT_BYTES};
use crate::protocol::Priority;
use static_cell::ConstStaticCell;

/// One message of one client. The fields that are read most come first, in the same cache lines as the beginning of
/// the text. The nick comes last, so that a message without a nick does not touch its cache line.
#[repr(C)]
pub struct Slot {
    /// The number of the message's line on its connection.
    line: u64,
    /// The next slot of the chain, if this slot is in a [`Chain`](super::Chain) and not its last one.
    pub(super) next: Option<&'static mut Self>,
    /// How many slots follow in the chain. Both are zero in a single slot, so that no page of a slot is touched before
    /// a message needs it.
    pub(super) followers: u8,
    /// The length of the sender's nick, in bytes; 0 if it had none.
    nick_len: u8,
    client: ConnId,
    len: u16,
    priority: Priority,
    is_lowered: bool,
    text: [u8; TEXT_BYTES],
    nick: [u8; NICK_BYTES_MAX],
}

impl Slot {
    /// An empty slot.
    pub const EMPTY: Self = Self {
        line: 0,
        client: ConnId::FIRST,
        len: 0,
        followers: 0,
        nick_len: 0,
        priority: Priority::MIN,
        is_lowered: false,
        next: None,
        text: [0; TEXT_BYTES],
        nick: [0; NICK_BYTES_MAX],
    };

    /// Fills the slot with a message from a sender without a nick, with the priority that the sender wanted.
    ///
    /// # Panics
    /// If the text is longer than [`TEXT_BYTES`], which the parser refuses.
    pub fn fill(&mut self, client: ConnId, line: u64, priority: Priority, text: &[u8]) {
        self.client = client;
        self.line = line;
        self.priority = priority;
        self.is_lowered = false;
        self.nick_len = 0;
        self.len = text.len() as u16;
        self.text[..text.len()].copy_from_slice(text);
    }

    /// Adds the nick that the sender has now; empty if it has none.
    ///
    /// # Panics
    /// If the nick is longer than [`NICK_BYTES_MAX`], which the parser refuses.
    #[inline]
    pub fn sign(&mut self, nick: &str) {
        if nick.is_empty() {
            // `fill` has set this already.
            return;
        }
        self.nick_len = nick.len() as u8;
        self.nick[..nick.len()].copy_from_slice(nick.as_bytes());
    }

    /// Lowers the priority of the message to `max`, if it is higher. The slot remembers that, because the reply says
    /// so.
    pub fn lower_to(&mut self, max: Priority) {
        if self.priority > max {
            self.priority = max;
            self.is_lowered = true;
        }
    }

    /// The client that sent the message.
    pub fn client(&self) -> ConnId {
        self.client
    }

    /// The nick that the sender had when it sent the message, if it had one.
    pub fn nick(&self) -> Option<&str> {
        str::from_utf8(&self.nick[..usize::from(self.nick_len)]).ok().filter(|nick| !nick.is_empty())
    }

    /// The number of the message's line on its connection.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The priority of the message.
    pub fn priority(&self) -> Priority {
        self.priority
    }

    /// Whether the priority is lower than the sender wanted.
    pub fn is_lowered(&self) -> bool {
        self.is_lowered
    }

    /// The text of the message.
    pub fn text(&self) -> &[u8] {
        &self.text[..usize::from(self.len)]
    }
}

/// The slots of one client.
pub type SlotRow = [Slot; IN_FLIGHT];

// No padding separates the text from the fields before it or makes a slot longer: there are thousands of slots.
const _: () = assert!(size_of::<Slot>() <= (24 + NICK_BYTES_MAX + TEXT_BYTES).next_multiple_of(8));
const _: () = {
    assert!(BATCH <= u8::MAX as usize, "`followers` has 8 bits");
    assert!(NICK_BYTES_MAX <= u8::MAX as usize, "the length of a nick has 8 bits");
};

/// All slots of all clients.
static SLOTS: ConstStaticCell<[SlotRow; CLIENTS]> =
    ConstStaticCell::new([const { [const { Slot::EMPTY }; IN_FLIGHT] }; CLIENTS]);

/// Returns all slots, one row for each client. No page of them is touched before a message needs it.
///
/// # Panics
/// When called twice.
pub fn take_slots() -> &'static mut [SlotRow; CLIENTS] {
    SLOTS.take()
}
