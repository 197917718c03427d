//! The watchdog: reports progress to the service manager as long as the consumer processes messages. If the consumer
//! hangs, the reports stop and the manager restarts the server, even if all other threads work.
//!
//! A slow handler does not count as a hang: tasks that wait or are given are not with the consumer. But if the time of
//! a task with a handler had ended before the last check, and the task is still there, the worker of the handler hangs.
//! After a stall of the whole process, the workers have until the next check. The time-outs of tasks that wait do not
//! count: the thread that checks runs them itself.
//!
//! A disk that does not answer does not count as a hang. Cards and USB disks freeze for half a minute and then
//! continue. A process that waits for such a disk cannot be ended before the disk answers, and a new server would wait
//! for the same disk, without the messages that this one still holds.

use crate::clock;
use crate::hub::dispatch::sinks::journal as journal_sink;
use crate::hub::shared::Hub;
use crate::limits::CLIENTS;
use crate::service::Service;

/// The state that a check observes.
#[derive(Clone, Copy)]
struct Observation {
    /// How many messages were admitted.
    admitted: u64,
    /// How many messages were processed. It was read later, so it may be more than [`Self::admitted`].
    processed: u64,
    /// How many had been processed at the previous check.
    processed_before: u64,
    /// A handler has a task whose time had ended before the previous check.
    is_late: bool,
    /// The journal waits for the disk.
    is_waiting_for_disk: bool,
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The server works.
    Works,
    /// Messages, or a worker, wait for the disk. This many messages are not processed.
    DiskFrozen(u64),
    /// A thread hangs.
    Hangs,
}

impl Observation {
    /// If messages wait, the consumer has to process some of them between two checks. A wait for the disk is an excuse
    /// only if nothing was processed: the journal also waits for a working disk, for a moment.
    fn verdict(self) -> Verdict {
        let waiting = self.admitted.saturating_sub(self.processed);
        let stands_still = self.processed == self.processed_before;
        if !self.is_late && (waiting == 0 || !stands_still) {
            Verdict::Works
        } else if stands_still && self.is_waiting_for_disk {
            Verdict::DiskFrozen(waiting)
        } else {
            Verdict::Hangs
        }
    }
}

/// Reports progress to the service manager at fixed intervals.
pub struct Watchdog<'a> {
    service: &'a Service,
    interval_ns: Option<u64>,
    /// When to report next, in nanoseconds.
    next_ns: u64,
    /// When the last check was, in nanoseconds.
    checked_ns: u64,
    /// How many messages had been processed at the last check.
    processed: u64,
    /// The disk did not answer between two checks, and that has been logged.
    is_frozen: bool,
}

impl<'a> Watchdog<'a> {
    /// The watchdog for that service manager. It does nothing if the manager wants no reports.
    pub fn new(service: &'a Service) -> Self {
        let interval_ns = service.watchdog().map(|interval| interval.as_nanos() as u64);
        let now_ns = clock::now_ns();
        Self { service, interval_ns, next_ns: now_ns, checked_ns: now_ns, processed: 0, is_frozen: false }
    }

    /// When [`Watchdog::check`] has something to do, in nanoseconds.
    pub fn deadline_ns(&self) -> Option<u64> {
        self.interval_ns.map(|_| self.next_ns)
    }

    /// If it is time, reports progress, unless a thread hangs.
    pub fn check(&mut self, hub: &Hub) {
        let now_ns = clock::now_ns();
        let Some(interval_ns) = self.interval_ns.filter(|_| self.next_ns <= now_ns) else { return };
        self.next_ns = now_ns + interval_ns;
        let observation = Observation {
            // Read in this order: a message that is admitted in between does not count as waiting.
            admitted: hub.queue.admitted(),
            processed: hub.counters.lock().handled,
            processed_before: self.processed,
            is_late: hub.tasks.as_ref().is_some_and(|tasks| tasks.table().is_late(self.checked_ns)),
            is_waiting_for_disk: journal_sink::is_waiting_for_disk(),
        };
        let processed = observation.processed;
        match observation.verdict() {
            Verdict::Works => {
                let (clients, _) = hub.clients.lock().taken();
                self.is_frozen = false;
                self.service
                    .progress(format_args!("{clients} of {CLIENTS} clients, {processed} messages processed"));
            }
            Verdict::DiskFrozen(waiting) => self.report_frozen_disk(waiting),
            Verdict::Hangs => {}
        }
        (self.processed, self.checked_ns) = (processed, now_ns);
    }

    fn report_frozen_disk(&mut self, waiting: u64) {
        self.service.progress(format_args!("{waiting} messages wait for the disk, which does not answer"));
        if !core::mem::replace(&mut self.is_frozen, true) {
            log::warn!("--journal: the disk does not answer; {waiting} messages wait for it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Observation = Observation {
        admitted: 7,
        processed: 7,
        processed_before: 7,
        is_late: false,
        is_waiting_for_disk: false,
    };

    #[test]
    fn consumer_that_stands_still_while_messages_wait_hangs_unless_the_disk_does() {
        let stuck = Observation { admitted: 9, ..IDLE };
        assert_eq!(IDLE.verdict(), Verdict::Works);
        assert_eq!(stuck.verdict(), Verdict::Hangs);
        assert_eq!(Observation { processed_before: 6, ..stuck }.verdict(), Verdict::Works);
        assert_eq!(Observation { is_waiting_for_disk: true, ..stuck }.verdict(), Verdict::DiskFrozen(2));
        assert_eq!(Observation { is_waiting_for_disk: true, ..IDLE }.verdict(), Verdict::Works);
    }

    #[test]
    fn late_task_is_a_hang_although_the_disk_is_being_waited_for_while_messages_are_processed() {
        let late = Observation { is_late: true, ..IDLE };
        assert_eq!(late.verdict(), Verdict::Hangs);
        let busy = Observation { processed_before: 3, is_waiting_for_disk: true, ..late };
        assert_eq!(busy.verdict(), Verdict::Hangs);
        // A worker that runs the pipeline waits for the disk, and the tasks of its handlers wait with it.
        assert_eq!(Observation { is_waiting_for_disk: true, ..late }.verdict(), Verdict::DiskFrozen(0));
    }

    #[test]
    fn messages_that_are_processed_after_the_admitted_ones_were_counted_do_not_underflow() {
        let more = Observation { admitted: 7, processed: 9, processed_before: 9, ..IDLE };
        assert_eq!(more.verdict(), Verdict::Works);
        let late = Observation { is_late: true, is_waiting_for_disk: true, ..more };
        assert_eq!(late.verdict(), Verdict::DiskFrozen(0));
    }
}
