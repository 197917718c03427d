//! An outbox behind two locks: one guards its state, and the sending thread holds the other during a send.

use crate::hub::egress::outbox::Outbox;
use crate::sync::{Mutex, MutexGuard};
use core::ops::{Deref, DerefMut};

/// The outbox of one connection, which several threads use. A new one is all zeroes.
pub struct SharedOutbox {
    outbox: Mutex<Outbox>,
    /// The sending thread holds this lock during its system call, which does not wait for the client. A thread that
    /// waits for the end of the send locks it; with `--realtime` it lends the sending thread its priority.
    ///
    /// The sending thread locks this while it has the outbox locked, and locks the outbox again while it holds this.
    /// That is no deadlock: only one thread sends at a time (see `send_state`), and a waiting thread has the outbox
    /// unlocked while it waits, and releases this before it locks the outbox again.
    send: Mutex<()>,
}

impl SharedOutbox {
    /// As [`Outbox::new`].
    #[cfg(not(loom))]
    #[expect(clippy::new_without_default, reason = "startup makes the only ones")]
    pub const fn new() -> Self {
        Self { outbox: Mutex::new(Outbox::new()), send: Mutex::new(()) }
    }

    /// As [`Outbox::new`].
    #[cfg(loom)]
    pub fn new() -> Self {
        Self { outbox: Mutex::new(Outbox::new()), send: Mutex::new(()) }
    }

    /// Waits until no other thread has the outbox, and locks it.
    pub fn lock(&self) -> LockedOutbox<'_> {
        LockedOutbox { outbox: self.outbox.lock(), send: &self.send }
    }

    /// Whether a thread may be waiting for the end of a send.
    #[cfg(test)]
    pub fn is_send_awaited(&self) -> bool {
        self.send.is_contended()
    }
}

/// The locked outbox of a connection. Dropping it unlocks the outbox.
#[must_use = "the outbox is unlocked as soon as this is dropped"]
pub struct LockedOutbox<'a> {
    outbox: MutexGuard<'a, Outbox>,
    send: &'a Mutex<()>,
}

impl LockedOutbox<'_> {
    /// Unlocks the outbox while `work` runs. Other threads may have changed it meanwhile.
    pub fn unlocked<R>(&mut self, work: impl FnOnce() -> R) -> R {
        MutexGuard::unlocked(&mut self.outbox, work)
    }

    /// Makes the system call of a send that this thread has begun, with the outbox unlocked; `end` ends the send.
    pub fn send<R, S>(&mut self, call: impl FnOnce() -> S, end: impl FnOnce(&mut Outbox, S) -> R) -> R {
        // Locked before the outbox is unlocked, and held until the send has ended. Otherwise a waiting thread could
        // find a send in progress and this lock free, and would spin.
        let _in_progress = self.send.lock();
        let sent = self.unlocked(call);
        end(&mut self.outbox, sent)
    }

    /// Unlocks the outbox, and waits at least until the send in progress of another thread has ended. Each send is one
    /// system call that does not block.
    pub fn await_send(&mut self) {
        let send = self.send;
        self.unlocked(|| drop(send.lock()));
    }
}

impl Deref for LockedOutbox<'_> {
    type Target = Outbox;

    fn deref(&self) -> &Outbox {
        &self.outbox
    }
}

impl DerefMut for LockedOutbox<'_> {
    fn deref_mut(&mut self) -> &mut Outbox {
        &mut self.outbox
    }
}
