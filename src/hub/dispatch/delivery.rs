//! Delivers the messages that the sinks have accepted: MSG lines to the clients that have joined, and replies to the
//! senders.

use crate::clock;
use crate::conn_id::{ConnId, ConnSet};
use crate::hub::dispatch::commit_group::{CommitGroup, LineSpan, NumberedBatch, accepted_in};
use crate::hub::egress::flush::flush_or_await;
use crate::hub::egress::outbox::Outbox;
use crate::hub::egress::send_state::FlushStatus;
use crate::hub::egress::send_waits::SendWaits;
use crate::hub::egress::shared_outbox::LockedOutbox;
use crate::hub::egress::subscription::Subscription;
use crate::hub::egress::text_reply::reply_with_text;
use crate::hub::shared::Hub;
use crate::hub::workers::caller::Caller;
use crate::limits::CLIENTS;
use crate::protocol::Priority;
use crate::protocol::handler_text::HandlerText;
use crate::protocol::reply::{self, Nak};
use crate::queue::{Chain, Run, TaskId};

/// A batch, its lines, and the span of each message's line.
type Formatted<'a> = (&'a mut NumberedBatch, &'a [u8], &'a [LineSpan]);

/// How many lines were put into outboxes, and how many were lost.
#[derive(Default)]
struct Count {
    delivered: u64,
    lost: u64,
}

/// Delivers to one client whose outbox has no room for a whole run. A batch may be larger than an outbox: then this
/// flushes the outbox, and a line is lost only if the socket does not accept the bytes of the outbox, or if the
/// delivery has waited too long for sends of other threads ([`SendWaits`]).
struct LineByLine<'a> {
    conn: ConnId,
    hub: &'a Hub,
    caller: Caller,
    waits: &'a mut SendWaits,
    /// Whether a flush may still make room.
    may_make_room: bool,
}

impl LineByLine<'_> {
    /// Delivers the line of message `id`. Returns false if the line is lost, and `None` if the client does not receive
    /// it, because the client fell behind or changed its subscription while the lock was released.
    fn deliver(
        &mut self,
        outbox: &mut LockedOutbox<'_>,
        id: u64,
        priority: Priority,
        line: &[u8],
    ) -> Option<bool> {
        if self.may_make_room && !outbox.has_room_for_msg(line) {
            let has_room = |outbox: &Outbox| outbox.has_room_for_msg(line);
            if flush_or_await(has_room, self.waits, outbox) != FlushStatus::Nothing {
                self.wake(outbox);
            }
            self.may_make_room = outbox.has_room_for_msg(line);
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

    /// Wakes the worker. That is a system call, so the lock is released meanwhile.
    fn wake(&self, outbox: &mut LockedOutbox<'_>) {
        outbox.unlocked(|| self.hub.wakeups.wake_from(self.caller, self.conn));
    }
}

/// Delivers groups, one after the other.
pub struct Delivery {
    /// Connections with new bytes in their outboxes.
    touched: ConnSet,
    /// How long it has waited for sends of other threads.
    waits: SendWaits,
}

impl Delivery {
    /// A delivery that has delivered nothing yet.
    #[expect(clippy::new_without_default, reason = "startup makes the only one")]
    pub fn new() -> Self {
        Self { touched: ConnSet::new(), waits: SendWaits::default() }
    }

    /// Delivers a processed group. `caller` is the thread that does it.
    pub fn deliver_all(&mut self, group: &mut CommitGroup, hub: &Hub, caller: Caller) {
        for index in 0..group.batches().len() {
            self.deliver(group, index, hub, caller);
            self.acknowledge(&mut group.batches()[index], hub, caller);
            // After each batch, so that its clients get their replies at once, and can send more lines while the later
            // batches are delivered.
            self.send(hub, caller);
        }
    }

    /// Puts the lines of the accepted messages into the outboxes of the clients that have joined.
    fn deliver(&mut self, group: &mut CommitGroup, index: usize, hub: &Hub, caller: Caller) {
        if hub.joined.is_empty() && !CommitGroup::is_logged() {
            return;
        }
        let formatted = group.formatted(index, hub);
        let mut all = Count::default();
        hub.joined.for_each(|conn| {
            let to_one = self.deliver_to(conn, &formatted, hub, caller);
            all.delivered += to_one.delivered;
            all.lost += to_one.lost;
        });
        if all.delivered + all.lost > 0 {
            let mut counters = hub.counters.lock();
            counters.msgs_sent += all.delivered;
            counters.msgs_lost += all.lost;
        }
    }

    /// Puts the lines into one outbox: the lines of a run together if they fit, or else [line by line](LineByLine).
    fn deliver_to(&mut self, conn: ConnId, formatted: &Formatted, hub: &Hub, caller: Caller) -> Count {
        let (numbered, lines, spans) = formatted;
        let (mut outbox, mut count) = (hub.outboxes[conn].lock(), Count::default());
        let mut by_line = LineByLine { conn, hub, caller, waits: &mut self.waits, may_make_room: true };
        for (index, run) in numbered.batch.runs() {
            // Read anew for each run: the client may have changed it while the lock was released.
            let Subscription::Live { min, live_from, .. } = outbox.subscriber.state() else { break };
            let first_index =
                live_from.saturating_sub(numbered.first_id).min(numbered.batch.messages() as u64) as usize;
            let end = index + numbered.accepted_in(&run.item, index);
            // The first live message of the client may be in the middle of a run.
            let index = index.max(first_index);
            let Some(spans @ [first, ..]) = spans.get(index..end) else { continue };
            if run.priority < min || run.item.client() == conn {
                continue;
            }
            self.touched.insert(conn);
            let together = &lines[first.start..spans[spans.len() - 1].end];
            if outbox.has_room_for_msg(together) {
                outbox.deliver(together);
                count.delivered += spans.len() as u64;
                continue;
            }
            for (id, span) in (numbered.first_id + index as u64..).zip(spans) {
                match by_line.deliver(&mut outbox, id, run.priority, &lines[span.clone()]) {
                    Some(true) => count.delivered += 1,
                    Some(false) => count.lost += 1,
                    None => {}
                }
            }
        }
        count
    }

    /// Releases the slots with their replies.
    fn acknowledge(&mut self, numbered: &mut NumberedBatch, hub: &Hub, caller: Caller) {
        count_processed(numbered, hub);
        let (first_id, accepted, reason) = (numbered.first_id, numbered.accepted, numbered.reason);
        for (index, picked) in numbered.batch.drain() {
            let conn = picked.item.client();
            self.touched.insert(conn);
            let (lines, is_lowered) = (picked.item.lines(), picked.item.is_lowered());
            let refused_from = lines.start + accepted_in(&picked.item, index, accepted) as u64;
            if let Some(id) = picked.task {
                let id_of_message = (refused_from > lines.start).then_some(first_id + index as u64);
                self.acknowledge_task(picked.item, id, id_of_message, hub, caller);
                continue;
            }
            hub.outboxes[conn].lock().reply(picked.item, |out| {
                reply::acks(out, lines.start..refused_from, first_id + index as u64, is_lowered);
                (refused_from..lines.end).for_each(|line| reply::nak(out, line, reason));
            });
        }
    }

    /// Releases the slot of a task that a handler has done, with the handler's text in the reply. If it has no ID, a
    /// sink has failed: the sender must not send the message again, because it is done.
    fn acknowledge_task(
        &mut self,
        task: Chain,
        id: TaskId,
        id_of_message: Option<u64>,
        hub: &Hub,
        caller: Caller,
    ) {
        let Some(tasks) = &hub.tasks else { return };
        let text = tasks.release(id, clock::now_ns(), &hub.task_parts(caller));
        let (line, is_lowered) = (task.lines().start, task.is_lowered());
        let conn = task.client();
        let reply = |out: &mut _, room| match id_of_message {
            Some(id) => reply::ack_with(out, line, id, is_lowered, &text, room),
            None => reply::nak(out, line, Nak::HandlerUnrecorded),
        };
        // If a sink has failed, the reply contains no text, so it needs no more room than is reserved.
        let sent_text = if id_of_message.is_some() { &text } else { &HandlerText::NONE };
        let mut outbox = hub.outboxes[conn].lock();
        let status = reply_with_text(&mut outbox, &mut self.waits, task, sent_text, reply);
        drop(outbox);
        // `send` flushes again, and would not notice that the socket is full or broken already.
        if status != FlushStatus::Nothing {
            hub.wakeups.wake_from(caller, conn);
        }
    }

    /// Flushes the outboxes of all touched connections, and wakes the workers that have work after that.
    fn send(&mut self, hub: &Hub, caller: Caller) {
        self.touched.drain(0..CLIENTS, |conn| hub.send(conn, caller));
    }
}

fn count_processed(numbered: &NumberedBatch, hub: &Hub) {
    let now_ns = clock::now_ns();
    let mut counters = hub.counters.lock();
    for (index, picked) in numbered.batch.runs() {
        let accepted = numbered.accepted_in(&picked.item, index);
        if accepted > 0 {
            counters.record_processed(accepted, picked.priority, now_ns.saturating_sub(picked.stamp_ns));
        }
        let reason = if picked.task.is_some() { Nak::HandlerUnrecorded } else { numbered.reason };
        counters.refused[reason.index()] += (picked.item.len() - accepted) as u64;
    }
    counters.handled += numbered.batch.messages() as u64;
}
