//! How much of a processor the history takes while clients flood the server. Knows no clock and no thread.

use crate::limits::{
    REPLAY_BURST_MS, REPLAY_FLOOD_MS, REPLAY_FLOOD_PER_SECOND, REPLAY_FLOOD_WINDOW_MS, REPLAY_PAUSE_MS_MAX,
    REPLAY_SHARE,
};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// How long a burst takes to be allowed again, in nanoseconds.
const BURST_NS: u64 = REPLAY_SHARE * REPLAY_BURST_MS * MS;

/// The use of the processor by the replays that end: a rate limiter whose events are nanoseconds, with the generic cell
/// rate algorithm (see [`rate_limit`](crate::hub::rate_limit)). A new one allows a whole burst.
///
/// Only work beside a flood counts, and only that of replays that end. A client that joins since an ID must read
/// faster than messages arrive, or it would never have them all.
#[derive(Default)]
pub struct Pace {
    flood: Flood,
    /// When a whole burst will be allowed again, in nanoseconds.
    full_at_ns: u64,
}

impl Pace {
    /// Counts work that has just ended, and took that time of the processor. `next_id` is the ID of the next message.
    pub fn count(&mut self, processor_ns: u64, next_id: u64, now_ns: u64) {
        self.flood.note(next_id, now_ns);
        if now_ns < self.flood.until_ns {
            self.full_at_ns = self.full_at_ns.max(now_ns) + REPLAY_SHARE * processor_ns;
        }
    }

    /// How long the replays that end wait before their next work, in nanoseconds: at most [`REPLAY_PAUSE_MS_MAX`],
    /// then the caller asks again.
    pub fn wait_ns(&self, now_ns: u64) -> u64 {
        let until_full_ns = self.full_at_ns.saturating_sub(now_ns);
        until_full_ns.saturating_sub(BURST_NS).min(REPLAY_PAUSE_MS_MAX * MS)
    }
}

/// Whether clients flood the server: how fast messages are committed. They are committed in groups, so the rate is that
/// of a window, and a flood is remembered for longer than a slow disk takes for a group.
#[derive(Default)]
struct Flood {
    window_from_ns: u64,
    /// The ID of the next message when the window began.
    window_id: u64,
    /// Until when the server counts as flooded, in nanoseconds.
    until_ns: u64,
}

impl Flood {
    fn note(&mut self, next_id: u64, now_ns: u64) {
        let passed_ns = now_ns.saturating_sub(self.window_from_ns);
        if passed_ns < REPLAY_FLOOD_WINDOW_MS * MS {
            return;
        }
        let committed = next_id.saturating_sub(self.window_id);
        // A window that nobody noted the end of tells nothing about now.
        let is_of_now = passed_ns < SECOND;
        if is_of_now && committed * SECOND >= REPLAY_FLOOD_PER_SECOND * passed_ns {
            self.until_ns = now_ns + REPLAY_FLOOD_MS * MS;
        }
        (self.window_from_ns, self.window_id) = (now_ns, next_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that is read from: messages are committed in groups, of which each takes `group_ms`.
    struct Reading {
        pace: Pace,
        now_ns: u64,
        per_second: u64,
        group_ms: u64,
    }

    impl Reading {
        fn new(per_second: u64, group_ms: u64) -> Self {
            Self { pace: Pace::default(), now_ns: SECOND, per_second, group_ms }
        }

        /// Works for that time of the processor, once that is allowed. Returns how long it waited before.
        fn work(&mut self, processor_ns: u64) -> u64 {
            let from_ns = self.now_ns;
            while self.pace.wait_ns(self.now_ns) > 0 {
                self.now_ns += self.pace.wait_ns(self.now_ns);
            }
            let waited_ns = self.now_ns - from_ns;
            self.now_ns += processor_ns;
            let groups = self.now_ns / (self.group_ms * MS);
            self.pace.count(processor_ns, groups * self.group_ms * self.per_second / 1_000, self.now_ns);
            waited_ns
        }

        /// The share of the processor that work of that length has in twenty seconds.
        fn share(&mut self, work_ns: u64) -> f64 {
            let (from_ns, mut used_ns) = (self.now_ns, 0);
            while self.now_ns < from_ns + 20 * SECOND {
                self.work(work_ns);
                used_ns += work_ns;
            }
            used_ns as f64 / (self.now_ns - from_ns) as f64
        }
    }

    #[test]
    fn flood_leaves_the_history_its_share() {
        let share = 1.0 / REPLAY_SHARE as f64;
        for (board, work_ns, group_ms) in [("fast", MS / 4, 1), ("slow", 5 * MS, 200)] {
            let mut reading = Reading::new(2 * REPLAY_FLOOD_PER_SECOND, group_ms);
            let all = reading.share(work_ns);
            // With what was read before the first window ended, and the burst.
            assert!((share..2.0 * share).contains(&all), "{board}: {all}");
            assert!((0.9 * share..1.1 * share).contains(&reading.share(work_ns)), "{board}");
        }
    }

    #[test]
    fn few_messages_are_no_flood() {
        for per_second in [0, REPLAY_FLOOD_PER_SECOND / 2] {
            assert_eq!(Reading::new(per_second, 1).share(MS / 4), 1.0, "{per_second}");
        }
    }

    #[test]
    fn after_a_flood_the_history_is_read_at_once() {
        let mut reading = Reading::new(2 * REPLAY_FLOOD_PER_SECOND, 1);
        reading.share(MS);
        assert!(reading.work(MS) > 0);
        reading.per_second = 0;
        reading.now_ns += 2 * BURST_NS;
        assert_eq!((0..10_000).map(|_| reading.work(MS)).sum::<u64>(), 0);
    }

    #[test]
    fn burst_is_allowed_again_after_a_while() {
        let mut reading = Reading::new(2 * REPLAY_FLOOD_PER_SECOND, 1);
        let burst = |reading: &mut Reading| (0..).take_while(|_| reading.work(MS) == 0).count() as u64;
        reading.share(MS);
        assert_eq!(burst(&mut reading), 0);
        reading.now_ns += 2 * BURST_NS;
        assert!(
            (REPLAY_BURST_MS..3 * REPLAY_BURST_MS + REPLAY_FLOOD_WINDOW_MS).contains(&burst(&mut reading))
        );
    }

    #[test]
    fn no_wait_is_longer_than_the_bound() {
        let mut reading = Reading::new(2 * REPLAY_FLOOD_PER_SECOND, 1);
        reading.share(MS);
        reading.work(SECOND / 2);
        assert_eq!(reading.pace.wait_ns(reading.now_ns), REPLAY_PAUSE_MS_MAX * MS);
    }
}
