//! Writes the cursors and the counters of the outbound direction at intervals, and samples the rate for the headroom.

use super::counter_file::CounterFile;
use super::counters::{CommandCounters, Snapshot};
use super::cursor_file::CursorFile;
use super::headroom::Rate;
use super::limits::{COUNT_MS, RATE_SAMPLE_MS, SAVE_MS};
use super::outgoing::Outgoing;
use super::report::{Throttle, say};
use crate::client::shown::described;
use crate::journal::segment::Identity;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The files, and when to write each.
pub struct StateFiles {
    cursors: CursorFile,
    save_at: Instant,
    save_troubles: Throttle,
    counter_file: CounterFile,
    commands: Arc<CommandCounters>,
    count_at: Instant,
    rate: Rate,
    /// The journal whose rate is sampled.
    journal: Option<Identity>,
    started: Instant,
    sample_at: Instant,
}

impl StateFiles {
    /// The files, all due at once.
    pub fn new(cursors: CursorFile, counter_file: CounterFile, commands: Arc<CommandCounters>) -> Self {
        let now = Instant::now();
        Self {
            cursors,
            save_at: now,
            save_troubles: Throttle::default(),
            counter_file,
            commands,
            count_at: now,
            rate: Rate::default(),
            journal: None,
            started: now,
            sample_at: now,
        }
    }

    /// When to call [`keep`](Self::keep).
    pub fn due(&self) -> Instant {
        self.save_at.min(self.count_at).min(self.sample_at)
    }

    /// Writes the files that are due.
    pub fn keep(&mut self, outgoing: &Outgoing, is_connected: bool, now: Instant) {
        if now >= self.save_at {
            self.save(outgoing);
            self.save_at = now + Duration::from_millis(SAVE_MS);
        }
        if now >= self.sample_at {
            self.sample(outgoing, now);
            self.sample_at = now + Duration::from_millis(RATE_SAMPLE_MS);
        }
        if now >= self.count_at {
            self.count(outgoing, is_connected, now);
            self.count_at = now + Duration::from_millis(COUNT_MS);
        }
    }

    /// Writes all files, at the end.
    pub fn finish(&mut self, outgoing: &Outgoing, is_connected: bool) {
        self.save(outgoing);
        self.count(outgoing, is_connected, Instant::now());
    }

    fn save(&mut self, outgoing: &Outgoing) {
        match self.cursors.save(outgoing.cursors()) {
            Ok(()) if self.save_troubles.clear() => say(format_args!("the cursors can be saved again")),
            Ok(()) => {}
            Err(error) => self.save_troubles.say(format_args!(
                "the cursors cannot be saved: {}; after a restart, messages arrive twice",
                described(&error)
            )),
        }
    }

    fn sample(&mut self, outgoing: &Outgoing, now: Instant) {
        let journal = Some(outgoing.identity());
        if self.journal != journal {
            (self.journal, self.rate) = (journal, Rate::default());
        }
        if let Some(next_id) = outgoing.next_id() {
            self.rate.sample(now.duration_since(self.started).as_secs_f64(), next_id);
        }
    }

    fn count(&mut self, outgoing: &Outgoing, is_connected: bool, now: Instant) {
        let snapshot = Snapshot {
            is_connected,
            waiting: outgoing.waiting(),
            next: outgoing.next_unacknowledged(),
            headroom_s: outgoing.ids_left().and_then(|ids| self.rate.seconds(ids)),
        };
        let text = outgoing.counters.json(&snapshot, &self.commands);
        // The counters are only for monitors, which notice if the file grows old.
        let _ = self.counter_file.write(text, now);
    }
}
