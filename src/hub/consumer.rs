//! The consumer: the one who processes. It picks a batch of what comes first, numbers it, feeds the sinks, answers, and
//! sends, in that order; so whoever has an ACK knows that every sink has the message.
//!
//! With a journal it is several batches that go this way together, as many as wait at the moment: what came while a sync was
//! under way shares the next (group commit). Nobody waits for more to come.

use super::Hub;
use super::courier::{self, Chunk};
use super::outbox::Next;
use super::printer::Printer;
use super::recorder::Recorder;
use crate::clock;
use crate::limits::{BATCH, BATCH_BYTES_MAX, CLIENT_WORDS, CLIENTS, JOURNAL_BATCHES_MAX, SEND_BYTES_MAX};
use crate::queue::{Batch, Chain, Run};
use crate::sync::{Bitmap, MutexGuard};
use crate::wire::escape::Escaped;
use crate::wire::reply::{self, Nak};
use core::ops::Range;
use heapless::Vec;
use static_cell::ConstStaticCell;

/// The `MSG` lines of a batch.
pub type Lines = Vec<u8, BATCH_BYTES_MAX>;

/// The batches that go through the sinks together.
pub type Group = [Work; JOURNAL_BATCHES_MAX];

/// The buffers of the one consumer.
static LINES: ConstStaticCell<Lines> = ConstStaticCell::new(Lines::new());
static GROUP: ConstStaticCell<Group> = ConstStaticCell::new([const { Work::NONE }; JOURNAL_BATCHES_MAX]);

/// Where the line of a message stands in [`Lines`].
type Place = Range<usize>;

/// A batch that is being processed; its messages have the IDs from `first_id` on.
pub struct Work {
    batch: Batch<Chain>,
    first_id: u64,
    /// So many of its messages have reached every sink that can fail.
    accepted: usize,
    /// What the others are told.
    reason: Nak,
}

impl Work {
    const NONE: Self = Self { batch: Batch::new(), first_id: 0, accepted: 0, reason: Nak::PrintFailed };

    /// How many messages of a run are accepted, of which the first has that rank in the batch.
    fn accepted_of(&self, run: &Chain, rank: usize) -> usize {
        accepted_of(run, rank, self.accepted)
    }
}

/// How many lines were put into outboxes, and how many were lost.
#[derive(Default)]
struct Delivery {
    done: u64,
    lost: u64,
}

/// The consumer and what it works with. It is a seat more than a thread: whoever has it processes, one at a time.
pub struct Consumer {
    group: &'static mut Group,
    /// The ID of the next message.
    next_id: u64,
    lines: &'static mut Lines,
    /// The lines of the batch in `formatted`.
    places: Vec<Place, BATCH>,
    formatted: Option<usize>,
    printer: Option<Printer>,
    recorder: Option<Recorder>,
    /// By when the recorder must be looked at, as the hub was told, in nanoseconds.
    due_ns: Option<u64>,
    /// Seats that something was put in the outbox of.
    touched: Bitmap<CLIENT_WORDS>,
    chunk: Chunk,
}

impl Consumer {
    /// The consumer, which prints if `printer` is given, and keeps a journal if `recorder` is.
    ///
    /// # Panics
    /// When called twice: there is one.
    pub fn new(printer: Option<Printer>, recorder: Option<Recorder>) -> Self {
        Self {
            group: GROUP.take(),
            next_id: recorder.as_ref().map_or(1, Recorder::next_id),
            lines: LINES.take(),
            places: Vec::new(),
            formatted: None,
            printer,
            recorder,
            due_ns: None,
            touched: Bitmap::new(),
            chunk: [0; SEND_BYTES_MAX],
        }
    }

    /// Whether there must be a thread for it alone: for a sink may hold up who sits here, or wants something done in time.
    pub fn needs_thread(&self) -> bool {
        self.printer.is_some() || self.recorder.is_some()
    }

    /// Whether a worker may sit here now. Not with a printer, which may stand still for as long as its reader likes; with a
    /// journal where its disk is quick.
    pub fn lets_workers_sit(&self) -> bool {
        self.printer.is_none() && self.recorder.as_ref().is_none_or(Recorder::is_quick)
    }

    /// Processes one batch of what comes first, or with a journal what can be committed together; false: nothing waits.
    /// `sitter` is the worker that does it, or none.
    pub fn turn(&mut self, hub: &Hub, sitter: Option<usize>) -> bool {
        let batches = self.take(hub);
        if batches > 0 {
            self.commit(hub, batches);
            for index in 0..batches {
                self.deliver(index, hub, sitter);
                self.acknowledge(index, hub);
                // Those that come first hear first, and say the next while the others' are on their way.
                self.send(hub, sitter);
            }
        }
        self.tidy(hub, false);
        batches > 0
    }

    /// Does what the sinks have to do by a certain time, whether or not anything waits; at the end, all that they still have
    /// to do.
    pub fn tidy(&mut self, hub: &Hub, is_end: bool) {
        let Some(recorder) = &mut self.recorder else { return };
        recorder.sync_due(is_end);
        recorder.count(hub);
        let due_ns = recorder.deadline_ns();
        if self.due_ns != due_ns {
            self.due_ns = due_ns;
            hub.set_due_ns(due_ns);
        }
    }

    /// Picks what comes first, numbers and prints it, and gives it to the journal; returns how many batches that are.
    fn take(&mut self, hub: &Hub) -> usize {
        if let Some(recorder) = &mut self.recorder {
            recorder.begin();
        }
        self.formatted = None;
        let batches_max = if self.recorder.is_some() { JOURNAL_BATCHES_MAX } else { 1 };
        let mut batches = 0;
        while batches < batches_max
            && self.recorder.as_ref().is_none_or(Recorder::has_room)
            && hub.queue.pick(&mut self.group[batches].batch)
        {
            self.number(batches);
            self.print(batches, hub);
            self.record(batches, hub);
            batches += 1;
        }
        batches
    }

    fn number(&mut self, index: usize) {
        let work = &mut self.group[index];
        work.first_id = self.next_id;
        work.accepted = work.batch.messages();
        self.next_id += work.accepted as u64;
    }

    /// Writes the lines of a batch, unless they are there.
    fn format(&mut self, index: usize, hub: &Hub) {
        if self.formatted.replace(index) == Some(index) {
            return;
        }
        self.lines.clear();
        self.places.clear();
        let work = &self.group[index];
        for (rank, picked) in work.batch.runs() {
            let (from, priority) = (hub.name(picked.item.client()), picked.priority);
            for (id, slot) in (work.first_id + rank as u64..).zip(picked.item.messages()) {
                log::trace!("message {id} {priority} {from} {}", Escaped(slot.text()));
                // There is room for a batch of the longest lines.
                let place = reply::msg(self.lines, id, priority, &from, slot.text()).unwrap_or_default();
                let _ = self.places.push(place);
            }
        }
    }

    /// Prints the lines; the messages whose lines could not be printed are not accepted.
    fn print(&mut self, index: usize, hub: &Hub) {
        if self.printer.is_some() {
            self.format(index, hub);
        }
        if let Some(printer) = &mut self.printer {
            let printed = printer.print(self.lines);
            let work = &mut self.group[index];
            work.accepted = self.places.iter().take_while(|place| place.end <= printed).count();
            work.reason = Nak::PrintFailed;
        }
    }

    /// Gives what is accepted to the journal.
    fn record(&mut self, index: usize, hub: &Hub) {
        let (Some(recorder), work) = (&mut self.recorder, &self.group[index]) else { return };
        for (rank, picked) in work.batch.runs() {
            let from = hub.name(picked.item.client());
            let accepted = work.accepted_of(&picked.item, rank);
            let numbered = (work.first_id + rank as u64..).zip(picked.item.messages());
            for (id, slot) in numbered.take(accepted) {
                recorder.record(id, picked.priority, from.as_bytes(), slot.text());
            }
        }
        recorder.flush();
    }

    /// Has the journal commit what it was given; if it fails, nothing of it is accepted.
    fn commit(&mut self, hub: &Hub, batches: usize) {
        let Some(recorder) = &mut self.recorder else { return };
        if !recorder.commit(hub) {
            for work in &mut self.group[..batches] {
                work.accepted = 0;
                work.reason = Nak::JournalFailed;
            }
        }
        hub.open_seat(self.lets_workers_sit());
    }

    /// Puts the lines of what was accepted into the outboxes of those who joined.
    fn deliver(&mut self, index: usize, hub: &Hub, sitter: Option<usize>) {
        if hub.joined.is_empty() && !log::log_enabled!(log::Level::Trace) {
            return;
        }
        self.format(index, hub);
        let mut all = Delivery::default();
        hub.joined.for_each(|seat| {
            let to_one = self.deliver_to(index, seat, hub, sitter);
            all.done += to_one.done;
            all.lost += to_one.lost;
        });
        if all.done + all.lost > 0 {
            let mut ledger = hub.ledger.lock();
            ledger.msgs_sent += all.done;
            ledger.msgs_lost += all.lost;
        }
    }

    /// Puts the lines into one outbox. A batch may be more than that holds: what is in it is sent then, and a line is
    /// lost only if the socket does not take that.
    fn deliver_to(&mut self, index: usize, seat: usize, hub: &Hub, sitter: Option<usize>) -> Delivery {
        let Self { group, lines, places, touched, chunk, .. } = self;
        let work = &group[index];
        let (mut outbox, mut delivery) = (hub.outboxes[seat].lock(), Delivery::default());
        let Some(min) = outbox.joined() else { return delivery };
        let live_from = outbox.live_from();
        let first_rank = live_from.saturating_sub(work.first_id).min(work.batch.messages() as u64) as usize;
        let mut takes_more = true;
        for (rank, run) in work.batch.runs() {
            let end = rank + work.accepted_of(&run.item, rank);
            // It may have asked for what comes in the middle of a run.
            let rank = rank.max(first_rank);
            let Some(places @ [first, ..]) = places.get(rank..end) else { continue };
            if run.priority < min || run.item.client() == seat {
                continue;
            }
            touched.insert(seat);
            let together = &lines[first.start..places[places.len() - 1].end];
            if outbox.has_room_for_msg(together) {
                outbox.deliver(together);
                delivery.done += places.len() as u64;
                continue;
            }
            for (id, place) in (work.first_id + rank as u64..).zip(places) {
                let line = &lines[place.clone()];
                if takes_more && !outbox.has_room_for_msg(line) {
                    if courier::send(&mut outbox, chunk) != Next::Nothing {
                        // A bell is rung by a system call.
                        MutexGuard::unlocked(&mut outbox, || hub.attention.call_from(sitter, seat));
                    }
                    // It may also have left and joined again: then it has these from the history.
                    if (outbox.joined(), outbox.live_from()) != (Some(min), live_from) {
                        return delivery;
                    }
                    takes_more = outbox.has_room_for_msg(line);
                }
                if !outbox.has_room_for_msg(line) && outbox.fall_behind(id) {
                    MutexGuard::unlocked(&mut outbox, || hub.attention.call_from(sitter, seat));
                    return delivery;
                }
                *(if outbox.deliver(line) { &mut delivery.done } else { &mut delivery.lost }) += 1;
            }
        }
        delivery
    }

    /// Brings the slots home with their replies.
    fn acknowledge(&mut self, index: usize, hub: &Hub) {
        let work = &mut self.group[index];
        count(work, hub);
        let (first_id, accepted, reason) = (work.first_id, work.accepted, work.reason);
        for (rank, picked) in work.batch.drain() {
            let seat = picked.item.client();
            self.touched.insert(seat);
            let (lines, is_lowered) = (picked.item.lines(), picked.item.is_lowered());
            let refused_from = lines.start + accepted_of(&picked.item, rank, accepted) as u64;
            hub.outboxes[seat].lock().close(picked.item, |out| {
                reply::acks(out, lines.start..refused_from, first_id + rank as u64, is_lowered);
                (refused_from..lines.end).for_each(|line| reply::nak(out, line, reason));
            });
        }
    }

    /// Sends to all whose outbox was touched, and calls their workers where they are to go on.
    fn send(&mut self, hub: &Hub, sitter: Option<usize>) {
        let Self { touched, chunk, .. } = self;
        touched.drain(0, CLIENTS, |seat| {
            let mut outbox = hub.outboxes[seat].lock();
            let next = courier::send(&mut outbox, chunk);
            let is_wanted = outbox.is_worker_wanted();
            drop(outbox);
            if is_wanted || next != Next::Nothing {
                hub.attention.call_from(sitter, seat);
            }
        });
    }
}

/// How many messages of a run are accepted, of which the first has that rank in a batch with so many accepted.
fn accepted_of(run: &Chain, rank: usize, accepted: usize) -> usize {
    accepted.saturating_sub(rank).min(run.len())
}

fn count(work: &Work, hub: &Hub) {
    let now_ns = clock::now_ns();
    let mut ledger = hub.ledger.lock();
    for (rank, picked) in work.batch.runs() {
        let accepted = work.accepted_of(&picked.item, rank);
        if accepted > 0 {
            ledger.processed(accepted, picked.priority, now_ns.saturating_sub(picked.stamp_ns));
        }
    }
    ledger.handled += work.batch.messages() as u64;
    ledger.refused[work.reason.index()] += (work.batch.messages() - work.accepted) as u64;
}
