//! The records that wait to be written.
//!
//! Whoever logs puts a record in and goes on at once; a full ring takes none, and counts it. The writer takes
//! them out one at a time, so it never holds the lock while it formats or writes. Every loss stays where it
//! happened: it comes out between the records that were put in before and after.

use core::mem;
use core::time::Duration;

use super::record::Record;
use crate::clock;
use crate::limits::LOG_RECORDS;
use crate::sync::{Condvar, Mutex};

/// A bounded ring of [`LOG_RECORDS`] records between the threads that log and the one that writes.
///
/// A new one is all zero, so a static one takes no room in the executable.
pub struct Ring {
    state: Mutex<State>,
    /// There is something for the writer.
    work: Condvar,
    /// Notified when the writer has written something, for threads that [flush](Ring::flush).
    progress: Condvar,
}

/// What the writer takes at a time: at least one of the two.
pub struct Taken {
    /// How many records were lost just before this one.
    pub lost: u64,
    /// The record, unless the last ones of all were lost.
    pub record: Option<Record>,
}

impl Taken {
    /// When it was logged, in nanoseconds since the start; if it is but a loss, now.
    pub fn time_ns(&self) -> u64 {
        self.record.as_ref().map_or_else(clock::now_ns, Record::time_ns)
    }
}

struct State {
    slots: [Slot; LOG_RECORDS],
    /// Where the oldest record is.
    first: usize,
    waiting: usize,
    /// Records lost since the last one that was put in.
    lost_untold: u64,
    lost_ever: u64,
    /// Records that were ever put in or lost.
    logged: u64,
    /// Of those, the ones that the writer is done with.
    settled: u64,
    reopen: Flag,
    writer_runs: Flag,
}

#[derive(Clone, Copy)]
struct Slot {
    record: Record,
    lost_before: u64,
}

/// A boolean as wide as a word, so that the state has no padding.
type Flag = usize;

impl Ring {
    /// An empty one.
    pub const fn new() -> Self {
        const EMPTY: Slot = Slot { record: Record::EMPTY, lost_before: 0 };
        let state = State {
            slots: [EMPTY; LOG_RECORDS],
            first: 0,
            waiting: 0,
            lost_untold: 0,
            lost_ever: 0,
            logged: 0,
            settled: 0,
            reopen: 0,
            writer_runs: 0,
        };
        Self { state: Mutex::new(state), work: Condvar::new(), progress: Condvar::new() }
    }

    /// Puts the record in, with the current time, or counts it as lost. It waits for other threads that do the same, and for
    /// nothing else.
    pub fn put(&self, record: Record) {
        self.state.lock().put(record);
        self.work.notify_one();
    }

    /// Asks the writer to open its file again.
    pub fn ask_reopen(&self) {
        self.state.lock().reopen = 1;
        self.work.notify_one();
    }

    /// Waits until there is something to write or to reopen. True: the file is to be opened again.
    pub fn wait_for_work(&self) -> bool {
        let mut state = self.state.lock();
        state = self.work.wait_while(state, |state| !state.has_work());
        mem::take(&mut state.reopen) != 0
    }

    /// Takes the oldest record out, with what was lost before it.
    pub fn take(&self) -> Option<Taken> {
        self.state.lock().take()
    }

    /// Tells that the writer is done with as many records: they are written or lost, or their loss is told.
    /// So many of them were `lost` on the way out.
    pub fn settle(&self, records: u64, lost: u64) {
        let mut state = self.state.lock();
        state.settled += records;
        state.lost_ever += lost;
        drop(state);
        self.progress.notify_all();
    }

    /// Waits until the writer is done with all that was logged before this call, or the time is over.
    /// `true` if it is done.
    pub fn flush(&self, timeout: Duration) -> bool {
        let state = self.state.lock();
        let logged = state.logged;
        let (_state, timed_out) =
            self.progress.wait_timeout_while(state, timeout, |state| state.settled < logged);
        !timed_out
    }

    /// Tells that the writer runs.
    pub fn set_writer_runs(&self) {
        self.state.lock().writer_runs = 1;
        self.progress.notify_all();
    }

    /// Waits until the writer runs.
    pub fn wait_for_writer(&self) {
        drop(self.progress.wait_while(self.state.lock(), |state| state.writer_runs == 0));
    }

    /// How many records were ever lost.
    pub fn lost(&self) -> u64 {
        self.state.lock().lost_ever
    }

    /// Whether the writer would not sleep now.
    #[cfg(test)]
    pub fn has_work(&self) -> bool {
        self.state.lock().has_work()
    }
}

impl State {
    fn put(&mut self, record: Record) {
        self.logged += 1;
        if self.waiting == LOG_RECORDS {
            self.lost_untold += 1;
            self.lost_ever += 1;
            return;
        }
        let slot = &mut self.slots[(self.first + self.waiting) % LOG_RECORDS];
        // Stamped under the lock, so that lines are in the order of their times.
        slot.record = record.at(clock::now_ns());
        slot.lost_before = mem::take(&mut self.lost_untold);
        self.waiting += 1;
    }

    fn take(&mut self) -> Option<Taken> {
        if self.waiting == 0 {
            let lost = mem::take(&mut self.lost_untold);
            return (lost > 0).then_some(Taken { lost, record: None });
        }
        let slot = self.slots[self.first];
        self.first = (self.first + 1) % LOG_RECORDS;
        self.waiting -= 1;
        Some(Taken { lost: slot.lost_before, record: Some(slot.record) })
    }

    fn has_work(&self) -> bool {
        self.waiting > 0 || self.lost_untold > 0 || self.reopen != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logger::times::Times;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    fn record(number: u64) -> Record {
        Record::new(log::Level::Info, format_args!("{number}"), None)
    }

    fn number(record: &Record) -> u64 {
        let mut line = heapless::Vec::<u8, 512>::new();
        record.append_to(&Times::SinceStart, &mut line);
        core::str::from_utf8(&line).unwrap().split_whitespace().last().unwrap().parse().unwrap()
    }

    #[test]
    fn a_record_is_settled_when_the_writer_says_so() {
        let ring = Ring::new();
        assert!(ring.flush(Duration::ZERO));
        ring.put(record(1));
        assert!(!ring.flush(Duration::ZERO));
        assert!(ring.take().is_some());
        assert!(!ring.flush(Duration::ZERO), "taken is not written");
        ring.settle(1, 0);
        assert!(ring.flush(Duration::ZERO));
    }

    #[test]
    fn a_request_to_reopen_is_seen_once() {
        let ring = Ring::new();
        ring.ask_reopen();
        assert!(ring.wait_for_work());
        ring.put(record(1));
        assert!(!ring.wait_for_work());
    }

    #[test]
    fn times_are_in_the_order_of_the_records() {
        let ring = Ring::new();
        (0..10).for_each(|n| ring.put(record(n)));
        let times: Vec<u64> = (0..10).map(|_| ring.take().unwrap().record.unwrap().time_ns()).collect();
        assert!(times.is_sorted() && times[0] > 0);
    }

    #[test]
    fn an_empty_ring_has_no_padding_but_that_of_the_locks() {
        let slots = size_of::<Slot>() * LOG_RECORDS;
        assert_eq!(size_of::<Slot>(), size_of::<Record>() + size_of::<u64>());
        assert_eq!(size_of::<State>(), slots + 4 * size_of::<usize>() + 4 * size_of::<u64>());
    }

    proptest! {
        /// Against a list: what comes out is what went in, in order, and every loss at its place.
        #[test]
        fn nothing_is_lost_silently(bursts in prop::collection::vec((0..2 * LOG_RECORDS, 0..2 * LOG_RECORDS), 0..6)) {
            let ring = Ring::new();
            let mut model = VecDeque::new();
            let (mut put, mut next) = (0, 0);
            for (puts, takes) in bursts {
                for _ in 0..puts {
                    if model.len() < LOG_RECORDS {
                        model.push_back(put);
                    }
                    ring.put(record(put));
                    put += 1;
                }
                for _ in 0..takes {
                    let Some(taken) = ring.take() else { break };
                    next += taken.lost;
                    prop_assert!(taken.lost > 0 || taken.record.is_some());
                    prop_assert_eq!(taken.record.as_ref().map(number), model.pop_front());
                    if let Some(record) = &taken.record {
                        prop_assert_eq!(number(record), next);
                        next += 1;
                    }
                }
            }
            while let Some(taken) = ring.take() {
                next += taken.lost + u64::from(taken.record.is_some());
            }
            prop_assert_eq!(next, put);
        }
    }
}
