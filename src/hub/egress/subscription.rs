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

/// A subscription, and how often it changed. All zeroes when new.
pub struct Subscriber {
    state: Subscription,
    /// Increases with each change of the subscription. It tells a thread that released the lock whether what it read before still holds;
    /// it wraps around, but not within the time of one system call.
    generation: u32,
}

impl Subscriber {
    /// The client is subscribed to nothing.
    pub const fn new() -> Self {
        Self { state: Subscription::Off, generation: 0 }
    }

    /// The present state.
    pub fn state(&self) -> Subscription {
        self.state
    }

    /// See [`Subscriber`]. A change to an equal state is none.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Changes the subscription.
    pub fn set(&mut self, state: Subscription) {
        if self.state != state {
            self.state = state;
            self.generation = self.generation.wrapping_add(1);
        }
    }

    /// The client has no room for message `id`. If it resumes, it lags from there on, and is sent no more live messages. False: it does not
    /// resume, and messages are lost to it.
    pub fn fall_behind(&mut self, id: u64) -> bool {
        let Subscription::Live { min, resumes: true, .. } = self.state else { return false };
        self.set(Subscription::Lagging { min, behind_from: id });
        true
    }

    /// If the client lags: from which ID and priority on. From now on it catches up.
    pub fn take_behind(&mut self) -> Option<(u64, Priority)> {
        let Subscription::Lagging { min, behind_from } = self.state else { return None };
        self.set(Subscription::CatchingUp { min, is_aside: false });
        Some((behind_from, min))
    }

    /// Requests that a replay that catches up stands aside.
    pub fn set_aside(&mut self) {
        if let Subscription::CatchingUp { min, .. } = self.state {
            self.set(Subscription::CatchingUp { min, is_aside: true });
        }
    }

    /// The replay stands aside if that is requested: the client lags from `id` on. False: it is not requested.
    pub fn stand_aside(&mut self, id: u64) -> bool {
        let Subscription::CatchingUp { min, is_aside: true } = self.state else { return false };
        self.set(Subscription::Lagging { min, behind_from: id });
        true
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const LIVE: Subscription = Subscription::Live { min: Priority::NORMAL, live_from: 7, resumes: true };

    #[test]
    fn only_a_client_that_resumes_falls_behind() {
        let mut subscriber = Subscriber::new();
        assert!(!subscriber.fall_behind(8));
        subscriber.set(Subscription::Live { min: Priority::NORMAL, live_from: 0, resumes: false });
        assert!(!subscriber.fall_behind(8));
        subscriber.set(LIVE);
        assert!(subscriber.fall_behind(8));
        assert_eq!(subscriber.take_behind(), Some((8, Priority::NORMAL)));
        assert_eq!(subscriber.take_behind(), None, "it catches up");
    }

    #[test]
    fn a_replay_stands_aside_only_on_request() {
        let mut subscriber = Subscriber::new();
        subscriber.set_aside();
        assert_eq!(subscriber.state(), Subscription::Off);
        subscriber.set(Subscription::CatchingUp { min: Priority::LOW, is_aside: false });
        assert!(!subscriber.stand_aside(5));
        subscriber.set_aside();
        assert!(subscriber.stand_aside(5));
        assert_eq!(subscriber.state(), Subscription::Lagging { min: Priority::LOW, behind_from: 5 });
    }

    #[test]
    fn every_change_has_a_new_generation() {
        let mut subscriber = Subscriber::new();
        let first = subscriber.generation();
        subscriber.set(LIVE);
        let second = subscriber.generation();
        subscriber.set(LIVE);
        assert_eq!(subscriber.generation(), second, "nothing changed");
        subscriber.set(Subscription::Off);
        assert!(first != second && subscriber.generation() != second);
        subscriber.set(LIVE);
        assert_ne!(subscriber.generation(), second, "it left and joined again");
    }
}
