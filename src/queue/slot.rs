//! Where the text of a message, and the name of its sender, stay while it waits.
//!
//! Slots belong to clients: each client has `IN_FLIGHT` of them, all static. The holder of the `&'static mut Slot` owns the message in it,
//! and there is one such reference to each slot. From the client's outbox, where free slots are, it goes to the worker, which fills it,
//! through the queue to the consumer, which reads it, and back to the outbox together with the reply. So the compiler proves that no two
//! threads touch a slot at the same time.

use super::Chain;
use crate::conn_id::ConnId;
use crate::limits::{BATCH, CLIENTS, IN_FLIGHT, NICK_BYTES_MAX, TEXT_BYTES};
use crate::protocol::Priority;
use static_cell::ConstStaticCell;

/// One message of one client. What is read most comes first, with the beginning of the text in the same cache lines; the name is
/// behind it, where messages without one do not pay for it.
#[repr(C)]
pub struct Slot {
    /// The number of its line on its connection.
    line: u64,
    /// The rest of the chain that this slot is the head of.
    pub(super) next: Option<Chain>,
    /// How many slots are in that. A slot by itself has nothing but zeroes here, so that it need not be written to, and no
    /// page of it is touched, before a message needs it.
    pub(super) followers: u8,
    /// The length of the sender's nick; 0: it had none.
    nick_len: u8,
    client: ConnId,
    len: u16,
    priority: Priority,
    lowered: bool,
    text: [u8; TEXT_BYTES],
    nick: [u8; NICK_BYTES_MAX],
}

impl Slot {
    /// A slot with nothing in it.
    pub const EMPTY: Self = Self {
        line: 0,
        client: ConnId::FIRST,
        len: 0,
        followers: 0,
        nick_len: 0,
        priority: Priority::MIN,
        lowered: false,
        next: None,
        text: [0; TEXT_BYTES],
        nick: [0; NICK_BYTES_MAX],
    };

    /// Puts a message into it, of the priority that it was sent with, from a sender without a nick.
    ///
    /// # Panics
    /// If the text is longer than [`TEXT_BYTES`], which the parser refuses.
    pub fn fill(&mut self, client: ConnId, line: u64, priority: Priority, text: &[u8]) {
        self.client = client;
        self.line = line;
        self.priority = priority;
        self.lowered = false;
        self.nick_len = 0;
        self.len = text.len() as u16;
        self.text[..text.len()].copy_from_slice(text);
    }

    /// Names the sender of its message, by the nick that it has now; it has none if that is empty.
    ///
    /// # Panics
    /// If the nick is longer than [`NICK_BYTES_MAX`], which the parser refuses.
    #[inline]
    pub fn sign(&mut self, nick: &str) {
        if nick.is_empty() {
            // As it is filled.
            return;
        }
        self.nick_len = nick.len() as u8;
        self.nick[..nick.len()].copy_from_slice(nick.as_bytes());
    }

    /// Makes its message no more urgent than that. It is remembered, for its sender is told.
    pub fn lower_to(&mut self, max: Priority) {
        if self.priority > max {
            self.priority = max;
            self.lowered = true;
        }
    }

    /// Whose message it is.
    pub fn client(&self) -> ConnId {
        self.client
    }

    /// What its sender was called when it sent it; none: it had no nick.
    pub fn nick(&self) -> Option<&str> {
        str::from_utf8(&self.nick[..usize::from(self.nick_len)]).ok().filter(|nick| !nick.is_empty())
    }

    /// The number of its line on its connection.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// How urgent it is.
    pub fn priority(&self) -> Priority {
        self.priority
    }

    /// Whether it is less urgent than its sender wanted.
    pub fn is_lowered(&self) -> bool {
        self.lowered
    }

    /// What it says.
    pub fn text(&self) -> &[u8] {
        &self.text[..usize::from(self.len)]
    }
}

/// The slots of one client.
pub type SlotRow = [Slot; IN_FLIGHT];

// The text begins where the fields before it end, and no padding makes a slot longer: there are thousands.
const _: () = assert!(size_of::<Slot>() <= (24 + NICK_BYTES_MAX + TEXT_BYTES).next_multiple_of(8));
const _: () = {
    assert!(BATCH <= u8::MAX as usize, "how many follow is 8 bits");
    assert!(NICK_BYTES_MAX <= u8::MAX as usize, "a nick's length is 8 bits");
};

/// All slots of all clients.
static SLOTS: ConstStaticCell<[SlotRow; CLIENTS]> =
    ConstStaticCell::new([const { [const { Slot::EMPTY }; IN_FLIGHT] }; CLIENTS]);

/// Hands out all slots, a row a client. No page of them is touched before a message needs it.
///
/// # Panics
/// When called twice.
pub fn take_slots() -> &'static mut [SlotRow; CLIENTS] {
    SLOTS.take()
}
