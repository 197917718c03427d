//! The clients that handle tasks: which tasks each wants, and which it has. Knows of a task only the ID.

use crate::conn_id::ConnId;
use crate::limits::{HANDLER_TASKS, HANDLERS};
use crate::protocol::Priority;
use crate::queue::TaskId;
use heapless::Vec;

/// Some handlers.
pub type ConnIds = Vec<ConnId, HANDLERS>;

/// There are [`HANDLERS`] handlers already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandlersFull;

/// A client that handles tasks.
#[derive(Clone, Debug)]
pub struct Handler {
    conn: ConnId,
    /// The least priority of the tasks that it wants.
    min: Priority,
    /// How many tasks it wants at once; 0: it wants no new ones.
    count: usize,
    /// The tasks that it has, in the order in which it got them.
    tasks: Vec<TaskId, HANDLER_TASKS>,
    /// It has exceeded the time of a task, and has sent no command about tasks since then.
    is_silent: bool,
}

impl Handler {
    /// The least priority of the tasks that the handler wants.
    pub fn min(&self) -> Priority {
        self.min
    }

    /// Whether the handler wants another task now.
    pub fn is_free(&self) -> bool {
        self.tasks.len() < self.count && !self.is_silent
    }

    /// The tasks that it has, in the order in which it got them.
    pub fn tasks(&self) -> &[TaskId] {
        &self.tasks
    }
}

/// All handlers. A new collection is all zeroes.
#[derive(Default)]
pub struct Handlers {
    all: Vec<Handler, HANDLERS>,
}

impl Handlers {
    /// No handlers.
    pub const fn new() -> Self {
        Self { all: Vec::new() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The handler with that connection.
    pub fn get(&self, conn: ConnId) -> Option<&Handler> {
        self.all.iter().find(|handler| handler.conn == conn)
    }

    fn get_mut(&mut self, conn: ConnId) -> Option<&mut Handler> {
        self.all.iter_mut().find(|handler| handler.conn == conn)
    }

    /// Makes a client a handler that wants tasks of priority `min` and above, up to `count` at once, or changes what
    /// it wants.
    ///
    /// # Errors
    /// The client is no handler yet, and there are too many already.
    pub fn set(&mut self, conn: ConnId, min: Priority, count: usize) -> Result<(), HandlersFull> {
        if let Some(handler) = self.get_mut(conn) {
            (handler.min, handler.count, handler.is_silent) = (min, count, false);
            return Ok(());
        }
        let handler = Handler { conn, min, count, tasks: Vec::new(), is_silent: false };
        self.all.push(handler).map_err(|_| HandlersFull)
    }

    /// Records that a client wants no more tasks. It stays a handler until it has none.
    pub fn stop(&mut self, conn: ConnId) {
        if let Some(handler) = self.get_mut(conn) {
            handler.count = 0;
        }
        self.remove_if_done(conn);
    }

    /// Records a task that a handler gets.
    pub fn add_task(&mut self, conn: ConnId, id: TaskId) {
        if let Some(handler) = self.get_mut(conn) {
            // This cannot fail: a handler wants no more.
            let _ = handler.tasks.push(id);
        }
    }

    /// Records that a handler no longer has a task.
    pub fn remove_task(&mut self, conn: ConnId, id: TaskId) {
        if let Some(handler) = self.get_mut(conn) {
            handler.tasks.retain(|task| *task != id);
        }
        self.remove_if_done(conn);
    }

    /// How many tasks all handlers have.
    pub fn tasks(&self) -> usize {
        self.all.iter().map(|handler| handler.tasks.len()).sum()
    }

    fn remove_if_done(&mut self, conn: ConnId) {
        self.all.retain(|handler| handler.conn != conn || handler.count > 0 || !handler.tasks.is_empty());
    }

    /// Records whether a handler is silent: whether it has exceeded the time of a task, and has sent no command about
    /// tasks since then. A silent handler gets no more tasks.
    pub fn set_silent(&mut self, conn: ConnId, is_silent: bool) {
        if let Some(handler) = self.get_mut(conn) {
            handler.is_silent = is_silent;
        }
    }

    /// The handlers that want a task of that priority now.
    pub fn free_for(&self, priority: Priority) -> ConnIds {
        let free = self.all.iter().filter(|handler| handler.is_free() && priority >= handler.min);
        free.map(|handler| handler.conn).collect()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const A: ConnId = ConnId::new(0);
    const B: ConnId = ConnId::new(1);

    #[test]
    fn handler_is_free_until_it_has_as_many_tasks_as_it_wants() {
        let mut handlers = Handlers::new();
        handlers.set(A, Priority::HIGH, 2).unwrap();
        handlers.set(B, Priority::MIN, 1).unwrap();
        assert_eq!(handlers.free_for(Priority::HIGH), [A, B]);
        assert_eq!(handlers.free_for(Priority::NORMAL), [B]);
        handlers.add_task(A, TaskId::new(0));
        handlers.add_task(B, TaskId::new(1));
        assert_eq!(handlers.tasks(), 2);
        assert_eq!(handlers.free_for(Priority::URGENT), [A]);
        handlers.set_silent(A, true);
        assert!(handlers.free_for(Priority::URGENT).is_empty());
        handlers.set(A, Priority::HIGH, 2).unwrap();
        assert_eq!(handlers.free_for(Priority::URGENT), [A], "it spoke");
    }

    #[test]
    fn stopped_handler_stays_until_it_has_no_tasks() {
        let mut handlers = Handlers::new();
        handlers.set(A, Priority::MIN, 1).unwrap();
        handlers.add_task(A, TaskId::new(1));
        handlers.stop(A);
        assert!(handlers.get(A).is_some() && handlers.free_for(Priority::URGENT).is_empty());
        handlers.remove_task(A, TaskId::new(1));
        assert!(handlers.is_empty());
    }

    #[test]
    fn number_of_handlers_has_a_bound() {
        let mut handlers = Handlers::new();
        for conn in ConnId::all().take(HANDLERS) {
            handlers.set(conn, Priority::MIN, 1).unwrap();
        }
        if let Some(other) = ConnId::all().nth(HANDLERS) {
            assert_eq!(handlers.set(other, Priority::MIN, 1), Err(HandlersFull));
        }
        assert_eq!(handlers.set(A, Priority::URGENT, 1), Ok(()), "it is one already");
        assert_eq!(handlers.len(), HANDLERS);
    }
}
