//! The consumer: the one who processes. It picks a batch of what comes first, numbers it, feeds the sinks, answers, and
//! sends, in that order; so whoever has an ACK knows that every sink has the message.

use super::Hub;
use super::courier::{self, Chunk};
use super::outbox::Next;
use super::printer::Printer;
use crate::clock;
use crate::limits::{BATCH, BATCH_BYTES_MAX, CLIENT_WORDS, CLIENTS, SEND_BYTES_MAX};
use crate::queue::{Batch, Picked, Slot};
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

/// The consumer and what it works with. It is a seat more than a thread: whoever has it processes, one at a time.
pub struct Consumer {
    /// What is being processed; its messages have the IDs from `first_id` on.
    batch: Batch<&'static mut Slot>,
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

    fn ids(&self) -> impl Iterator<Item = u64> + use<> {
        let first = self.first_id;
        first..first + self.batch.len() as u64
    }

    /// Writes the lines, if anybody wants them.
    fn format(&mut self, hub: &Hub) {
        self.lines.clear();
        self.places.clear();
        if self.printer.is_none() && hub.joined.is_empty() && !log::log_enabled!(log::Level::Trace) {
            return;
        }
        for (id, message) in self.ids().zip(&self.batch) {
            let Picked { item: slot, priority, .. } = message;
            let from = hub.name(slot.client());
            log::trace!("message {id} {priority} {from} {}", Escaped(slot.text()));
            // There is room for a batch of the longest lines.
            let place = reply::msg(self.lines, id, *priority, &from, slot.text()).unwrap_or_default();
            let _ = self.places.push(place);
        }
    }

    /// Prints the lines; the messages whose lines could not be printed are not accepted.
    fn print(&mut self) {
        self.accepted = self.batch.len();
        if let Some(printer) = &mut self.printer {
            let printed = printer.print(self.lines);
            self.accepted = self.places.iter().take_while(|place| place.end <= printed).count();
        }
    }

    /// Puts the lines of what was accepted into the outboxes of those who joined. A batch may be more than an outbox
    /// holds: what is in it is sent then, and a line is lost only if the socket does not take that.
    fn deliver(&mut self, hub: &Hub, sitter: Option<usize>) {
        let Self { batch, lines, places, accepted, touched, chunk, .. } = self;
        let (mut delivered, mut lost) = (0, 0);
        hub.joined.for_each(|seat| {
            let mut outbox = hub.outboxes[seat].lock();
            let Some(min) = outbox.joined() else { return };
            let mut takes_more = true;
            for (message, place) in batch.iter().zip(&*places).take(*accepted) {
                if message.priority < min || message.item.client() == seat {
                    continue;
                }
                touched.insert(seat);
                let line = &lines[place.clone()];
                if takes_more && !outbox.has_room_for_msg(line) {
                    if courier::send(&mut outbox, chunk) != Next::Nothing {
                        // A bell is rung by a system call.
                        MutexGuard::unlocked(&mut outbox, || hub.attention.call_from(sitter, seat));
                    }
                    if outbox.joined() != Some(min) {
                        return;
                    }
                    takes_more = outbox.has_room_for_msg(line);
                }
                let fits = outbox.deliver(line);
                *(if fits { &mut delivered } else { &mut lost }) += 1;
            }
        });
        if delivered + lost > 0 {
            let mut ledger = hub.ledger.lock();
            ledger.msgs_sent += delivered;
            ledger.msgs_lost += lost;
        }
    }

    /// Brings the slots home with their replies.
    fn acknowledge(&mut self, hub: &Hub) {
        self.count(hub);
        let ids = self.ids();
        self.first_id += self.batch.len() as u64;
        let mut messages = ids.enumerate().zip(self.batch.drain(..)).peekable();
        while let Some((_, first)) = messages.peek() {
            let seat = first.item.client();
            self.touched.insert(seat);
            let mut outbox = hub.outboxes[seat].lock();
            // The messages of one client often come in a row: one lock for all of them.
            while let Some(((rank, id), Picked { item: slot, .. })) =
                messages.next_if(|(_, next)| next.item.client() == seat)
            {
                let line = slot.line();
                outbox.close(slot, |out| match rank < self.accepted {
                    true => reply::ack(out, line, id),
                    false => reply::nak(out, line, Nak::PrintFailed),
                });
            }
        }
    }

    fn count(&self, hub: &Hub) {
        let now_ns = clock::now_ns();
        let mut ledger = hub.ledger.lock();
        for message in &self.batch[..self.accepted] {
            ledger.processed(message.priority, now_ns.saturating_sub(message.stamp_ns));
        }
        ledger.refused[Nak::PrintFailed.index()] += (self.batch.len() - self.accepted) as u64;
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
