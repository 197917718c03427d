//! The table of tasks, as threads share it. Sends tasks to handlers, and replies to the senders of tasks that are not
//! done. A task that is done goes to the queue of the consumer, like any other message.

use crate::conn_id::ConnId;
use crate::hub::clients::sender_of;
use crate::hub::egress::send_waits::SendWaits;
use crate::hub::egress::text_reply::reply_with_text;
use crate::hub::handling::entry::TaskKey;
use crate::hub::handling::fate::{Ended, Fate, Rules};
use crate::hub::handling::handlers::{ConnIds, HandlersFull};
use crate::hub::handling::offer::{Given, Offer, Status};
use crate::hub::handling::parts::TaskParts;
use crate::hub::handling::table::TaskTable;
use crate::limits::{BATCH, IN_FLIGHT, QUEUE_MAX, TASK_BYTES_MAX};
use crate::protocol::Priority;
use crate::protocol::handler_text::HandlerText;
use crate::protocol::reply::{self, Nak};
use crate::queue::{Chain, Order, TaskId};
use crate::sync::{Mutex, MutexGuard};
use heapless::Vec;

/// The table of all tasks.
pub type Table = TaskTable<Chain, QUEUE_MAX>;

/// The tasks, as threads share them.
pub struct SharedTasks {
    /// The least priority of the messages that handlers process.
    min: Priority,
    table: &'static Mutex<Table>,
}

impl SharedTasks {
    /// Handlers process the messages of priority `min` and above. The table must be empty.
    pub fn new(min: Priority, table: &'static Mutex<Table>, rules: Rules, order: Order) -> Self {
        table.lock().configure(rules, order);
        Self { min, table }
    }

    /// The least priority of the messages that handlers process.
    pub fn min(&self) -> Priority {
        self.min
    }

    /// Whether handlers process messages of that priority.
    pub fn handles(&self, priority: Priority) -> bool {
        priority >= self.min
    }

    /// The mutex of the table. Only for models, in which each hub has its own table.
    pub fn shared_table(&self) -> &'static Mutex<Table> {
        self.table
    }

    /// The table, locked. The caller must take no other lock meanwhile.
    pub fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock()
    }

    // ---- From the senders ------------------------------------------------------------------------------

    /// Admits messages at the time `now_ns`, and wakes the handlers that are free for them. In a shutdown, it refuses
    /// the messages.
    pub fn admit(&self, tasks: impl Iterator<Item = Chain>, now_ns: u64, parts: &TaskParts<'_>) {
        let (mut refused, mut highest) = (Vec::<Chain, IN_FLIGHT>::new(), None);
        let mut table = self.table.lock();
        for task in tasks {
            let priority = task.priority();
            match table.admit(task, priority, now_ns) {
                Ok(()) => highest = highest.max(Some(priority)),
                // The push cannot fail: a client has no more slots than that.
                Err(task) => {
                    let _ = refused.push(task);
                }
            }
        }
        let free = highest.map_or_else(ConnIds::new, |priority| table.handlers().free_for(priority));
        unlock(table, &free, parts);
        for task in refused {
            refuse(task, Nak::ShuttingDown, parts);
        }
    }

    // ---- From the handlers -----------------------------------------------------------------------------

    /// Makes a client a handler that wants tasks of priority `min` and above, up to `count` at once, or changes what
    /// it wants.
    ///
    /// # Errors
    /// The client is no handler yet, and there are too many already.
    pub fn set_handler(&self, conn: ConnId, min: Priority, count: usize) -> Result<(), HandlersFull> {
        self.table.lock().set_handler(conn, min, count)
    }

    /// Records that a client wants no more tasks. It keeps those that it has.
    pub fn stop_handler(&self, conn: ConnId) {
        self.table.lock().stop_handler(conn);
    }

    /// The tasks of a handler, or `None` if the client is no handler and has no tasks.
    pub fn status(&self, conn: ConnId) -> Option<Status> {
        self.table.lock().status(conn)
    }

    /// Gives a handler its next task, with the number in `key`, at the time `now_ns`: puts the line into its outbox.
    pub fn give(&self, key: TaskKey, now_ns: u64, parts: &TaskParts<'_>) -> Given {
        self.table.lock().give(key, now_ns, |offer| put(key.conn, &offer, parts))
    }

    /// Passes a task that a handler has done to the queue of the consumer, and keeps the text for the sender. Returns
    /// false if the handler has no such task. The caller's duties are those after
    /// [`Queue::complete`](crate::queue::Queue::complete).
    ///
    /// The table stays locked until the queue has the task, so that a thread that reads first the table and then the
    /// queue finds the task.
    pub fn finish(&self, key: TaskKey, text: HandlerText, now_ns: u64, parts: &TaskParts<'_>) -> bool {
        let mut table = self.table.lock();
        table.note_word(key.conn);
        let finished = table.finish(key, text, now_ns);
        let is_task = finished.is_some();
        finished.into_iter().for_each(|task| parts.queue.complete(task));
        is_task
    }

    /// Ends a task that a handler has not done, with a text for the sender. Returns false if the handler has no such
    /// task. The sender gets the text only if the task is refused, and if no other handler may have done it.
    pub fn end(
        &self,
        key: TaskKey,
        why: Ended,
        text: &HandlerText,
        now_ns: u64,
        parts: &TaskParts<'_>,
    ) -> bool {
        let mut table = self.table.lock();
        table.note_word(key.conn);
        let Some(fate) = table.end(key, why, now_ns) else { return false };
        match settle(table, fate, parts) {
            Some((task, Nak::HandlerRefused)) => refuse_with(task, text, parts),
            Some((task, reason)) => refuse(task, reason, parts),
            None => {}
        }
        true
    }

    /// Restarts the time of a task, and returns how much time the handler has now, in nanoseconds. Returns `None` if
    /// the handler has no such task.
    pub fn extend(&self, key: TaskKey, now_ns: u64) -> Option<u64> {
        let mut table = self.table.lock();
        table.note_word(key.conn);
        table.extend(key, now_ns)
    }

    /// Ends all tasks of a handler whose connection ends, for the reason `why`, and returns how many it had.
    pub fn lose(&self, conn: ConnId, why: Ended, now_ns: u64, parts: &TaskParts<'_>) -> usize {
        self.end_each(|table| table.lose(conn, why, now_ns), parts)
    }

    /// Ends the tasks of a handler that exceed their time, and returns how many there were.
    pub fn time_out(&self, conn: ConnId, now_ns: u64, parts: &TaskParts<'_>) -> usize {
        self.end_each(|table| table.time_out(conn, now_ns), parts)
    }

    /// Ends tasks with `end` until it returns `None`, and returns their number.
    fn end_each(
        &self,
        mut end: impl FnMut(&mut Table) -> Option<Fate<Chain>>,
        parts: &TaskParts<'_>,
    ) -> usize {
        let mut ended = 0;
        loop {
            let mut table = self.table.lock();
            let Some(fate) = end(&mut table) else { return ended };
            if let Some((task, reason)) = settle(table, fate, parts) {
                refuse(task, reason, parts);
            }
            ended += 1;
        }
    }

    // ---- From the delivery and the acceptor ------------------------------------------------------------

    /// Frees the entry of a task that is done, and returns its handler's text for the sender.
    pub fn release(&self, id: TaskId, now_ns: u64, parts: &TaskParts<'_>) -> HandlerText {
        let mut table = self.table.lock();
        let (text, lacking) = table.release(id, now_ns);
        unlock(table, &lacking, parts);
        text
    }

    /// When [`run_deadlines`](Self::run_deadlines) has something to do, in nanoseconds.
    pub fn due_ns(&self) -> Option<u64> {
        self.table.lock().due_ns()
    }

    /// Refuses the messages that no handler took in time, at most [`BATCH`] in a call. Wakes the free handlers for
    /// which a task is ready.
    pub fn run_deadlines(&self, now_ns: u64, parts: &TaskParts<'_>) {
        let mut expired = Vec::<(Chain, Nak), BATCH>::new();
        let mut table = self.table.lock();
        let ready = table.run_deadlines(now_ns, &mut expired);
        // No wake-up is needed: the caller reads the next deadline itself.
        table.take_due_change();
        unlock(table, &ready, parts);
        for (task, reason) in expired {
            refuse(task, reason, parts);
        }
    }

    // ---- The shutdown ----------------------------------------------------------------------------------

    /// Stops admitting and giving tasks. Refuses the tasks that wait, and returns their number.
    pub fn drain(&self, parts: &TaskParts<'_>) -> usize {
        self.table.lock().drain();
        let mut waiting = 0;
        while let Some((task, reason)) = { self.table.lock().take_waiting() } {
            refuse(task, reason, parts);
            waiting += 1;
        }
        waiting
    }

    /// Takes the tasks from their handlers, refuses them, and returns how many there were.
    pub fn refuse_given(&self, parts: &TaskParts<'_>) -> usize {
        let mut given = 0;
        while let Some((task, reason, handler)) = { self.table.lock().take_given() } {
            refuse(task, reason, parts);
            parts.wakeups.wake_from(parts.caller, handler);
            given += 1;
        }
        given
    }
}

/// Puts the line of a task into a handler's outbox. Returns false if there is no room now.
fn put(conn: ConnId, offer: &Offer<'_, Chain>, parts: &TaskParts<'_>) -> bool {
    let (task, from) = (offer.item.messages(), sender_of(offer.item, parts.clients));
    let text = task.first().map_or(&[][..], |slot| slot.text());
    let mut line = Vec::<u8, TASK_BYTES_MAX>::new();
    let left_ms = offer.left_ns / 1_000_000;
    // It fits.
    let _ = reply::task(&mut line, offer.number, offer.priority, left_ms, &from, text);
    parts.outboxes[conn].lock().put_task(&line)
}

/// Unlocks the table. Then wakes the acceptor's thread if the next deadline has become earlier, and the handlers.
fn unlock(mut table: MutexGuard<'_, Table>, handlers: &ConnIds, parts: &TaskParts<'_>) {
    let is_due_earlier = table.take_due_change();
    drop(table);
    if is_due_earlier {
        parts.vacancies.wake();
    }
    handlers.iter().for_each(|conn| parts.wakeups.wake_from(parts.caller, *conn));
}

/// Unlocks the table and applies the fate of a task. If the task has to be refused, returns it with the reason.
///
/// For a task that a handler may get now, this wakes all handlers that are free for it, because any one of them may
/// have no room in its outbox or be about to leave. For a task that pauses, the acceptor's thread wakes them when the
/// pause is over.
fn settle(table: MutexGuard<'_, Table>, fate: Fate<Chain>, parts: &TaskParts<'_>) -> Option<(Chain, Nak)> {
    let free = match &fate {
        Fate::PutBack(priority) => table.handlers().free_for(*priority),
        Fate::Paused | Fate::Refused(..) => ConnIds::new(),
    };
    unlock(table, &free, parts);
    match fate {
        Fate::Refused(task, reason) => Some((task, reason)),
        Fate::PutBack(_) | Fate::Paused => None,
    }
}

/// Sends the NAK of a task to its sender, and releases the slot.
fn refuse(task: Chain, reason: Nak, parts: &TaskParts<'_>) {
    parts.counters.lock().refused[reason.index()] += 1;
    let (conn, line) = (task.client(), task.lines().start);
    parts.outboxes[conn].lock().reply(task, |out| reply::nak(out, line, reason));
    parts.wakeups.wake_from(parts.caller, conn);
}

/// As [`refuse`], for a task that its handler refuses with a text for the sender.
fn refuse_with(task: Chain, text: &HandlerText, parts: &TaskParts<'_>) {
    const REASON: Nak = Nak::HandlerRefused;
    parts.counters.lock().refused[REASON.index()] += 1;
    let (conn, line) = (task.client(), task.lines().start);
    let reply = |out: &mut _, room| reply::nak_with(out, line, REASON, text, room);
    // If the socket is full or broken, the sender's worker notices that itself.
    let waits = &mut SendWaits::default();
    let _ = reply_with_text(&mut parts.outboxes[conn].lock(), waits, task, text, reply);
    parts.wakeups.wake_from(parts.caller, conn);
}
