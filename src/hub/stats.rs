//! A snapshot of all counters, and how `/stats` lists them.
//!
//! Each counter is kept where its events happen: with the queue, with each outbox, and the rest in the [`Counters`]. It
//! is a plain number, guarded by the mutex that is held there anyway, because not every board has 64-bit atomics.

use crate::clock;
use crate::hub::counters::{Counters, JournalState};
use crate::hub::handling::shared::{SharedTasks, Table};
use crate::hub::handling::stats::TaskEvent;
use crate::hub::shared::Hub;
use crate::hub::times::Times;
use crate::limits::ANSWER_LINE_BYTES_MAX;
use crate::logger;
use crate::protocol::Priority;
use crate::protocol::reply::{Farewell, Nak};
use crate::queue::Depth;
use core::fmt::Write;
use heapless::String;

/// The counters of one priority.
#[derive(Clone, Copy, Default)]
struct PriorityStats {
    depth: Depth,
    oldest_ns: u64,
    processed: u64,
    ack: Times,
}

/// The counters of the journal.
#[derive(Clone, Copy)]
struct JournalStats {
    state: JournalState,
    sync: Times,
    damage_bytes: u64,
    uptime_ns: u64,
}

/// The counters of the tasks.
#[derive(Clone, Copy)]
struct TasksStats {
    /// The least priority that handlers process.
    min: Priority,
    handlers: usize,
    given: usize,
    wait: Times,
    work: Times,
    events: [[u64; TaskEvent::COUNT]; Priority::COUNT],
}

/// All counters at one moment.
#[derive(Default)]
pub struct Snapshot {
    /// Whether the buckets of the histograms are listed.
    is_full: bool,
    uptime_ns: u64,
    clients: usize,
    clients_max: usize,
    lowered: u64,
    farewells: [u64; Farewell::COUNT],
    wrong_tokens: u64,
    lines_cut_off: u64,
    refused: [u64; Nak::COUNT],
    commands_refused: u64,
    msgs_sent: u64,
    msgs_lost: u64,
    bytes_in: u64,
    bytes_out: u64,
    replies_unsent: u64,
    log_lost: u64,
    journal: Option<JournalStats>,
    tasks: Option<TasksStats>,
    priorities: [PriorityStats; Priority::COUNT],
}

/// The name of a `STAT` line.
pub type StatName = String<{ ANSWER_LINE_BYTES_MAX - "STAT  \n".len() - 20 }>;

/// A counter's name, and how to read it.
type Counter<T> = (&'static str, fn(&T) -> u64);

/// The lines about the whole server, in the order in which `/stats` lists them.
const GENERAL: [Counter<Snapshot>; 17] = [
    ("uptime-s", |s| s.uptime_ns / 1_000_000_000),
    ("clients", |s| s.clients as u64),
    ("clients-max", |s| s.clients_max as u64),
    ("clients-turned-away", |s| s.turned_away()),
    ("wrong-tokens", |s| s.wrong_tokens),
    ("admitted", |s| s.sum(|p| p.depth.admitted)),
    ("lowered", |s| s.lowered),
    ("processed", |s| s.sum(|p| p.processed)),
    ("waiting", |s| s.sum(|p| u64::from(p.depth.now))),
    ("msgs-sent", |s| s.msgs_sent),
    ("msgs-lost", |s| s.msgs_lost),
    ("bytes-in", |s| s.bytes_in),
    ("bytes-out", |s| s.bytes_out),
    ("replies-unsent", |s| s.replies_unsent),
    ("lines-cut-off", |s| s.lines_cut_off),
    ("log-records-lost", |s| s.log_lost),
    ("commands-refused", |s| s.commands_refused),
];

/// The lines about the journal, if there is one.
const JOURNAL: [Counter<JournalStats>; 12] = [
    ("journal-id", |j| j.state.identity.0),
    ("journal-works", |j| j.state.works.into()),
    ("journal-bytes", |j| j.state.written.record_bytes),
    ("journal-page-bytes", |j| j.state.written.page_bytes),
    ("journal-page-bytes-a-day", |j| per_day(j.state.written.page_bytes, j.uptime_ns)),
    ("journal-write-amplification-percent", |j| {
        percent(j.state.written.page_bytes, j.state.written.record_bytes)
    }),
    ("journal-syncs", |j| j.state.written.syncs),
    ("journal-sync-p50-us", |j| j.sync.p50_ns / 1_000),
    ("journal-sync-p99-us", |j| j.sync.p99_ns / 1_000),
    ("journal-sync-max-us", |j| j.sync.max_ns / 1_000),
    ("journal-failures", |j| j.state.written.failures),
    ("journal-damaged-bytes-read", |j| j.damage_bytes),
];

/// The lines about tasks, if handlers process any.
const TASKS: [Counter<TasksStats>; 8] = [
    ("handlers", |t| t.handlers as u64),
    ("tasks-with-handlers", |t| t.given as u64),
    ("task-wait-p50-us", |t| t.wait.p50_ns / 1_000),
    ("task-wait-p99-us", |t| t.wait.p99_ns / 1_000),
    ("task-wait-max-us", |t| t.wait.max_ns / 1_000),
    ("task-work-p50-us", |t| t.work.p50_ns / 1_000),
    ("task-work-p99-us", |t| t.work.p99_ns / 1_000),
    ("task-work-max-us", |t| t.work.max_ns / 1_000),
];

/// The lines about one priority. `pN-` precedes each name.
const PRIORITY: [Counter<PriorityStats>; 8] = [
    ("admitted", |p| p.depth.admitted),
    ("processed", |p| p.processed),
    ("waiting", |p| u64::from(p.depth.now)),
    ("waiting-max", |p| u64::from(p.depth.max)),
    ("oldest-ms", |p| p.oldest_ns / 1_000_000),
    ("ack-p50-us", |p| p.ack.p50_ns / 1_000),
    ("ack-p99-us", |p| p.ack.p99_ns / 1_000),
    ("ack-max-us", |p| p.ack.max_ns / 1_000),
];

/// The largest number of lines of `/stats`.
const LINES: usize = GENERAL.len()
    + JOURNAL.len()
    + TASKS.len()
    + Nak::COUNT
    + Farewell::COUNT
    + OF_PRIORITY * Priority::COUNT;

/// The largest number of lines about one priority.
const OF_PRIORITY: usize = PRIORITY.len() + TaskEvent::COUNT;

/// The number of histograms that do not belong to a priority: those of syncs and of tasks.
const HISTOGRAMS: usize = 3;

/// The largest number of lines of `/stats full`: after those of `/stats` the journal's size, and the histograms.
const LINES_FULL: usize = LINES + 1 + Times::LINES_FULL * (HISTOGRAMS + Priority::COUNT);

impl Snapshot {
    /// Takes a snapshot, for `/stats` or `/stats full`. It reads the whole queue, and the counters of every outbox.
    pub fn take(hub: &Hub, is_full: bool) -> Self {
        let now_ns = clock::now_ns();
        let mut snapshot = Self { is_full, uptime_ns: now_ns, log_lost: logger::lost(), ..Self::default() };
        (snapshot.clients, snapshot.clients_max) = hub.clients.lock().taken();
        snapshot.read_counters(&hub.counters.lock());
        for outbox in &hub.outboxes.0 {
            let outbox = outbox.lock();
            snapshot.bytes_in += outbox.bytes_in;
            snapshot.bytes_out += outbox.bytes_out;
            snapshot.replies_unsent += outbox.replies_unsent;
        }
        let (depths, oldest_ns) = (hub.queue.depths(), hub.queue.oldest_ns());
        for (index, stats) in snapshot.priorities.iter_mut().enumerate() {
            stats.depth = depths[index];
            stats.oldest_ns = oldest_ns[index].map_or(0, |stamp_ns| now_ns.saturating_sub(stamp_ns));
        }
        if let Some(tasks) = &hub.tasks {
            snapshot.read_tasks(&tasks.table(), tasks, now_ns);
        }
        snapshot
    }

    /// Reads the counters of the tasks. The tasks of a priority that handlers process wait in the table, and not in
    /// the queue.
    fn read_tasks(&mut self, table: &Table, tasks: &SharedTasks, now_ns: u64) {
        let (depths, oldest_ns) = (table.waiting().depths(), table.waiting().oldest_ns());
        for priority in Priority::all().filter(|priority| tasks.handles(*priority)) {
            let stats = &mut self.priorities[priority.index()];
            stats.depth = depths[priority.index()];
            stats.oldest_ns =
                oldest_ns[priority.index()].map_or(0, |stamp_ns| now_ns.saturating_sub(stamp_ns));
        }
        self.tasks = Some(TasksStats {
            min: tasks.min(),
            handlers: table.handlers().len(),
            given: table.given(),
            wait: Times::of(&table.stats().waits, self.is_full),
            work: Times::of(&table.stats().works, self.is_full),
            events: table.stats().events(),
        });
    }

    fn read_counters(&mut self, counters: &Counters) {
        self.lowered = counters.lowered;
        self.farewells = counters.farewells;
        self.wrong_tokens = counters.wrong_tokens;
        self.lines_cut_off = counters.lines_cut_off;
        self.refused = counters.refused;
        self.commands_refused = counters.commands_refused;
        self.msgs_sent = counters.msgs_sent;
        self.msgs_lost = counters.msgs_lost;
        self.journal = counters.journal().map(|state| JournalStats {
            state,
            sync: Times::of(&counters.sync_times, self.is_full),
            damage_bytes: counters.journal_damage_bytes,
            uptime_ns: self.uptime_ns,
        });
        for (stats, latency) in self.priorities.iter_mut().zip(&counters.latencies) {
            stats.processed = latency.count();
            stats.ack = Times::of(latency, self.is_full);
        }
    }

    /// Connections that got no place.
    fn turned_away(&self) -> u64 {
        let reasons = [Farewell::Full, Farewell::AddressFull, Farewell::NotAllowed];
        reasons.into_iter().map(|why| self.farewells[why.index()]).sum()
    }

    fn sum(&self, counter: impl Fn(&PriorityStats) -> u64) -> u64 {
        self.priorities.iter().map(counter).sum()
    }

    /// The first line from number `from` on: its name, its value, and the number from which to continue. Returns `None`
    /// if there are no more lines. A priority that never had a message has no lines. Without a journal or without
    /// handling there are no lines about it.
    pub fn line(&self, from: usize) -> Option<(StatName, u64, usize)> {
        let end = if self.is_full { LINES_FULL } else { LINES };
        (from..end).find_map(|number| {
            let (name, value) = self.entry(number)?;
            Some((name, value, number + 1))
        })
    }

    fn entry(&self, number: usize) -> Option<(StatName, u64)> {
        if let Some((name, value)) = GENERAL.get(number) {
            return Some((stat_name(format_args!("{name}")), value(self)));
        }
        let number = number - GENERAL.len();
        if let Some((name, value)) = JOURNAL.get(number) {
            return Some((stat_name(format_args!("{name}")), value(self.journal.as_ref()?)));
        }
        let number = number - JOURNAL.len();
        if let Some((name, value)) = TASKS.get(number) {
            return Some((stat_name(format_args!("{name}")), value(self.tasks.as_ref()?)));
        }
        let number = number - TASKS.len();
        if let Some(reason) = Nak::ALL.get(number) {
            return Some((stat_name(format_args!("refused-{}", reason.as_str())), self.refused[number]));
        }
        let number = number - Nak::COUNT;
        if let Some(why) = Farewell::ALL.get(number) {
            return Some((stat_name(format_args!("closed-{}", why.as_str())), self.farewells[number]));
        }
        let number = number - Farewell::COUNT;
        let Some(priority) = Priority::all().nth(number / OF_PRIORITY) else {
            return self.full_entry(number - OF_PRIORITY * Priority::COUNT);
        };
        self.entry_of(priority, number % OF_PRIORITY)
    }

    fn entry_of(&self, priority: Priority, number: usize) -> Option<(StatName, u64)> {
        let stats = &self.priorities[priority.index()];
        let (name, value) = match PRIORITY.get(number) {
            Some((name, value)) => (*name, value(stats)),
            None => {
                let event = TaskEvent::ALL[number - PRIORITY.len()];
                // A priority that handlers do not process has none of these lines.
                let tasks = self.tasks.as_ref().filter(|tasks| priority >= tasks.min)?;
                (event.as_str(), tasks.events[priority.index()][event as usize])
            }
        };
        (stats.depth.admitted > 0).then(|| (stat_name(format_args!("{priority}-{name}")), value))
    }

    /// The lines that only `/stats full` has.
    fn full_entry(&self, number: usize) -> Option<(StatName, u64)> {
        let Some(number) = number.checked_sub(1) else {
            return Some((
                stat_name(format_args!("journal-capacity-bytes")),
                self.journal?.state.capacity_bytes,
            ));
        };
        let (histogram, number) = (number / Times::LINES_FULL, number % Times::LINES_FULL);
        let line = |name: core::fmt::Arguments<'_>, times: &Times| {
            let (end, value) = times.line(number);
            (stat_name(format_args!("{name}-{end}")), value)
        };
        match histogram {
            0 => Some(line(format_args!("journal-sync"), &self.journal.as_ref()?.sync)),
            1 => Some(line(format_args!("task-wait"), &self.tasks.as_ref()?.wait)),
            2 => Some(line(format_args!("task-work"), &self.tasks.as_ref()?.work)),
            _ => {
                let priority = Priority::all().nth(histogram - HISTOGRAMS)?;
                let stats = &self.priorities[priority.index()];
                (stats.depth.admitted > 0).then(|| line(format_args!("{priority}-ack"), &stats.ack))
            }
        }
    }
}

/// The count per day, at the average rate since the start; the first minute counts as a whole one.
fn per_day(count: u64, uptime_ns: u64) -> u64 {
    const MINUTE_NS: u64 = 60 * 1_000_000_000;
    const DAY_NS: u64 = 24 * 60 * MINUTE_NS;
    (u128::from(count) * u128::from(DAY_NS) / u128::from(uptime_ns.max(MINUTE_NS))) as u64
}

/// `part` in percent of `whole`; 0 if both are 0.
fn percent(part: u64, whole: u64) -> u64 {
    (u128::from(part) * 100 / u128::from(whole.max(1))) as u64
}

fn stat_name(name: core::fmt::Arguments<'_>) -> StatName {
    let mut stat = StatName::new();
    // It fits: all names are short.
    let _ = stat.write_fmt(name);
    stat
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_of_a_day_is_that_of_a_minute_at_least() {
        const SECOND_NS: u64 = 1_000_000_000;
        assert_eq!(per_day(4_096, SECOND_NS / 1_000), 4_096 * 24 * 60);
        assert_eq!(per_day(4_096, 60 * SECOND_NS), 4_096 * 24 * 60);
        assert_eq!(per_day(4_096, 2 * 24 * 60 * 60 * SECOND_NS), 2_048);
        assert_eq!(per_day(0, 0), 0);
    }
}
