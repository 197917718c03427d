//! The table of tasks: those that wait, those that handlers have, and their ends. A state machine: it knows no
//! sockets, no threads and no clock.

use crate::conn_id::ConnId;
use crate::hub::handling::entries::Entries;
use crate::hub::handling::entry::{Phase, TaskKey};
use crate::hub::handling::fate::{Ended, Fate, Rules};
use crate::hub::handling::handlers::{ConnIds, Handlers, HandlersFull};
use crate::hub::handling::offer::{Given, Offer, Status};
use crate::hub::handling::schedule::Schedule;
use crate::hub::handling::stats::{TaskEvent, TaskStats};
use crate::hub::handling::waiting::{Place, WaitingTasks};
use crate::limits::{BATCH, TASK_PAUSE_MS};
use crate::protocol::Priority;
use crate::protocol::handler_text::HandlerText;
use crate::protocol::reply::Nak;
use crate::queue::{Order, Picked, TaskId};
use core::mem;
use heapless::Vec;

/// All tasks and all handlers. `N` tasks may wait. A new table is all zeroes: a static one takes no binary space.
pub struct TaskTable<T, const N: usize> {
    waiting: WaitingTasks<T, N>,
    handlers: Handlers,
    entries: Entries<T>,
    rules: Rules,
    /// The latest time of all calls, in nanoseconds. A thread reads the clock before it locks the table, so another
    /// thread with a later time may lock it first. A task that is ready for that thread stays ready for all later
    /// calls.
    latest_ns: u64,
    /// When a waiting task needs [`run_deadlines`](Self::run_deadlines).
    schedule: Schedule,
    /// A handler got no task because no entry was free.
    lacks_entry: bool,
    is_draining: bool,
    stats: TaskStats,
}

impl<T, const N: usize> Default for TaskTable<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, const N: usize> TaskTable<T, N> {
    /// A table without tasks and handlers.
    pub const fn new() -> Self {
        Self {
            waiting: WaitingTasks::new(),
            handlers: Handlers::new(),
            entries: Entries::new(),
            rules: Rules { wait_ns: 0, time_ns: 0, limit_ns: 0, attempts: 0 },
            latest_ns: 0,
            schedule: Schedule::new(),
            lacks_entry: false,
            is_draining: false,
            stats: TaskStats::new(),
        }
    }

    /// Sets the rules and the order. Call it at the start, before anything is admitted.
    pub fn configure(&mut self, rules: Rules, order: Order) {
        self.rules = rules;
        self.waiting.set_order(order);
    }

    // ---- Waiting ---------------------------------------------------------------------------------------

    /// Admits a message at the time `now_ns`.
    ///
    /// # Errors
    /// Returns the message if the server shuts down, or `N` messages wait already.
    pub fn admit(&mut self, item: T, priority: Priority, now_ns: u64) -> Result<(), T> {
        if self.is_draining {
            return Err(item);
        }
        let now_ns = self.latest(now_ns);
        self.waiting.push(item, priority, now_ns)?;
        self.schedule.add(now_ns + self.rules.wait_ns);
        Ok(())
    }

    /// The time for a call at `now_ns`: no earlier than that of any call before.
    fn latest(&mut self, now_ns: u64) -> u64 {
        self.latest_ns = self.latest_ns.max(now_ns);
        self.latest_ns
    }

    /// When [`run_deadlines`](Self::run_deadlines) has something to do, in nanoseconds.
    pub fn due_ns(&self) -> Option<u64> {
        self.schedule.due_ns()
    }

    /// Whether that time has become earlier since the last call.
    pub fn take_due_change(&mut self) -> bool {
        self.schedule.take_change()
    }

    /// Moves messages that no handler took in time to `expired`, each with the reason for its sender. If not all of
    /// them fit, the others stay due. Returns the handlers to wake: they are free, and a task for them is ready.
    pub fn run_deadlines(&mut self, now_ns: u64, expired: &mut Vec<(T, Nak), BATCH>) -> ConnIds {
        let now_ns = self.latest(now_ns);
        if !self.schedule.is_due(now_ns) {
            return ConnIds::new();
        }
        let room = expired.capacity() - expired.len();
        let due_ns = self.waiting.expire(self.rules.wait_ns, now_ns, room, |task| {
            // This cannot fail: `expire` takes no more than fit.
            let _ = expired.push(task.refuse(Nak::NoHandler));
        });
        self.schedule.set(due_ns, now_ns);
        self.served(now_ns)
    }

    /// The free handlers for which a task is ready.
    fn served(&self, now_ns: u64) -> ConnIds {
        let mut free = self.handlers.free_for(Priority::URGENT);
        free.retain(|conn| {
            let handler = self.handlers.get(*conn);
            handler.is_some_and(|handler| self.waiting.next(handler.min(), now_ns).is_some())
        });
        free
    }

    // ---- Handlers --------------------------------------------------------------------------------------

    /// Makes a client a handler that wants tasks of priority `min` and above, up to `count` at once, or changes what
    /// it wants.
    ///
    /// # Errors
    /// The client is no handler yet, and there are too many already.
    pub fn set_handler(&mut self, conn: ConnId, min: Priority, count: usize) -> Result<(), HandlersFull> {
        self.handlers.set(conn, min, count)
    }

    /// Records that a client wants no more tasks. It keeps those that it has.
    pub fn stop_handler(&mut self, conn: ConnId) {
        self.handlers.stop(conn);
    }

    /// The tasks of a handler, or `None` if the client is no handler and has no tasks.
    pub fn status(&self, conn: ConnId) -> Option<Status> {
        let tasks = self.handlers.get(conn)?.tasks();
        Some(Status { given: tasks.len(), due_ns: tasks.iter().map(|id| self.entries[*id].due_ns).min() })
    }

    // ---- Giving ----------------------------------------------------------------------------------------

    /// Gives the next task to a handler, if it wants one. `put` sends it; if that returns false, the task still waits.
    pub fn give(&mut self, key: TaskKey, now_ns: u64, put: impl FnOnce(Offer<'_, T>) -> bool) -> Given {
        let now_ns = self.latest(now_ns);
        let Some(place) = self.next_for(key.conn, now_ns) else { return Given::Nothing };
        if self.entries.are_all_taken() {
            self.lacks_entry = true;
            return Given::Nothing;
        }
        let Some((item, priority)) = self.waiting.peek(place) else { return Given::Nothing };
        let left_ns = self.rules.time_ns;
        if !put(Offer { number: key.number, item, priority, left_ns }) {
            return Given::NoRoom;
        }
        if let Some(task) = self.waiting.take(place)
            && let Some(id) = self.entries.take_free()
        {
            self.stats.count(priority, TaskEvent::Given);
            self.stats.waits.record(now_ns.saturating_sub(task.ready_ns));
            self.entries[id].give(key, task, now_ns, now_ns + left_ns);
            self.handlers.add_task(key.conn, id);
        }
        Given::Task
    }

    fn next_for(&self, conn: ConnId, now_ns: u64) -> Option<Place> {
        let handler = self.handlers.get(conn).filter(|handler| handler.is_free() && !self.is_draining)?;
        self.waiting.next(handler.min(), now_ns)
    }

    // ---- Commands of handlers --------------------------------------------------------------------------

    /// Records that a client has sent a command about tasks: it is not silent.
    pub fn note_word(&mut self, conn: ConnId) {
        self.handlers.set_silent(conn, false);
    }

    /// Ends a task that a handler has done. Returns the message for the consumer, or `None` if the handler has no such
    /// task.
    pub fn finish(&mut self, key: TaskKey, text: HandlerText, now_ns: u64) -> Option<Picked<T>> {
        let now_ns = self.latest(now_ns);
        let id = self.find(key)?;
        self.leave_handler(id, now_ns);
        self.stats.count(self.entries[id].priority(), TaskEvent::Done);
        self.entries[id].finish(id, text)
    }

    /// Ends a task that a handler has not done. Returns its fate, or `None` if the handler has no such task.
    pub fn end(&mut self, key: TaskKey, why: Ended, now_ns: u64) -> Option<Fate<T>> {
        let id = self.find(key)?;
        self.end_entry(id, why, now_ns)
    }

    /// Restarts the time of a task, within the limit, and returns how much time the handler has now, in nanoseconds.
    /// Returns `None` if the handler has no such task.
    pub fn extend(&mut self, key: TaskKey, now_ns: u64) -> Option<u64> {
        let now_ns = self.latest(now_ns);
        let id = self.find(key)?;
        let entry = &mut self.entries[id];
        entry.due_ns = (now_ns + self.rules.time_ns).min(entry.given_ns + self.rules.limit_ns);
        Some(entry.due_ns.saturating_sub(now_ns))
    }

    fn find(&self, key: TaskKey) -> Option<TaskId> {
        self.find_of(key.conn, |id| self.entries[id].is(key))
    }

    /// The first task of a handler for which `accepts` returns true.
    fn find_of(&self, conn: ConnId, accepts: impl Fn(TaskId) -> bool) -> Option<TaskId> {
        self.handlers.get(conn)?.tasks().iter().copied().find(|id| accepts(*id))
    }

    // ---- Ends ------------------------------------------------------------------------------------------

    /// Ends one task of a handler whose connection ends, and returns the task's fate, or `None` if the handler has no
    /// more tasks. The handler gets no new tasks.
    pub fn lose(&mut self, conn: ConnId, why: Ended, now_ns: u64) -> Option<Fate<T>> {
        self.handlers.stop(conn);
        let id = self.find_of(conn, |_| true)?;
        self.end_entry(id, why, now_ns)
    }

    /// Ends one task of a handler that has exceeded its time, and returns the task's fate, or `None` if there is no
    /// such task. The handler gets no more tasks until it sends a command about tasks.
    pub fn time_out(&mut self, conn: ConnId, now_ns: u64) -> Option<Fate<T>> {
        let id = self.find_of(conn, |id| self.entries[id].due_ns <= now_ns)?;
        self.handlers.set_silent(conn, true);
        self.end_entry(id, Ended::TimedOut, now_ns)
    }

    fn end_entry(&mut self, id: TaskId, why: Ended, now_ns: u64) -> Option<Fate<T>> {
        let now_ns = self.latest(now_ns);
        self.leave_handler(id, now_ns);
        let priority = self.entries[id].priority();
        match why {
            Ended::Lost => self.stats.count(priority, TaskEvent::Lost),
            Ended::TimedOut => self.stats.count(priority, TaskEvent::TimedOut),
            Ended::Refused | Ended::Later | Ended::Left => {}
        }
        let pause_ns = if why == Ended::Later { TASK_PAUSE_MS * 1_000_000 } else { 0 };
        let mut task = self.entries[id].take_back(now_ns + pause_ns)?;
        self.entries.free(id);
        if let Some(reason) = self.rules.refusal(&mut task.past, why, self.is_draining) {
            if reason == Nak::HandlerRefused {
                self.stats.count(priority, TaskEvent::Refused);
            }
            let (item, reason) = task.refuse(reason);
            return Some(Fate::Refused(item, reason));
        }
        self.stats.count(priority, TaskEvent::PutBack);
        self.schedule.add(if pause_ns > 0 { task.ready_ns } else { now_ns + self.rules.wait_ns });
        let put = self.waiting.put_back(task);
        debug_assert!(put.is_ok(), "there is room for every message of every client");
        Some(if pause_ns > 0 { Fate::Paused } else { Fate::PutBack(priority) })
    }

    /// Records that a handler no longer has the task of an entry.
    fn leave_handler(&mut self, id: TaskId, now_ns: u64) {
        let entry = &self.entries[id];
        self.stats.works.record(now_ns.saturating_sub(entry.given_ns));
        self.handlers.remove_task(entry.conn(), id);
    }

    /// Frees the entry of a task that is done and whose sender gets its reply now. Returns the handler's text. If a
    /// handler got no task because no entry was free, also returns the free handlers to wake.
    pub fn release(&mut self, id: TaskId, now_ns: u64) -> (HandlerText, ConnIds) {
        let now_ns = self.latest(now_ns);
        let text = self.entries[id].release();
        self.entries.free(id);
        let lacking = if mem::take(&mut self.lacks_entry) { self.served(now_ns) } else { ConnIds::new() };
        (text, lacking)
    }

    // ---- The shutdown ----------------------------------------------------------------------------------

    /// Stops admitting and giving tasks. From now on no task is put back.
    pub fn drain(&mut self) {
        self.is_draining = true;
        self.schedule = Schedule::new();
    }

    /// For the shutdown: takes the next message that waits, if any, with the reason for its sender. The most urgent
    /// ones come first, in the order of their admission.
    pub fn take_waiting(&mut self) -> Option<(T, Nak)> {
        let place = self.waiting.any()?;
        self.waiting.take(place).map(|task| task.refuse(Nak::ShuttingDown))
    }

    /// For the shutdown: takes a message that a handler has, if any, and returns it with the reason for its sender, and
    /// the handler. The handler may have done it, so the reason is that of a loss. The order of the messages is
    /// arbitrary.
    pub fn take_given(&mut self) -> Option<(T, Nak, ConnId)> {
        let id = self.entries.find(Phase::Given)?;
        let conn = self.entries[id].conn();
        self.handlers.remove_task(conn, id);
        let task = self.entries[id].take_back(0)?;
        self.entries.free(id);
        let (item, reason) = task.refuse(Nak::HandlerLost);
        Some((item, reason, conn))
    }

    /// How many tasks handlers have.
    pub fn given(&self) -> usize {
        self.handlers.tasks()
    }

    /// How many tasks wait or are given.
    pub fn unfinished(&self) -> usize {
        self.waiting.len() + self.given()
    }

    // ---- Statistics ------------------------------------------------------------------------------------

    /// Whether a handler still has a task whose time ended before `since_ns`. If so, and if the workers had time to run
    /// since then, the worker of that handler hangs.
    pub fn is_late(&self, since_ns: u64) -> bool {
        self.entries.given().any(|entry| entry.due_ns < since_ns)
    }

    /// The handlers.
    pub fn handlers(&self) -> &Handlers {
        &self.handlers
    }

    /// The statistics of the tasks.
    pub fn stats(&self) -> &TaskStats {
        &self.stats
    }

    /// The tasks that wait.
    pub fn waiting(&self) -> &WaitingTasks<T, N> {
        &self.waiting
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
