//! The table of tasks, as threads share it. Sends tasks to handlers, and replies to the senders of tasks that are not
//! done. A task that is done goes to the queue of the consumer, like any other message.

use crate::conn_id::ConnId;
use crate::hub::Hub;
use crate::hub::handling::entry::TaskKey;
use crate::hub::handling::fate::{Ended, Fate, Rules};
use crate::hub::handling::handlers::{ConnIds, HandlersFull};
use crate::hub::handling::offer::{Given, Offer, Status};
use crate::hub::handling::table::TaskTable;
use crate::hub::workers::Caller;
use crate::limits::{BATCH, IN_FLIGHT, QUEUE_MAX, TASK_BYTES_MAX, TEXT_REPLY_BYTES_MAX};
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
    /// Handlers are to process the messages of priority `min` and above. The table must be empty.
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

    /// The mutex of the table, for models: each of their hubs has a table of its own.
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
    pub fn admit(&self, tasks: impl Iterator<Item = Chain>, now_ns: u64, hub: &Hub, caller: Caller) {
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
        release(table, &free, hub, caller);
        for task in refused {
            refuse(task, Nak::ShuttingDown, &HandlerText::NONE, hub, caller);
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

    /// The tasks of a handler; none: the client is no handler, and has no tasks.
    pub fn status(&self, conn: ConnId) -> Option<Status> {
        self.table.lock().status(conn)
    }

    /// Gives a handler its next task, with the number in `key`, at the time `now_ns`: puts the line into its outbox.
    pub fn give(&self, key: TaskKey, now_ns: u64, hub: &Hub) -> Given {
        self.table.lock().give(key, now_ns, |offer| put(key.conn, &offer, hub))
    }

    /// Passes a task that a handler has done to the queue of the consumer, and keeps the text for the sender; false:
    /// the handler has no such task. The caller's duties are those after
    /// [`Queue::complete`](crate::queue::Queue::complete).
    pub fn finish(&self, key: TaskKey, text: HandlerText, now_ns: u64, hub: &Hub) -> bool {
        let mut table = self.table.lock();
        table.note_word(key.conn);
        let finished = table.finish(key, text, now_ns);
        drop(table);
        let is_task = finished.is_some();
        finished.into_iter().for_each(|task| hub.queue.complete(task));
        is_task
    }

    /// Ends a task that a handler has not done, with a text for the sender; false: the handler has no such task.
    pub fn end(
        &self,
        key: TaskKey,
        why: Ended,
        text: &HandlerText,
        now_ns: u64,
        hub: &Hub,
        caller: Caller,
    ) -> bool {
        let mut table = self.table.lock();
        table.note_word(key.conn);
        let fate = table.end(key, why, now_ns);
        settle(table, fate, text, hub, caller)
    }

    /// Restarts the time of a task, and returns how much the handler has now, in nanoseconds; none: the handler has no
    /// such task.
    pub fn extend(&self, key: TaskKey, now_ns: u64) -> Option<u64> {
        let mut table = self.table.lock();
        table.note_word(key.conn);
        table.extend(key, now_ns)
    }

    /// Ends all tasks of a handler whose connection ends, for the reason `why`, and returns how many it had.
    pub fn lose(&self, conn: ConnId, why: Ended, now_ns: u64, hub: &Hub, caller: Caller) -> usize {
        let mut lost = 0;
        loop {
            let mut table = self.table.lock();
            let fate = table.lose(conn, why, now_ns);
            if !settle(table, fate, &HandlerText::NONE, hub, caller) {
                return lost;
            }
            lost += 1;
        }
    }

    /// Ends the tasks of a handler that exceed their time, and returns how many there were.
    pub fn time_out(&self, conn: ConnId, now_ns: u64, hub: &Hub, caller: Caller) -> usize {
        let mut late = 0;
        loop {
            let mut table = self.table.lock();
            let fate = table.time_out(conn, now_ns);
            if !settle(table, fate, &HandlerText::NONE, hub, caller) {
                return late;
            }
            late += 1;
        }
    }

    // ---- From the delivery and the acceptor ------------------------------------------------------------

    /// Frees the entry of a task that is done, and returns its handler's text for the sender.
    pub fn release(&self, id: TaskId, now_ns: u64, hub: &Hub, caller: Caller) -> HandlerText {
        let mut table = self.table.lock();
        let (text, lacking) = table.release(id, now_ns);
        release(table, &lacking, hub, caller);
        text
    }

    /// When [`run_deadlines`](Self::run_deadlines) has something to do, in nanoseconds.
    pub fn due_ns(&self) -> Option<u64> {
        self.table.lock().due_ns()
    }

    /// Refuses the messages that no handler took in time, at most [`BATCH`] in a call. Wakes the free handlers for
    /// which a task is ready.
    pub fn run_deadlines(&self, now_ns: u64, hub: &Hub) {
        let mut expired = Vec::<Chain, BATCH>::new();
        let mut table = self.table.lock();
        let ready = table.run_deadlines(now_ns, &mut expired);
        // No wake-up is needed: the caller reads the next deadline itself.
        table.take_due_change();
        release(table, &ready, hub, Caller::OwnThread);
        for task in expired {
            refuse(task, Nak::NoHandler, &HandlerText::NONE, hub, Caller::OwnThread);
        }
    }

    // ---- The shutdown ----------------------------------------------------------------------------------

    /// Stops admitting and giving tasks. Refuses those that wait, and returns how many there were.
    pub fn drain(&self, hub: &Hub) -> usize {
        self.table.lock().drain();
        let mut waiting = 0;
        while let Some(task) = { self.table.lock().take_waiting() } {
            refuse(task, Nak::ShuttingDown, &HandlerText::NONE, hub, Caller::OwnThread);
            waiting += 1;
        }
        waiting
    }

    /// Takes the tasks from their handlers, refuses them, and returns how many there were.
    pub fn refuse_given(&self, hub: &Hub) -> usize {
        let mut given = 0;
        while let Some((task, handler)) = { self.table.lock().take_given() } {
            refuse(task, Nak::ShuttingDown, &HandlerText::NONE, hub, Caller::OwnThread);
            hub.wakeups.wake(handler);
            given += 1;
        }
        given
    }
}

/// Puts the line of a task into a handler's outbox; false: there is no room now.
fn put(conn: ConnId, offer: &Offer<'_, Chain>, hub: &Hub) -> bool {
    let (task, from) = (offer.item.messages(), hub.sender(offer.item));
    let text = task.first().map_or(&[][..], |slot| slot.text());
    let mut line = Vec::<u8, TASK_BYTES_MAX>::new();
    let left_ms = offer.left_ns / 1_000_000;
    // It fits.
    let _ = reply::task(&mut line, offer.number, offer.priority, left_ms, &from, text);
    hub.outboxes[conn].lock().put_task(&line)
}

/// Unlocks the table. Then wakes the acceptor's thread if the next deadline has become earlier, and the handlers.
fn release(mut table: MutexGuard<'_, Table>, handlers: &ConnIds, hub: &Hub, caller: Caller) {
    let is_due_earlier = table.take_due_change();
    drop(table);
    if is_due_earlier {
        hub.vacancies.wake();
    }
    handlers.iter().for_each(|conn| hub.wakeups.wake_from(caller, *conn));
}

/// Unlocks the table and carries out the fate of a task; false: there was no task.
fn settle(
    table: MutexGuard<'_, Table>,
    fate: Option<Fate<Chain>>,
    text: &HandlerText,
    hub: &Hub,
    caller: Caller,
) -> bool {
    let free = match &fate {
        Some(Fate::PutBack(priority)) => table.handlers().free_for(*priority),
        Some(Fate::Refused(..)) | None => ConnIds::new(),
    };
    release(table, &free, hub, caller);
    let is_task = fate.is_some();
    if let Some(Fate::Refused(task, reason)) = fate {
        refuse(task, reason, text, hub, caller);
    }
    is_task
}

/// Sends the NAK of a task to its sender, and releases the slot.
fn refuse(task: Chain, reason: Nak, text: &HandlerText, hub: &Hub, caller: Caller) {
    hub.counters.lock().refused[reason.index()] += 1;
    let (conn, line) = (task.client(), task.lines().start);
    let reply = |out: &mut _, room| reply::nak_with(out, line, reason, text, room);
    hub.outboxes[conn].lock().reply_at_length(task, TEXT_REPLY_BYTES_MAX, reply);
    hub.wakeups.wake_from(caller, conn);
}
