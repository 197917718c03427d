//! The watchdog: tells the service manager that messages are processed, for as long as they are. Little else feeds it: a
//! server whose consumer hangs is started again, however well its other threads are.
//!
//! A disk that does not answer is no such hang. Cards and USB disks freeze for half a minute and go on; a process that waits for one cannot be ended
//! before it does; and a new server would wait for the same disk, without the messages that this one still has.

use crate::clock;
use crate::hub::Hub;
use crate::hub::dispatch::sinks::journal as journal_sink;
use crate::limits::CLIENTS;
use crate::service::Service;

/// What is told, and when.
pub struct Watchdog<'a> {
    service: &'a Service,
    interval_ns: Option<u64>,
    /// When it is told next, in nanoseconds.
    next_ns: u64,
    /// Messages that had been processed when it was last looked.
    processed: u64,
    /// The disk did not answer from one look to the next, and that was told.
    is_frozen: bool,
}

impl<'a> Watchdog<'a> {
    /// The watchdog of that manager, if it wants one.
    pub fn new(service: &'a Service) -> Self {
        let interval_ns = service.watchdog().map(|interval| interval.as_nanos() as u64);
        Self { service, interval_ns, next_ns: clock::now_ns(), processed: 0, is_frozen: false }
    }

    /// When [`Watchdog::look`] has something to do, in nanoseconds.
    pub fn deadline_ns(&self) -> Option<u64> {
        self.interval_ns.map(|_| self.next_ns)
    }

    /// Tells of progress, if it is time: something was processed since, nothing waits to be, or what waits does so for the disk.
    pub fn look(&mut self, hub: &Hub) {
        let now_ns = clock::now_ns();
        let Some(interval_ns) = self.interval_ns.filter(|_| self.next_ns <= now_ns) else { return };
        self.next_ns = now_ns + interval_ns;
        // In this order: what is admitted in between is not taken for something that waits.
        let admitted = hub.queue.admitted();
        let processed = hub.counters.lock().handled;
        if processed > self.processed || processed >= admitted {
            let (clients, _) = hub.clients.lock().taken();
            self.is_frozen = false;
            self.service
                .progress(format_args!("{clients} of {CLIENTS} clients, {processed} messages processed"));
        } else if journal_sink::is_at_disk() {
            self.tell_of_disk(admitted - processed);
        }
        self.processed = processed;
    }

    fn tell_of_disk(&mut self, waiting: u64) {
        self.service.progress(format_args!("{waiting} messages wait for the disk, which does not answer"));
        if !core::mem::replace(&mut self.is_frozen, true) {
            log::warn!("--journal: the disk does not answer; {waiting} messages wait for it");
        }
    }
}
