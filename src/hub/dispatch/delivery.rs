//! The delivery of what the sinks have accepted: MSG lines to the clients that joined, and replies to the clients that sent it.

use crate::clock;
use crate::conn_id::{ConnId, ConnSet};
use crate::hub::Hub;
use crate::hub::dispatch::commit_group::{CommitGroup, LineSpan, NumberedBatch, accepted_of};
use crate::hub::egress::flush::{self, Chunk};
use crate::hub::egress::outbox::{FlushStatus, Outbox};
use crate::hub::egress::subscription::Subscription;
use crate::hub::workers::Caller;
use crate::limits::{CLIENTS, SEND_BYTES_MAX};
use crate::protocol::{Priority, reply};
use crate::sync::MutexGuard;

/// A batch, its lines, and the span of each message's line.
type Written<'a> = (&'a mut NumberedBatch, &'a [u8], &'a [LineSpan]);

/// How many lines were put into outboxes, and how many were lost.
#[derive(Default)]
struct Count {
    done: u64,
    lost: u64,
}

/// Delivers to one client that has no room for a whole run. A batch may be more than its outbox holds: the outbox is flushed then, and
/// a line is lost only if the socket does not take what is in it.
struct LineByLine<'a> {
    conn: ConnId,
    hub: &'a Hub,
    caller: Caller,
    chunk: &'a mut Chunk,
    /// Whether a flush may still make room.
    takes_more: bool,
}

impl LineByLine<'_> {
    /// Delivers the line of message `id`; false: it is lost. None: the client is not sent it, because it fell behind, or because it
    /// changed its subscription while the lock was released.
    fn deliver(
        &mut self,
        outbox: &mut MutexGuard<'_, Outbox>,
        id: u64,
        priority: Priority,
        line: &[u8],
    ) -> Option<bool> {
        if self.takes_more && !outbox.has_room_for_msg(line) {
            if flush::flush(outbox, self.chunk) != FlushStatus::Nothing {
                self.wake(outbox);
            }
            self.takes_more = outbox.has_room_for_msg(line);
        }
        if !outbox.subscriber.wants(id, priority) {
            return None;
        }
        if !outbox.has_room_for_msg(line) && outbox.subscriber.fall_behind(id) {
            self.wake(outbox);
            return None;
        }
        Some(outbox.deliver(line))
    }

    /// Wakes the worker. That takes a system call, so the lock is released meanwhile.
    fn wake(&self, outbox: &mut MutexGuard<'_, Outbox>) {
        MutexGuard::unlocked(outbox, || self.hub.wakeups.wake_from(self.caller, self.conn));
    }
}

/// Delivers one group after the other.
pub struct Delivery {
    /// Connections with new bytes in their outboxes.
    touched: ConnSet,
    chunk: Chunk,
}

impl Delivery {
    /// A delivery that has delivered nothing yet.
    #[expect(clippy::new_without_default, reason = "startup makes the only one")]
    pub fn new() -> Self {
        Self { touched: ConnSet::new(), chunk: [0; SEND_BYTES_MAX] }
    }

    /// Delivers a group that was processed. `caller` is the worker whose thread does it, or none.
    pub fn deliver_all(&mut self, group: &mut CommitGroup, hub: &Hub, caller: Caller) {
        for index in 0..group.works().len() {
            self.deliver(group, index, hub, caller);
            self.acknowledge(&mut group.works()[index], hub);
            // The first clients get their replies at once, and can send the next lines while the later batches are delivered.
            self.send(hub, caller);
        }
    }

    /// Puts the lines of the accepted messages into the outboxes of the clients that joined.
    fn deliver(&mut self, group: &mut CommitGroup, index: usize, hub: &Hub, caller: Caller) {
        if hub.joined.is_empty() && !CommitGroup::is_logged() {
            return;
        }
        let written = group.written(index, hub);
        let mut all = Count::default();
        hub.joined.for_each(|conn| {
            let to_one = self.deliver_to(conn, &written, hub, caller);
            all.done += to_one.done;
            all.lost += to_one.lost;
        });
        if all.done + all.lost > 0 {
            let mut counters = hub.counters.lock();
            counters.msgs_sent += all.done;
            counters.msgs_lost += all.lost;
        }
    }

    /// Puts the lines into one outbox: those of a run together if they fit, or else [line by line](LineByLine).
    fn deliver_to(&mut self, conn: ConnId, written: &Written, hub: &Hub, caller: Caller) -> Count {
        let Self { touched, chunk } = self;
        let (work, lines, places) = written;
        let (mut outbox, mut count) = (hub.outboxes[conn].lock(), Count::default());
        let mut slow = LineByLine { conn, hub, caller, chunk, takes_more: true };
        for (index, run) in work.batch.runs() {
            // Anew for each run: the client may have changed it while the lock was released.
            let Subscription::Live { min, live_from, .. } = outbox.subscriber.state() else { break };
            let first_index =
                live_from.saturating_sub(work.first_id).min(work.batch.messages() as u64) as usize;
            let end = index + work.accepted_of(&run.item, index);
            // The first live message of the client may be in the middle of a run.
            let index = index.max(first_index);
            let Some(places @ [first, ..]) = places.get(index..end) else { continue };
            if run.priority < min || run.item.client() == conn {
                continue;
            }
            touched.insert(conn);
            let together = &lines[first.start..places[places.len() - 1].end];
            if outbox.has_room_for_msg(together) {
                outbox.deliver(together);
                count.done += places.len() as u64;
                continue;
            }
            for (id, place) in (work.first_id + index as u64..).zip(places) {
                match slow.deliver(&mut outbox, id, run.priority, &lines[place.clone()]) {
                    Some(true) => count.done += 1,
                    Some(false) => count.lost += 1,
                    None => {}
                }
            }
        }
        count
    }

    /// Releases the slots with their replies.
    fn acknowledge(&mut self, work: &mut NumberedBatch, hub: &Hub) {
        count_processed(work, hub);
        let (first_id, accepted, reason) = (work.first_id, work.accepted, work.reason);
        for (index, picked) in work.batch.drain() {
            let conn = picked.item.client();
            self.touched.insert(conn);
            let (lines, is_lowered) = (picked.item.lines(), picked.item.is_lowered());
            let refused_from = lines.start + accepted_of(&picked.item, index, accepted) as u64;
            hub.outboxes[conn].lock().reply(picked.item, |out| {
                reply::acks(out, lines.start..refused_from, first_id + index as u64, is_lowered);
                (refused_from..lines.end).for_each(|line| reply::nak(out, line, reason));
            });
        }
    }

    /// Flushes all outboxes that were touched, and wakes the workers that have something to do then.
    fn send(&mut self, hub: &Hub, caller: Caller) {
        let Self { touched, chunk } = self;
        touched.drain(0..CLIENTS, |conn| {
            let mut outbox = hub.outboxes[conn].lock();
            let next = flush::flush(&mut outbox, chunk);
            let is_wanted = outbox.is_worker_wanted();
            drop(outbox);
            if is_wanted || next != FlushStatus::Nothing {
                hub.wakeups.wake_from(caller, conn);
            }
        });
    }
}

fn count_processed(work: &NumberedBatch, hub: &Hub) {
    let now_ns = clock::now_ns();
    let mut counters = hub.counters.lock();
    for (index, picked) in work.batch.runs() {
        let accepted = work.accepted_of(&picked.item, index);
        if accepted > 0 {
            counters.processed(accepted, picked.priority, now_ns.saturating_sub(picked.stamp_ns));
        }
    }
    counters.handled += work.batch.messages() as u64;
    counters.refused[work.reason.index()] += (work.batch.messages() - work.accepted) as u64;
}
