//! A task that a handler has, or has done.

use crate::conn_id::ConnId;
use crate::hub::handling::past::Past;
use crate::hub::handling::waiting::WaitingTask;
use crate::protocol::Priority;
use crate::protocol::handler_text::HandlerText;
use crate::queue::{Picked, TaskId};

/// The phase of a task that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// There is no task.
    Free,
    /// A handler has it.
    Given,
    /// A handler has done it. The consumer has the message, and the entry keeps the handler's text until the sender
    /// has its reply.
    Done,
}

/// Identifies a task: the handler, and the task's number on the handler's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskKey {
    /// The handler.
    pub conn: ConnId,
    /// The number of the task on that connection, from 1.
    pub number: u64,
}

/// An entry of the table: free, or with a task that a handler has or has done. A new entry is all zeroes.
pub struct Entry<T> {
    /// The phase of the task.
    pub phase: Phase,
    key: TaskKey,
    item: Option<T>,
    priority: Priority,
    stamp_ns: u64,
    past: Past,
    /// When the handler got it, in nanoseconds.
    pub given_ns: u64,
    /// When the handler's time for it ends, in nanoseconds.
    pub due_ns: u64,
    text: HandlerText,
}

impl<T> Entry<T> {
    /// An entry without a task.
    #[expect(clippy::new_without_default, reason = "the table makes all entries")]
    pub const fn new() -> Self {
        Self {
            phase: Phase::Free,
            key: TaskKey { conn: ConnId::FIRST, number: 0 },
            item: None,
            priority: Priority::MIN,
            stamp_ns: 0,
            past: Past::NONE,
            given_ns: 0,
            due_ns: 0,
            text: HandlerText::NONE,
        }
    }

    /// Fills the entry with a task that is given at `now_ns` and due at `due_ns`, in nanoseconds.
    pub fn give(&mut self, key: TaskKey, task: WaitingTask<T>, now_ns: u64, due_ns: u64) {
        *self = Self {
            phase: Phase::Given,
            key,
            item: Some(task.item),
            priority: task.priority,
            stamp_ns: task.stamp_ns,
            past: task.past,
            given_ns: now_ns,
            due_ns,
            text: HandlerText::NONE,
        };
    }

    /// Whether a handler has that task now.
    pub fn is(&self, key: TaskKey) -> bool {
        self.phase == Phase::Given && self.key == key
    }

    /// The handler.
    pub fn conn(&self) -> ConnId {
        self.key.conn
    }

    /// The priority of the message.
    pub fn priority(&self) -> Priority {
        self.priority
    }

    /// Takes the message out for the consumer, and keeps the handler's text. `id` is this entry's ID.
    pub fn finish(&mut self, id: TaskId, text: HandlerText) -> Option<Picked<T>> {
        let (priority, stamp_ns) = (self.priority, self.stamp_ns);
        self.phase = Phase::Done;
        self.text = text;
        self.item.take().map(|item| Picked { item, priority, stamp_ns, task: Some(id) })
    }

    /// Takes the task out, so that it can wait again from `ready_ns` on, and frees the entry.
    pub fn take_back(&mut self, ready_ns: u64) -> Option<WaitingTask<T>> {
        self.phase = Phase::Free;
        let Self { priority, stamp_ns, past, .. } = *self;
        self.item.take().map(|item| WaitingTask { item, priority, stamp_ns, ready_ns, past })
    }

    /// Takes the handler's text, and frees the entry.
    pub fn release(&mut self) -> HandlerText {
        self.phase = Phase::Free;
        core::mem::take(&mut self.text)
    }
}
