//! The consumer: the one who processes. It picks a batch of what comes first, numbers it, feeds the sinks, answers, and
//! sends, in that order; so whoever has an ACK knows that every sink has the message.

use super::Hub;
use super::courier::{self, Chunk};
use super::outbox::Next;
use super::printer::Printer;
use crate::clock;
use crate::limits::{BATCH, BATCH_BYTES_MAX, CLIENT_WORDS, CLIENTS, SEND_BYTES_MAX};
use crate::queue::{Batch, Chain, Run};
use crate::sync::{Bitmap, MutexGuard};
use crate::wire::escape::Escaped;
use crate::wire::reply::{self, Nak};
use core::ops::Range;
use heapless::Vec;
use static_cell::ConstStaticCell;

/// The `MSG` lines of a batch.
pub type Lines = Vec<u8, BATCH_BYTES_MAX>;

/// The buffer of the one consumer.
static LINES: ConstStaticCell<Lines> = ConstStaticCell::new(Lines::new());

/// Where the line of a message stands in [`Lines`].
type Place = Range<usize>;

/// How many lines were put into outboxes, and how many were lost.
#[derive(Default)]
struct Delivery {
    done: u64,
    lost: u64,
}

/// The consumer and what it works with. It is a seat more than a thread: whoever has it processes, one at a time.
pub struct Consumer {
    /// What is being processed; its messages have the IDs from `first_id` on.
    batch: Batch<Chain>,
    first_id: u64,
    lines: &'static mut Lines,
    /// The lines of the batch, if anybody wants them.
    places: Vec<Place, BATCH>,
    /// So many messages of the batch have reached every sink that can fail.
    accepted: usize,
    printer: Option<Printer>,
    /// Seats that something was put in the outbox of.
    touched: Bitmap<CLIENT_WORDS>,
    chunk: Chunk,
}

impl Consumer {
    /// The consumer, which prints if `printer` is given.
    ///
    /// # Panics
    /// When called twice: there is one.
    pub fn new(printer: Option<Printer>) -> Self {
        Self {
            batch: Batch::new(),
            first_id: 1,
            lines: LINES.take(),
            places: Vec::new(),
            accepted: 0,
            printer,
            touched: Bitmap::new(),
            chunk: [0; SEND_BYTES_MAX],
        }
    }

    /// Whether it may have to wait, for a sink that blocks. Then only its own thread may sit here.
    pub fn may_block(&self) -> bool {
        self.printer.is_some()
    }

    /// Processes one batch of what comes first; false: nothing waits. `sitter` is the worker that does it, or none.
    pub fn turn(&mut self, hub: &Hub, sitter: Option<usize>) -> bool {
        if !hub.queue.pick(&mut self.batch) {
            return false;
        }
        self.format(hub);
        self.print();
        self.deliver(hub, sitter);
        self.acknowledge(hub);
        self.send(hub, sitter);
        true
    }

    /// Writes the lines, if anybody wants them.
    fn format(&mut self, hub: &Hub) {
        self.lines.clear();
        self.places.clear();
        if self.printer.is_none() && hub.joined.is_empty() && !log::log_enabled!(log::Level::Trace) {
            return;
        }
        for (rank, picked) in self.batch.runs() {
            let (from, priority) = (hub.name(picked.item.client()), picked.priority);
            for (id, slot) in (self.first_id + rank as u64..).zip(picked.item.messages()) {
                log::trace!("message {id} {priority} {from} {}", Escaped(slot.text()));
                // There is room for a batch of the longest lines.
                let place = reply::msg(self.lines, id, priority, &from, slot.text()).unwrap_or_default();
                let _ = self.places.push(place);
            }
        }
    }

    /// Prints the lines; the messages whose lines could not be printed are not accepted.
    fn print(&mut self) {
        self.accepted = self.batch.messages();
        if let Some(printer) = &mut self.printer {
            let printed = printer.print(self.lines);
            self.accepted = self.places.iter().take_while(|place| place.end <= printed).count();
        }
    }

    /// Puts the lines of what was accepted into the outboxes of those who joined.
    fn deliver(&mut self, hub: &Hub, sitter: Option<usize>) {
        let mut all = Delivery::default();
        hub.joined.for_each(|seat| {
            let to_one = self.deliver_to(seat, hub, sitter);
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
    fn deliver_to(&mut self, seat: usize, hub: &Hub, sitter: Option<usize>) -> Delivery {
        let Self { batch, lines, places, accepted, touched, chunk, .. } = self;
        let (mut outbox, mut delivery) = (hub.outboxes[seat].lock(), Delivery::default());
        let Some(min) = outbox.joined() else { return delivery };
        let mut takes_more = true;
        for (rank, run) in batch.runs() {
            // None were written if nobody had joined then.
            let ranks = rank..rank + accepted_of(&run.item, rank, *accepted);
            let Some(places @ [first, ..]) = places.get(ranks) else { break };
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
            for place in places {
                let line = &lines[place.clone()];
                if takes_more && !outbox.has_room_for_msg(line) {
                    if courier::send(&mut outbox, chunk) != Next::Nothing {
                        // A bell is rung by a system call.
                        MutexGuard::unlocked(&mut outbox, || hub.attention.call_from(sitter, seat));
                    }
                    if outbox.joined() != Some(min) {
                        return delivery;
                    }
                    takes_more = outbox.has_room_for_msg(line);
                }
                *(if outbox.deliver(line) { &mut delivery.done } else { &mut delivery.lost }) += 1;
            }
        }
        delivery
    }

    /// Brings the slots home with their replies.
    fn acknowledge(&mut self, hub: &Hub) {
        self.count(hub);
        let (first_id, accepted) = (self.first_id, self.accepted);
        self.first_id += self.batch.messages() as u64;
        for (rank, picked) in self.batch.drain() {
            let seat = picked.item.client();
            self.touched.insert(seat);
            let lines = picked.item.lines();
            let refused_from = lines.start + accepted_of(&picked.item, rank, accepted) as u64;
            hub.outboxes[seat].lock().close(picked.item, |out| {
                reply::acks(out, lines.start..refused_from, first_id + rank as u64);
                (refused_from..lines.end).for_each(|line| reply::nak(out, line, Nak::PrintFailed));
            });
        }
    }

    fn count(&self, hub: &Hub) {
        let now_ns = clock::now_ns();
        let mut ledger = hub.ledger.lock();
        for (rank, picked) in self.batch.runs() {
            let accepted = accepted_of(&picked.item, rank, self.accepted);
            if accepted > 0 {
                ledger.processed(accepted, picked.priority, now_ns.saturating_sub(picked.stamp_ns));
            }
        }
        ledger.handled += self.batch.messages() as u64;
        ledger.refused[Nak::PrintFailed.index()] += (self.batch.messages() - self.accepted) as u64;
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
