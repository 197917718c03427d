//! An outbox with the locks that its threads share: that of its state, and that of the send in progress.

use crate::hub::egress::outbox::Outbox;
use crate::sync::{Mutex, MutexGuard};
use core::ops::{Deref, DerefMut};

/// The outbox of one connection, which several threads use. A new one is all zeroes.
pub struct SharedOutbox {
    outbox: Mutex<Outbox>,
    /// The thread that sends holds this lock during its system call, which never waits for the client. So others can
    /// wait until the send has ended, and with `--realtime` they lend that thread their priority. It takes this lock
    /// while it has the outbox locked. That is no deadlock: the send state makes it the only thread that sends, so only
    /// threads that have waited for the previous send can have this lock, and they release it at once.
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

    /// Whether a thread waits until a send has ended.
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
        // From before the outbox is unlocked until the send has ended: if a thread found a send in progress and this
        // lock free, it would spin.
        let _in_progress = self.send.lock();
        let sent = self.unlocked(call);
        end(&mut self.outbox, sent)
    }

    /// Unlocks the outbox until the send in progress of another thread has ended.
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
