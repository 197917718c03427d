//! Limits the CPU time of replays during a flood. Knows no clock and no thread.

use crate::hub::rate_limit::{Rate, RateLimiter};
use crate::limits::{
    REPLAY_BURST_MS, REPLAY_CPU_DIVISOR, REPLAY_FLOOD_COMMITS, REPLAY_FLOOD_MS, REPLAY_FLOOD_PER_SECOND,
    REPLAY_FLOOD_WINDOW_MS, REPLAY_WAIT_MS_MAX,
};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// How long it takes until a whole burst is permitted again, in nanoseconds.
const BURST_NS: u64 = REPLAY_CPU_DIVISOR * REPLAY_BURST_MS * MS;

/// The limit: an event is one nanosecond of CPU time.
const RATE: Rate = Rate::new(1, REPLAY_CPU_DIVISOR, BURST_NS);

/// How long the rate is measured at most, in nanoseconds.
const WINDOW_NS_MAX: u64 = REPLAY_FLOOD_MS * MS / 2;

/// Limits the CPU time of finite replays during a flood. A new one permits a whole burst.
///
/// A replay is finite unless it ends only when its client joins. Such a client must read faster than messages are
/// committed, or it would never join: so its replay has no limit.
#[derive(Default)]
pub struct ReplayLimiter {
    detector: FloodDetector,
    cpu_time: RateLimiter,
}

impl ReplayLimiter {
    /// Charges a finite replay for CPU time that it has just used. `next_id` is the ID of the next message.
    pub fn charge(&mut self, cpu_ns: u64, next_id: u64, now_ns: u64) {
        self.detector.observe(next_id, now_ns);
        if now_ns < self.detector.until_ns {
            self.cpu_time.charge(RATE, cpu_ns, now_ns);
        }
    }

    /// How long finite replays have to wait, in nanoseconds: at most [`REPLAY_WAIT_MS_MAX`], then the caller asks
    /// again.
    pub fn wait_ns(&self, now_ns: u64) -> u64 {
        self.cpu_time.ready_ns(RATE).saturating_sub(now_ns).min(REPLAY_WAIT_MS_MAX * MS)
    }
}

/// Detects a flood from the rate at which messages are committed. The consumer commits in groups, so a window ends
/// after [`REPLAY_FLOOD_COMMITS`] of them, but not before [`REPLAY_FLOOD_WINDOW_MS`], and in any case after
/// [`WINDOW_NS_MAX`].
#[derive(Default)]
struct FloodDetector {
    window: Option<Window>,
    /// Until when the server counts as flooded, in nanoseconds.
    until_ns: u64,
}

impl FloodDetector {
    fn observe(&mut self, next_id: u64, now_ns: u64) {
        let window = self.window.get_or_insert(Window::new(next_id, now_ns));
        window.observe(next_id);
        let passed_ns = now_ns.saturating_sub(window.from_ns);
        let is_complete = passed_ns >= REPLAY_FLOOD_WINDOW_MS * MS && window.commits >= REPLAY_FLOOD_COMMITS;
        if !is_complete && passed_ns < WINDOW_NS_MAX {
            return;
        }
        // If no replay ran for long, the average says nothing about the present rate.
        let is_recent = passed_ns < REPLAY_FLOOD_MS * MS;
        if is_recent && window.messages().saturating_mul(SECOND) >= REPLAY_FLOOD_PER_SECOND * passed_ns {
            self.until_ns = now_ns + REPLAY_FLOOD_MS * MS;
        }
        *window = Window::new(next_id, now_ns);
    }
}

/// The commits since a moment.
struct Window {
    from_ns: u64,
    /// The ID of the next message at that moment.
    from_id: u64,
    /// The ID of the next message when the window was observed last.
    next_id: u64,
    commits: u32,
}

impl Window {
    fn new(next_id: u64, now_ns: u64) -> Self {
        Self { from_ns: now_ns, from_id: next_id, next_id, commits: 0 }
    }

    fn observe(&mut self, next_id: u64) {
        self.commits += u32::from(next_id != self.next_id);
        self.next_id = next_id;
    }

    fn messages(&self) -> u64 {
        self.next_id.saturating_sub(self.from_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A finite replay while messages are committed in groups, each of which takes `group_ms`.
    struct Reading {
        limiter: ReplayLimiter,
        now_ns: u64,
        per_second: u64,
        group_ms: u64,
    }

    impl Reading {
        fn new(per_second: u64, group_ms: u64) -> Self {
            Self { limiter: ReplayLimiter::default(), now_ns: SECOND, per_second, group_ms }
        }

        /// Uses that CPU time, once that is permitted. Returns how long it waited before, in nanoseconds.
        fn work(&mut self, cpu_ns: u64) -> u64 {
            let from_ns = self.now_ns;
            while self.limiter.wait_ns(self.now_ns) > 0 {
                self.now_ns += self.limiter.wait_ns(self.now_ns);
            }
            let waited_ns = self.now_ns - from_ns;
            self.now_ns += cpu_ns;
            let groups = self.now_ns / (self.group_ms * MS);
            self.limiter.charge(cpu_ns, groups * self.group_ms * self.per_second / 1_000, self.now_ns);
            waited_ns
        }

        /// The share of a processor that it uses in twenty seconds, if each use takes `work_ns`.
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
    fn replays_get_their_share_during_a_flood() {
        let share = 1.0 / REPLAY_CPU_DIVISOR as f64;
        for (board, work_ns, group_ms) in [("fast", MS / 4, 1), ("slow", 5 * MS, 200)] {
            let mut reading = Reading::new(2 * REPLAY_FLOOD_PER_SECOND, group_ms);
            // In these twenty seconds there are also a whole window, at most, and the burst.
            let (first, later) = (reading.share(work_ns), reading.share(work_ns));
            assert!((share..share + 0.06).contains(&first), "{board}: {first}");
            assert!((0.9 * share..1.1 * share).contains(&later), "{board}: {later}");
        }
    }

    #[test]
    fn rate_below_the_threshold_limits_nothing() {
        for (per_second, group_ms) in
            [(0, 1), (REPLAY_FLOOD_PER_SECOND / 2, 1), (REPLAY_FLOOD_PER_SECOND / 2, 400)]
        {
            assert_eq!(Reading::new(per_second, group_ms).share(MS / 4), 1.0, "{per_second}, {group_ms}");
        }
    }

    #[test]
    fn messages_before_the_first_replay_are_no_flood() {
        let mut limiter = ReplayLimiter::default();
        for now_ns in (0..1_000).map(|ms| 40 * SECOND + ms * MS) {
            limiter.charge(MS, 900_000_000_000_000, now_ns);
            assert_eq!(limiter.wait_ns(now_ns), 0);
        }
    }

    #[test]
    fn replays_do_not_wait_after_a_flood() {
        let mut reading = Reading::new(2 * REPLAY_FLOOD_PER_SECOND, 1);
        reading.share(MS);
        assert!(reading.work(MS) > 0);
        reading.per_second = 0;
        reading.now_ns += 2 * REPLAY_FLOOD_MS * MS;
        assert_eq!((0..10_000).map(|_| reading.work(MS)).sum::<u64>(), 0);
    }

    #[test]
    fn burst_is_permitted_again_later() {
        let mut reading = Reading::new(2 * REPLAY_FLOOD_PER_SECOND, 1);
        let burst = |reading: &mut Reading| (0..).take_while(|_| reading.work(MS) == 0).count() as u64;
        reading.share(MS);
        assert_eq!(burst(&mut reading), 0);
        reading.now_ns += BURST_NS;
        assert!((REPLAY_BURST_MS - 1..=REPLAY_BURST_MS + 1).contains(&burst(&mut reading)));
    }

    #[test]
    fn no_wait_is_longer_than_the_bound() {
        let mut reading = Reading::new(2 * REPLAY_FLOOD_PER_SECOND, 1);
        reading.share(MS);
        reading.work(SECOND / 2);
        assert_eq!(reading.limiter.wait_ns(reading.now_ns), REPLAY_WAIT_MS_MAX * MS);
    }
}
