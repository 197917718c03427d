//! The watchdog: reports progress to the service manager as long as the consumer processes messages. If the consumer
//! hangs, the reports stop and the manager restarts the server, even if all other threads work.
//!
//! A slow handler does not count as a hang: tasks that wait or are given are not with the consumer. A time-out of a
//! task that has passed and was not handled counts as one.
//!
//! A disk that does not answer does not count as a hang. Cards and USB disks freeze for half a minute and then
//! continue. A process that waits for such a disk cannot be ended before the disk answers, and a new server would wait
//! for the same disk, without the messages that this one still holds.

use crate::clock;
use crate::hub::dispatch::sinks::journal as journal_sink;
use crate::hub::shared::Hub;
use crate::limits::CLIENTS;
use crate::service::Service;

/// Reports progress to the service manager at fixed intervals.
pub struct Watchdog<'a> {
    service: &'a Service,
    interval_ns: Option<u64>,
    /// When to report next, in nanoseconds.
    next_ns: u64,
    /// How many messages had been processed at the last check.
    processed: u64,
    /// The disk did not answer between two checks, and the log has said so.
    is_frozen: bool,
}

impl<'a> Watchdog<'a> {
    /// The watchdog for that service manager. It does nothing if the manager wants no reports.
    pub fn new(service: &'a Service) -> Self {
        let interval_ns = service.watchdog().map(|interval| interval.as_nanos() as u64);
        Self { service, interval_ns, next_ns: clock::now_ns(), processed: 0, is_frozen: false }
    }

    /// When [`Watchdog::check`] has something to do, in nanoseconds.
    pub fn deadline_ns(&self) -> Option<u64> {
        self.interval_ns.map(|_| self.next_ns)
    }

    /// If it is time, reports progress, provided that the consumer has processed something since the last check, or
    /// that no message waits, or that the messages wait for the disk.
    pub fn check(&mut self, hub: &Hub) {
        let now_ns = clock::now_ns();
        let Some(interval_ns) = self.interval_ns.filter(|_| self.next_ns <= now_ns) else { return };
        self.next_ns = now_ns + interval_ns;
        // In this order: a message that is admitted in between does not count as waiting.
        let admitted = hub.queue.admitted();
        let processed = hub.counters.lock().handled;
        let is_late = hub.tasks.as_ref().is_some_and(|tasks| tasks.table().is_late(interval_ns, now_ns));
        if !is_late && (processed > self.processed || processed >= admitted) {
            let (clients, _) = hub.clients.lock().taken();
            self.is_frozen = false;
            self.service
                .progress(format_args!("{clients} of {CLIENTS} clients, {processed} messages processed"));
        } else if journal_sink::is_waiting_for_disk() {
            self.report_frozen_disk(admitted - processed);
        }
        self.processed = processed;
    }

    fn report_frozen_disk(&mut self, waiting: u64) {
        self.service.progress(format_args!("{waiting} messages wait for the disk, which does not answer"));
        if !core::mem::replace(&mut self.is_frozen, true) {
            log::warn!("--journal: the disk does not answer; {waiting} messages wait for it");
        }
    }
}
