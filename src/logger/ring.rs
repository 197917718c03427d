//! The ring: the records that wait for the writer.
//!
//! A logging thread puts a record in and continues at once. A full ring drops the record and counts it. The writer
//! takes records out one at a time, so it never holds the lock while it formats or writes. Each loss comes out between
//! the records that were put in before and after it.

use core::mem;
use core::time::Duration;

use super::record::Record;
use crate::clock;
use crate::limits::LOG_RECORDS;
use crate::sync::{Condvar, Mutex};

/// A ring of at most [`LOG_RECORDS`] records between the logging threads and the writer.
///
/// A new one is all zeroes, so a static one takes no space in the executable.
pub struct Ring {
    state: Mutex<State>,
    /// Notified when the writer has something to do.
    work: Condvar,
    /// Notified when the writer has written something, for threads that [flush](Ring::flush).
    progress: Condvar,
}

/// What the writer takes at a time: a loss, a record, or both.
pub struct Taken {
    /// How many records were lost just before this one.
    pub lost: u64,
    /// The record; none: no record was put in after the loss.
    pub record: Option<Record>,
}

impl Taken {
    /// When the record was logged, in nanoseconds since the start; for a loss without a record, now.
    pub fn time_ns(&self) -> u64 {
        self.record.as_ref().map_or_else(clock::now_ns, Record::time_ns)
    }
}

struct State {
    slots: [Slot; LOG_RECORDS],
    /// The index of the oldest record.
    first: usize,
    waiting: usize,
    /// Records lost since the last one that was put in.
    lost_unreported: u64,
    lost_ever: u64,
    /// Records put in or lost since the start.
    logged: u64,
    /// How many of these the writer has handled.
    handled: u64,
    reopen: Flag,
    writer_runs: Flag,
}

#[derive(Clone, Copy)]
struct Slot {
    record: Record,
    lost_before: u64,
}

/// A boolean of the size of a word, so that the state has no padding.
type Flag = usize;

impl Ring {
    /// An empty ring.
    pub const fn new() -> Self {
        const EMPTY: Slot = Slot { record: Record::EMPTY, lost_before: 0 };
        let state = State {
            slots: [EMPTY; LOG_RECORDS],
            first: 0,
            waiting: 0,
            lost_unreported: 0,
            lost_ever: 0,
            logged: 0,
            handled: 0,
            reopen: 0,
            writer_runs: 0,
        };
        Self { state: Mutex::new(state), work: Condvar::new(), progress: Condvar::new() }
    }

    /// Puts the record in, with the current time, or counts it as lost. It waits only for other threads that do the
    /// same.
    pub fn put(&self, record: Record) {
        self.state.lock().put(record);
        self.work.notify_one();
    }

    /// Requests that the writer reopens its file.
    pub fn request_reopen(&self) {
        self.state.lock().reopen = 1;
        self.work.notify_one();
    }

    /// Waits until there is something to write or to reopen. Returns true if the writer has to reopen its file.
    pub fn wait_for_work(&self) -> bool {
        let mut state = self.state.lock();
        state = self.work.wait_while(state, |state| !state.has_work());
        mem::take(&mut state.reopen) != 0
    }

    /// Takes the oldest record out, with what was lost before it.
    pub fn take(&self) -> Option<Taken> {
        self.state.lock().take()
    }

    /// Records that the writer has handled `records` records: it has written them, lost them, or reported their loss.
    /// `lost` of them could not be written.
    pub fn mark_handled(&self, records: u64, lost: u64) {
        let mut state = self.state.lock();
        state.handled += records;
        state.lost_ever += lost;
        drop(state);
        self.progress.notify_all();
    }

    /// Waits until the writer has handled every record that was logged before this call, or until the time-out has
    /// passed. `true` if it has.
    pub fn flush(&self, timeout: Duration) -> bool {
        let state = self.state.lock();
        let logged = state.logged;
        let (_state, timed_out) =
            self.progress.wait_timeout_while(state, timeout, |state| state.handled < logged);
        !timed_out
    }

    /// Records that the writer runs.
    pub fn set_writer_runs(&self) {
        self.state.lock().writer_runs = 1;
        self.progress.notify_all();
    }

    /// Waits until the writer runs.
    pub fn wait_for_writer(&self) {
        drop(self.progress.wait_while(self.state.lock(), |state| state.writer_runs == 0));
    }

    /// How many records were lost since the start.
    pub fn lost(&self) -> u64 {
        self.state.lock().lost_ever
    }

    /// Whether the writer has something to do.
    #[cfg(test)]
    pub fn has_work(&self) -> bool {
        self.state.lock().has_work()
    }
}

impl State {
    fn put(&mut self, record: Record) {
        self.logged += 1;
        if self.waiting == LOG_RECORDS {
            self.lost_unreported += 1;
            self.lost_ever += 1;
            return;
        }
        let slot = &mut self.slots[(self.first + self.waiting) % LOG_RECORDS];
        // Stamped under the lock, so that lines are in the order of their times.
        slot.record = record.at(clock::now_ns());
        slot.lost_before = mem::take(&mut self.lost_unreported);
        self.waiting += 1;
    }

    fn take(&mut self) -> Option<Taken> {
        if self.waiting == 0 {
            let lost = mem::take(&mut self.lost_unreported);
            return (lost > 0).then_some(Taken { lost, record: None });
        }
        let slot = self.slots[self.first];
        self.first = (self.first + 1) % LOG_RECORDS;
        self.waiting -= 1;
        Some(Taken { lost: slot.lost_before, record: Some(slot.record) })
    }

    fn has_work(&self) -> bool {
        self.waiting > 0 || self.lost_unreported > 0 || self.reopen != 0
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
    fn flush_waits_until_the_writer_has_handled_the_record() {
        let ring = Ring::new();
        assert!(ring.flush(Duration::ZERO));
        ring.put(record(1));
        assert!(!ring.flush(Duration::ZERO));
        assert!(ring.take().is_some());
        assert!(!ring.flush(Duration::ZERO), "taken is not written");
        ring.mark_handled(1, 0);
        assert!(ring.flush(Duration::ZERO));
    }

    #[test]
    fn request_to_reopen_is_returned_once() {
        let ring = Ring::new();
        ring.request_reopen();
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
    fn empty_ring_has_no_padding_but_that_of_the_locks() {
        let slots = size_of::<Slot>() * LOG_RECORDS;
        assert_eq!(size_of::<Slot>(), size_of::<Record>() + size_of::<u64>());
        assert_eq!(size_of::<State>(), slots + 4 * size_of::<usize>() + 4 * size_of::<u64>());
    }

    proptest! {
        /// Compares the ring with a list: the records come out in order, and each loss at its place.
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
