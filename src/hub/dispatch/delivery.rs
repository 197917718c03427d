//! The delivery of what the sinks have accepted: to those who joined, and the answers to those who sent it.

use crate::clock;
use crate::conn_id::{ConnId, ConnSet};
use crate::hub::Hub;
use crate::hub::dispatch::commit_group::{CommitGroup, LineSpan, NumberedBatch, accepted_of};
use crate::hub::egress::flush::{self, Chunk};
use crate::hub::egress::outbox::FlushStatus;
use crate::hub::workers::Caller;
use crate::limits::{CLIENTS, SEND_BYTES_MAX};
use crate::protocol::reply;
use crate::sync::MutexGuard;

/// A batch, its lines, and where that of each message stands there.
type Written<'a> = (&'a mut NumberedBatch, &'a [u8], &'a [LineSpan]);

/// How many lines were put into outboxes, and how many were lost.
#[derive(Default)]
struct Count {
    done: u64,
    lost: u64,
}

/// What delivers, one group after the other.
pub struct Delivery {
    /// Seats that something was put in the outbox of.
    touched: ConnSet,
    chunk: Chunk,
}

impl Delivery {
    /// One that has delivered nothing yet.
    #[expect(clippy::new_without_default, reason = "nobody makes one up")]
    pub fn new() -> Self {
        Self { touched: ConnSet::new(), chunk: [0; SEND_BYTES_MAX] }
    }

    /// Delivers a group that was processed. `caller` is the worker that does it, or none.
    pub fn deliver_all(&mut self, group: &mut CommitGroup, hub: &Hub, caller: Caller) {
        for index in 0..group.works().len() {
            self.deliver(group, index, hub, caller);
            self.acknowledge(&mut group.works()[index], hub);
            // Those that come first hear first, and say the next while the others' are on their way.
            self.send(hub, caller);
        }
    }

    /// Puts the lines of what was accepted into the outboxes of those who joined.
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

    /// Puts the lines into one outbox. A batch may be more than that holds: what is in it is sent then, and a line is
    /// lost only if the socket does not take that.
    fn deliver_to(&mut self, conn: ConnId, written: &Written, hub: &Hub, caller: Caller) -> Count {
        let Self { touched, chunk } = self;
        let (work, lines, places) = written;
        let (mut outbox, mut count) = (hub.outboxes[conn].lock(), Count::default());
        let Some(min) = outbox.joined() else { return count };
        let live_from = outbox.live_from();
        let first_rank = live_from.saturating_sub(work.first_id).min(work.batch.messages() as u64) as usize;
        let mut takes_more = true;
        for (index, run) in work.batch.runs() {
            let end = index + work.accepted_of(&run.item, index);
            // It may have asked for what comes in the middle of a run.
            let index = index.max(first_rank);
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
                let line = &lines[place.clone()];
                if takes_more && !outbox.has_room_for_msg(line) {
                    if flush::flush(&mut outbox, chunk) != FlushStatus::Nothing {
                        // To wake takes a system call.
                        MutexGuard::unlocked(&mut outbox, || hub.wakeups.wake_from(caller, conn));
                    }
                    // It may also have left and joined again: then it has these from the history.
                    if (outbox.joined(), outbox.live_from()) != (Some(min), live_from) {
                        return count;
                    }
                    takes_more = outbox.has_room_for_msg(line);
                }
                if !outbox.has_room_for_msg(line) && outbox.fall_behind(id) {
                    MutexGuard::unlocked(&mut outbox, || hub.wakeups.wake_from(caller, conn));
                    return count;
                }
                *(if outbox.deliver(line) { &mut count.done } else { &mut count.lost }) += 1;
            }
        }
        count
    }

    /// Brings the slots home with their replies.
    fn acknowledge(&mut self, work: &mut NumberedBatch, hub: &Hub) {
        tell_ledger(work, hub);
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

    /// Sends to all whose outbox was touched, and calls their workers where they are to go on.
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

fn tell_ledger(work: &NumberedBatch, hub: &Hub) {
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
