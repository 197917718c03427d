//! Which messages of other clients one client is sent. Knows no bytes and no locks.
//!
//! ```text
//! Off ── join ──────────────> Live
//! Off ── follow ─> CatchingUp ── join_from: it has all that is committed ──> Live (resumes)
//! Live (resumes) ── fall_behind: no room ─> Lagging ── take_behind ─> CatchingUp
//! CatchingUp ── set_aside, stand_aside: it asked for another part of the history ─> Lagging
//! any ── leave ─> Off
//! ```

use crate::protocol::Priority;
use core::mem;

/// The subscription of one client. `repr(u8)`: the tag has a byte of its own, and that of `Off` is 0, so a new one is all zeroes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Subscription {
    /// The client is sent no messages but those that it asks for.
    Off,
    /// The client is sent every message with that priority or above, from ID `live_from` on.
    Live {
        /// The least priority.
        min: Priority,
        /// The ID of the first message.
        live_from: u64,
        /// Whether the client returns to the history if it is too slow for the live messages.
        resumes: bool,
    },
    /// The client was too slow, or its replay stands aside: it is to be sent the history from ID `behind_from` on.
    Lagging {
        /// The least priority.
        min: Priority,
        /// The ID of the first message that the client lacks.
        behind_from: u64,
    },
    /// The client is sent the history until it has caught up.
    CatchingUp {
        /// The least priority.
        min: Priority,
        /// Whether that is to stand aside for another part of the history that the client asked for.
        is_aside: bool,
    },
}

/// The subscription of one client, and what it lost. All zeroes when new.
pub struct Subscriber {
    state: Subscription,
    /// Messages that were not sent and of which the client has not been told.
    lost: u64,
    /// Whether the connection takes bytes: no other can subscribe.
    is_open: bool,
    /// The client is sent no more of the history: it may not read it any more.
    is_barred: bool,
}

impl Subscriber {
    /// Without a connection.
    pub(super) const fn new() -> Self {
        Self { state: Subscription::Off, lost: 0, is_open: false, is_barred: false }
    }

    /// A connection begins. It is subscribed to nothing.
    ///
    /// # Panics
    /// If something of the connection before is left.
    pub(super) fn open(&mut self) {
        assert!(self.state == Subscription::Off && self.lost == 0);
        self.is_open = true;
        self.is_barred = false;
    }

    /// The connection takes nothing more: it is subscribed to nothing, and is told nothing.
    pub(super) fn close(&mut self) {
        self.leave();
        self.lost = 0;
        self.is_open = false;
    }

    /// The present state.
    pub fn state(&self) -> Subscription {
        self.state
    }

    fn subscribe(&mut self, state: Subscription) {
        self.state = if self.is_open { state } else { Subscription::Off };
    }

    // ---- Live ------------------------------------------------------------------------------------------

    /// The least priority of the live messages that the client is sent; none: it is sent none.
    pub fn joined(&self) -> Option<Priority> {
        if let Subscription::Live { min, .. } = self.state { Some(min) } else { None }
    }

    /// Whether the client is sent the message with that ID and priority as a live one.
    pub fn wants(&self, id: u64, priority: Priority) -> bool {
        matches!(self.state, Subscription::Live { min, live_from, .. } if priority >= min && id >= live_from)
    }

    /// The client joins: it is sent messages of that priority and above, from now on.
    pub fn join(&mut self, min: Priority) {
        self.subscribe(Subscription::Live { min, live_from: 0, resumes: false });
    }

    /// The client joins. It has been sent the history before ID `live_from`, and returns to the history if it is too slow.
    pub fn join_from(&mut self, live_from: u64, min: Priority) {
        self.subscribe(Subscription::Live { min, live_from, resumes: true });
    }

    /// The client continues with the live messages from ID `live_from` on; `lost` messages are lost to it. It does not return to the
    /// history again.
    pub fn join_after_loss(&mut self, lost: u64, live_from: u64, min: Priority) {
        self.subscribe(Subscription::Live { min, live_from, resumes: false });
        self.lose(lost);
    }

    /// The client leaves. It is still told what it lost.
    pub fn leave(&mut self) {
        self.state = Subscription::Off;
    }

    /// The client leaves, and is sent no more of the history that it asked for.
    pub fn bar(&mut self) {
        self.leave();
        self.is_barred = true;
    }

    /// Whether the client is sent no more of the history.
    pub fn is_barred(&self) -> bool {
        self.is_barred
    }

    // ---- The history -----------------------------------------------------------------------------------

    /// The client has no room for message `id`. If it resumes, it lags from there on, and is sent no more live messages. False: it does not
    /// resume, and messages are lost to it.
    pub fn fall_behind(&mut self, id: u64) -> bool {
        let Subscription::Live { min, resumes: true, .. } = self.state else { return false };
        self.state = Subscription::Lagging { min, behind_from: id };
        true
    }

    /// Whether the client lags.
    pub fn is_behind(&self) -> bool {
        matches!(self.state, Subscription::Lagging { .. })
    }

    /// If the client lags: from which ID and priority on. The worker has it sent the history from there; it catches up from now on.
    pub fn take_behind(&mut self) -> Option<(u64, Priority)> {
        let Subscription::Lagging { min, behind_from } = self.state else { return None };
        self.state = Subscription::CatchingUp { min, is_aside: false };
        Some((behind_from, min))
    }

    /// The client is to be sent the history, of that priority and above, until it has caught up.
    pub fn follow(&mut self, min: Priority) {
        self.subscribe(Subscription::CatchingUp { min, is_aside: false });
    }

    /// The least priority of the history that the client is sent; none: it has left, or has caught up.
    pub fn follows(&self) -> Option<Priority> {
        if let Subscription::CatchingUp { min, .. } = self.state { Some(min) } else { None }
    }

    /// Requests that a replay that catches up stands aside: the client asked for another part of the history.
    pub fn set_aside(&mut self) {
        if let Subscription::CatchingUp { min, .. } = self.state {
            self.state = Subscription::CatchingUp { min, is_aside: true };
        }
    }

    /// For the replay: stands aside if that is requested. The client lags from `id` on, and `lost` messages are lost to it. False: it is
    /// not requested.
    pub fn stand_aside(&mut self, id: u64, lost: u64) -> bool {
        let Subscription::CatchingUp { min, is_aside: true } = self.state else { return false };
        self.state = Subscription::Lagging { min, behind_from: id };
        self.lose(lost);
        true
    }

    // ---- Losses ----------------------------------------------------------------------------------------

    fn lose(&mut self, messages: u64) {
        self.lost += if self.is_open { messages } else { 0 };
    }

    /// The client has no room for one message, and does not return to the history.
    pub(super) fn lose_one(&mut self) {
        self.lose(1);
    }

    /// How many messages were not sent, of which the client has not been told.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The client is told: see [`Subscriber::lost`].
    pub(super) fn tell_lost(&mut self) -> u64 {
        mem::take(&mut self.lost)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn open() -> Subscriber {
        let mut subscriber = Subscriber::new();
        subscriber.open();
        subscriber
    }

    #[test]
    fn only_a_client_that_resumes_falls_behind() {
        let mut subscriber = open();
        assert!(!subscriber.fall_behind(8));
        subscriber.join(Priority::NORMAL);
        assert!(!subscriber.fall_behind(8));
        subscriber.join_from(7, Priority::NORMAL);
        assert!(subscriber.fall_behind(8));
        assert_eq!(subscriber.take_behind(), Some((8, Priority::NORMAL)));
        assert_eq!(subscriber.take_behind(), None, "it catches up");
    }

    #[test]
    fn a_replay_stands_aside_only_on_request() {
        let mut subscriber = open();
        subscriber.set_aside();
        assert_eq!(subscriber.state(), Subscription::Off);
        subscriber.follow(Priority::LOW);
        assert!(!subscriber.stand_aside(5, 3));
        subscriber.set_aside();
        assert!(subscriber.stand_aside(5, 3));
        assert_eq!(subscriber.state(), Subscription::Lagging { min: Priority::LOW, behind_from: 5 });
        assert_eq!((subscriber.lost(), subscriber.tell_lost(), subscriber.lost()), (3, 3, 0));
    }

    #[test]
    fn a_connection_that_takes_nothing_subscribes_to_nothing_and_loses_nothing() {
        let mut subscriber = open();
        subscriber.join(Priority::LOW);
        subscriber.lose_one();
        subscriber.close();
        subscriber.join(Priority::LOW);
        subscriber.join_after_loss(4, 9, Priority::LOW);
        assert_eq!((subscriber.state(), subscriber.lost()), (Subscription::Off, 0));
    }

    #[test]
    fn a_bar_is_lifted_for_the_next_connection() {
        let mut subscriber = open();
        subscriber.bar();
        assert!(subscriber.is_barred());
        subscriber.close();
        subscriber.open();
        assert!(!subscriber.is_barred());
    }

    #[test]
    fn a_client_wants_what_is_live_for_it_and_urgent_enough() {
        let mut subscriber = open();
        assert!(!subscriber.wants(7, Priority::HIGH), "it has not joined");
        subscriber.join_from(7, Priority::NORMAL);
        assert!(subscriber.wants(7, Priority::NORMAL) && subscriber.wants(8, Priority::HIGH));
        assert!(!subscriber.wants(6, Priority::NORMAL), "it has that from the history");
        assert!(!subscriber.wants(7, Priority::LOW));
        subscriber.join(Priority::LOW);
        assert!(subscriber.wants(6, Priority::LOW), "the last time of joining holds");
        subscriber.leave();
        assert!(!subscriber.wants(8, Priority::HIGH));
    }
}
