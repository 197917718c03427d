//! The counters of the bridge since its start, for people and monitors: a JSON object in a file.

use super::class::{Class, PerClass};
use super::item::{Loss, Reason};
use std::sync::atomic::{AtomicU64, Ordering};

/// The counters of the outbound direction.
#[derive(Debug, Default)]
pub struct Counters {
    /// Messages that were acknowledged.
    pub acknowledged: PerClass<u64>,
    /// Messages that will not be sent, by reason: overwritten, missing, expired, too large, refused.
    pub lost: [u64; 5],
    /// Connections that the broker accepted.
    pub connections: u64,
}

/// The counters of the inbound direction. Another thread counts them.
#[derive(Debug, Default)]
pub struct CommandCounters {
    /// Commands that the hub has acknowledged.
    pub done: AtomicU64,
    /// Commands that the hub did not acknowledge, that the bridge refused, or whose result is not known.
    pub refused: AtomicU64,
}

/// The state at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot {
    /// Whether the broker takes messages now.
    pub is_connected: bool,
    /// Messages that are read but not acknowledged.
    pub waiting: usize,
    /// The first ID of each class that is not acknowledged.
    pub next: PerClass<u64>,
    /// How long until the journal overwrites unsent messages, or `None` if nothing is unsent, no new messages come, or the
    /// rate is not known yet.
    pub headroom_s: Option<u64>,
}

impl Counters {
    /// Counts a loss.
    pub fn lose(&mut self, loss: &Loss) {
        let index = match loss.reason {
            Reason::Overwritten => 0,
            Reason::Missing => 1,
            Reason::Expired => 2,
            Reason::TooLarge => 3,
            Reason::Refused(_) => 4,
            // The number of lost messages is not known.
            Reason::OtherJournal => return,
        };
        self.lost[index] += loss.count.unwrap_or(0);
    }

    /// All counters as JSON.
    pub fn json(&self, now: &Snapshot, commands: &CommandCounters) -> String {
        let [overwritten, missing, expired, too_large, refused] = self.lost;
        let headroom = now.headroom_s.map_or_else(|| "null".to_string(), |seconds| seconds.to_string());
        format!(
            "{{\"connected\":{},\"connections\":{},\"acknowledged_urgent\":{},\"acknowledged_rest\":{},\
             \"lost_overwritten\":{overwritten},\"lost_missing\":{missing},\"lost_expired\":{expired},\
             \"lost_too_large\":{too_large},\"lost_refused\":{refused},\"waiting_in_memory\":{},\"next_urgent\":{},\
             \"next_rest\":{},\"headroom_seconds\":{headroom},\"commands_done\":{},\"commands_refused\":{}}}\n",
            now.is_connected,
            self.connections,
            self.acknowledged[Class::Urgent],
            self.acknowledged[Class::Rest],
            now.waiting,
            now.next[Class::Urgent],
            now.next[Class::Rest],
            commands.done.load(Ordering::Relaxed),
            commands.refused.load(Ordering::Relaxed),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_one_json_object() {
        let mut counters = Counters::default();
        counters.acknowledged[Class::Urgent] = 3;
        let reasons = [
            Reason::Overwritten,
            Reason::Missing,
            Reason::Expired,
            Reason::TooLarge,
            Reason::Refused("x".into()),
        ];
        for (count, reason) in (1..).zip(reasons) {
            counters.lose(&Loss { count: Some(count), ids: (1, 9), reason });
        }
        let next = PerClass::of(7, 5);
        let snapshot = Snapshot { is_connected: true, waiting: 2, next, headroom_s: None };
        let json: serde_json::Value =
            serde_json::from_str(&counters.json(&snapshot, &CommandCounters::default())).unwrap();
        assert_eq!(
            (&json["acknowledged_urgent"], &json["lost_overwritten"], &json["lost_refused"]),
            (&3.into(), &1.into(), &5.into())
        );
        assert_eq!((&json["next_urgent"], &json["headroom_seconds"]), (&7.into(), &serde_json::Value::Null));
    }
}
