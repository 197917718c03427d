//! The pauses between attempts. Their upper bound doubles each time, up to a maximum. Each pause is shortened at
//! random, so that the clients of a server that restarts do not all reconnect at once.

use super::limits::{BACKOFF_MS_MAX, BACKOFF_MS_MIN};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// How long to pause next.
#[derive(Debug)]
pub struct Backoff {
    ms: u64,
    ms_min: u64,
    ms_max: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::between(BACKOFF_MS_MIN, BACKOFF_MS_MAX)
    }
}

impl Backoff {
    /// Pauses from `ms_min` to `ms_max`.
    pub fn between(ms_min: u64, ms_max: u64) -> Self {
        Self { ms: ms_min, ms_min, ms_max }
    }

    /// The next pause: a random time between half of its upper bound and all of it.
    pub fn pause(&mut self) -> Duration {
        // std seeds the hasher with the system's random numbers. Without input, its hash depends only on them.
        let chance = RandomState::new().build_hasher().finish();
        let ms = self.ms / 2 + chance % (self.ms / 2 + 1);
        self.ms = (2 * self.ms).min(self.ms_max);
        Duration::from_millis(ms)
    }

    /// The server answered a message: the next pause is the shortest.
    pub fn reset(&mut self) {
        self.ms = self.ms_min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_reset() {
        let mut backoff = Backoff::default();
        let mut longest_ms = BACKOFF_MS_MIN;
        for _ in 0..20 {
            let ms = backoff.pause().as_millis() as u64;
            assert!((longest_ms / 2..=longest_ms).contains(&ms), "{ms} of {longest_ms}");
            longest_ms = (2 * longest_ms).min(BACKOFF_MS_MAX);
        }
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_millis(BACKOFF_MS_MIN));
    }

    #[test]
    fn two_clients_do_not_pause_alike() {
        let pauses = || {
            let mut backoff = Backoff::default();
            [(); 20].map(|()| backoff.pause())
        };
        assert_ne!(pauses(), pauses());
    }
}
