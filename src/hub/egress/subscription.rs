//! Which messages of other clients one client receives. Knows no bytes and no locks.
//!
//! ```text
//! Off ── join ──────────────> Live
//! Off ── begin_catch_up ─> CatchingUp ── join_from: the client has all that is committed ──> Live (resumes)
//! Live (resumes) ── fall_behind: no room ─> Lagging ── take_behind ─> CatchingUp
//! CatchingUp ── request_pause, pause_if_requested: the client requested another part of the history ─> Lagging
//! any ── leave ─> Off
//! ```

use crate::protocol::Priority;
use core::mem;

/// The state of one client's subscription. `repr(u8)`: the tag has a byte of its own, and the tag of `Off` is 0, so a
/// new one is all zeroes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Subscription {
    /// The client receives only the parts of the history that it requests.
    Off,
    /// The client receives every message of priority `min` or above, from ID `live_from` on.
    Live {
        /// The least priority.
        min: Priority,
        /// The ID of the first message.
        live_from: u64,
        /// Whether the client catches up from the history if it is too slow for the live messages.
        resumes: bool,
    },
    /// The client was too slow, or its catch-up pauses. It still has to receive the history from ID `behind_from` on.
    Lagging {
        /// The least priority.
        min: Priority,
        /// The ID of the first message that the client lacks.
        behind_from: u64,
    },
    /// The client receives the history until it has caught up.
    CatchingUp {
        /// The least priority.
        min: Priority,
        /// Whether the catch-up has to pause for another part of the history that the client requested.
        is_pause_requested: bool,
    },
}

/// Whether the client may read the history. If it may not, a replay in progress ends before it has sent everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reading {
    /// It may.
    Permitted,
    /// It has no right to it any more.
    Revoked,
    /// Its connection is being cut short.
    CutShort,
}

/// The subscription of one client, and how many messages it lost. A new one is all zeroes.
pub struct Subscriber {
    state: Subscription,
    /// Lost messages that are not reported to the client yet.
    lost: u64,
    /// Whether there is a connection that is not broken. Without one, nothing can be subscribed.
    is_open: bool,
    reading: Reading,
}

impl Subscriber {
    /// A subscriber without a connection.
    pub(super) const fn new() -> Self {
        Self { state: Subscription::Off, lost: 0, is_open: false, reading: Reading::Permitted }
    }

    /// Begins a connection, without a subscription.
    ///
    /// # Panics
    /// If something of the previous connection is left.
    pub(super) fn open(&mut self) {
        assert!(self.state == Subscription::Off && self.lost == 0);
        self.is_open = true;
        self.reading = Reading::Permitted;
    }

    /// Ends the subscription, and forgets the lost messages: the connection has ended or is broken.
    pub(super) fn close(&mut self) {
        self.leave();
        self.lost = 0;
        self.is_open = false;
    }

    /// The current state.
    pub fn state(&self) -> Subscription {
        self.state
    }

    fn subscribe(&mut self, state: Subscription) {
        self.state = if self.is_open { state } else { Subscription::Off };
    }

    // ---- Live ------------------------------------------------------------------------------------------

    /// The least priority of the live messages that the client receives, or `None` if it receives no live messages.
    pub fn joined(&self) -> Option<Priority> {
        if let Subscription::Live { min, .. } = self.state { Some(min) } else { None }
    }

    /// Whether the client receives the message with that ID and priority as a live one.
    pub fn wants(&self, id: u64, priority: Priority) -> bool {
        matches!(self.state, Subscription::Live { min, live_from, .. } if priority >= min && id >= live_from)
    }

    /// Subscribes the client to messages of priority `min` and above, from now on.
    pub fn join(&mut self, min: Priority) {
        self.subscribe(Subscription::Live { min, live_from: 0, resumes: false });
    }

    /// Subscribes the client to live messages from ID `live_from` on. It has the history before that ID, and catches
    /// up from the history if it is too slow.
    pub fn join_from(&mut self, live_from: u64, min: Priority) {
        self.subscribe(Subscription::Live { min, live_from, resumes: true });
    }

    /// Subscribes the client to live messages from ID `live_from` on, and counts `lost` messages as lost. The client
    /// does not catch up from the history again.
    pub fn join_after_loss(&mut self, lost: u64, live_from: u64, min: Priority) {
        self.subscribe(Subscription::Live { min, live_from, resumes: false });
        self.count_lost(lost);
    }

    /// Ends the subscription. The client still gets a report of how many messages it lost.
    pub fn leave(&mut self) {
        self.state = Subscription::Off;
    }

    /// Ends the subscription and a replay in progress, because the connection is cut short.
    pub fn cut_short(&mut self) {
        self.leave();
        self.reading = Reading::CutShort;
    }

    /// Ends the subscription, and forbids the client to read the history: a replay in progress ends.
    pub fn revoke_reading(&mut self) {
        self.leave();
        self.reading = Reading::Revoked;
    }

    /// Whether the client may read the history.
    pub fn reading(&self) -> Reading {
        self.reading
    }

    // ---- The history -----------------------------------------------------------------------------------

    /// Handles the lack of room for message `id`. A client that resumes lags from this message on, and receives no
    /// more live messages until it has caught up. Returns false if the client does not resume: it loses messages.
    pub fn fall_behind(&mut self, id: u64) -> bool {
        let Subscription::Live { min, resumes: true, .. } = self.state else { return false };
        self.state = Subscription::Lagging { min, behind_from: id };
        true
    }

    /// Whether the client lags.
    pub fn is_behind(&self) -> bool {
        self.behind_from().is_some()
    }

    /// If the client lags, the ID of the first message that it lacks.
    pub fn behind_from(&self) -> Option<u64> {
        if let Subscription::Lagging { behind_from, .. } = self.state { Some(behind_from) } else { None }
    }

    /// If the client lags, returns the first ID that it lacks, and its least priority; it catches up from now on. The
    /// caller starts the replay from that ID.
    pub fn take_behind(&mut self) -> Option<(u64, Priority)> {
        let Subscription::Lagging { min, behind_from } = self.state else { return None };
        self.state = Subscription::CatchingUp { min, is_pause_requested: false };
        Some((behind_from, min))
    }

    /// Begins to catch up: the client receives the history, of priority `min` and above, until it has all that is
    /// committed.
    pub fn begin_catch_up(&mut self, min: Priority) {
        self.subscribe(Subscription::CatchingUp { min, is_pause_requested: false });
    }

    /// The least priority of the history that the client catches up with, or `None` if it has left or has caught up.
    pub fn catching_up(&self) -> Option<Priority> {
        if let Subscription::CatchingUp { min, .. } = self.state { Some(min) } else { None }
    }

    /// Requests that a catch-up pauses: the client requested another part of the history.
    pub fn request_pause(&mut self) {
        if let Subscription::CatchingUp { min, .. } = self.state {
            self.state = Subscription::CatchingUp { min, is_pause_requested: true };
        }
    }

    /// For the replay: pauses the catch-up if that is requested. Then the client lags from `id` on, and `lost`
    /// messages count as lost. Returns false if no pause is requested.
    pub fn pause_if_requested(&mut self, id: u64, lost: u64) -> bool {
        let Subscription::CatchingUp { min, is_pause_requested: true } = self.state else { return false };
        self.state = Subscription::Lagging { min, behind_from: id };
        self.count_lost(lost);
        true
    }

    // ---- Losses ----------------------------------------------------------------------------------------

    fn count_lost(&mut self, messages: u64) {
        self.lost += if self.is_open { messages } else { 0 };
    }

    /// Counts one message as lost: there was no room for it.
    pub(super) fn count_one_lost(&mut self) {
        self.count_lost(1);
    }

    /// How many lost messages are not reported to the client yet.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Takes the count of [lost](Self::lost) messages, to tell the client.
    pub(super) fn take_lost(&mut self) -> u64 {
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
    fn only_client_that_resumes_falls_behind() {
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
    fn catch_up_pauses_only_on_request() {
        let mut subscriber = open();
        subscriber.request_pause();
        assert_eq!(subscriber.state(), Subscription::Off);
        subscriber.begin_catch_up(Priority::LOW);
        assert!(!subscriber.pause_if_requested(5, 3));
        subscriber.request_pause();
        assert!(subscriber.pause_if_requested(5, 3));
        assert_eq!(subscriber.state(), Subscription::Lagging { min: Priority::LOW, behind_from: 5 });
        assert_eq!((subscriber.lost(), subscriber.take_lost(), subscriber.lost()), (3, 3, 0));
    }

    #[test]
    fn closed_connection_subscribes_to_nothing_and_loses_nothing() {
        let mut subscriber = open();
        subscriber.join(Priority::LOW);
        subscriber.count_one_lost();
        subscriber.close();
        subscriber.join(Priority::LOW);
        subscriber.join_after_loss(4, 9, Priority::LOW);
        assert_eq!((subscriber.state(), subscriber.lost()), (Subscription::Off, 0));
    }

    #[test]
    fn next_connection_may_read_again() {
        let mut subscriber = open();
        subscriber.revoke_reading();
        assert_eq!(subscriber.reading(), Reading::Revoked);
        subscriber.close();
        subscriber.open();
        assert_eq!(subscriber.reading(), Reading::Permitted);
    }

    #[test]
    fn client_wants_live_messages_that_are_urgent_enough() {
        let mut subscriber = open();
        assert!(!subscriber.wants(7, Priority::HIGH), "it has not joined");
        subscriber.join_from(7, Priority::NORMAL);
        assert!(subscriber.wants(7, Priority::NORMAL) && subscriber.wants(8, Priority::HIGH));
        assert!(!subscriber.wants(6, Priority::NORMAL), "the history contains it");
        assert!(!subscriber.wants(7, Priority::LOW));
        subscriber.join(Priority::LOW);
        assert!(subscriber.wants(6, Priority::LOW), "the latest join applies");
        subscriber.leave();
        assert!(!subscriber.wants(8, Priority::HIGH));
    }
}
