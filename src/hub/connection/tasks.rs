//! One client as a handler: executes its commands about tasks, and gives it tasks. The tasks themselves are in
//! [`crate::hub::handling`].

use crate::conn_id::ConnId;
use crate::counted::Counted;
use crate::hub::handling::entry::TaskKey;
use crate::hub::handling::fate::Ended;
use crate::hub::handling::offer::Given;
use crate::hub::handling::shared::SharedTasks;
use crate::hub::workers::context::WorkerContext;
use crate::limits::HANDLER_TEXT_BYTES;
use crate::protocol::Priority;
use crate::protocol::handler_text::HandlerText;
use crate::protocol::reply::Refusal;
use crate::protocol::task_command::TaskCommand;
use core::fmt::Write;
use heapless::String;

/// The text of the reply to a command, after the line number.
pub type Answer = String<32>;

/// One client as a handler.
pub struct Tasks {
    conn: ConnId,
    /// Whether the table of tasks may have this client as a handler. It can be out of date until the next
    /// [`advance`](Self::advance).
    is_handler: bool,
    /// How many tasks the client has.
    given: usize,
    /// When the time of the earliest of them ends, in nanoseconds.
    due_ns: Option<u64>,
    /// The number of the last task that the client got.
    last_number: u64,
    /// How many tasks the client has ended by its commands.
    ended: u64,
    /// A task waits for this client, but its outbox has no room.
    lacks_room: bool,
}

impl Tasks {
    /// A client that handles no tasks.
    pub const fn new(conn: ConnId) -> Self {
        Self { conn, is_handler: false, given: 0, due_ns: None, last_number: 0, ended: 0, lacks_room: false }
    }

    /// Whether the client wants tasks, or has some.
    pub fn is_handling(&self) -> bool {
        self.is_handler
    }

    /// Whether the client has tasks.
    pub fn has_some(&self) -> bool {
        self.given > 0
    }

    /// When the time of its earliest task ends, in nanoseconds.
    pub fn due_ns(&self) -> Option<u64> {
        self.due_ns
    }

    /// How many tasks the client has ended by its commands.
    pub fn ended(&self) -> u64 {
        self.ended
    }

    /// Whether a task waits for this client, but its outbox has no room.
    pub fn lacks_room(&self) -> bool {
        self.lacks_room
    }

    // ---- Commands of the client ------------------------------------------------------------------------

    /// Executes a command. Returns the text of the reply.
    ///
    /// # Errors
    /// The refusal of the command.
    pub fn execute(
        &mut self,
        command: TaskCommand<'_>,
        context: &mut WorkerContext,
    ) -> Result<Answer, Refusal> {
        let hub = context.hub;
        let shared = hub.tasks.as_ref().ok_or(Refusal::NoHandling)?;
        match command {
            TaskCommand::Handle { .. } if context.draining => Err(Refusal::ShuttingDown),
            TaskCommand::Handle { min, count } => self.start(min, count, shared, context),
            TaskCommand::Stop => {
                shared.stop_handler(self.conn);
                Ok(Answer::new())
            }
            TaskCommand::Done(number, text) => self.finish(number, text, shared, context),
            TaskCommand::Refuse(number, text) => self.end(number, Ended::Refused, text, shared, context),
            TaskCommand::Later(number, text) => self.end(number, Ended::Later, text, shared, context),
            TaskCommand::Extend(number) => self.extend(number, shared, context),
        }
    }

    fn start(
        &mut self,
        min: Priority,
        count: usize,
        shared: &SharedTasks,
        context: &WorkerContext,
    ) -> Result<Answer, Refusal> {
        shared.set_handler(self.conn, min, count).map_err(|_| Refusal::HandlersFull)?;
        if !self.is_handler {
            self.is_handler = true;
            log::info!("{} handles tasks", context.hub.name(self.conn));
        }
        Ok(Answer::new())
    }

    fn finish(
        &mut self,
        number: u64,
        text: &[u8],
        shared: &SharedTasks,
        context: &mut WorkerContext,
    ) -> Result<Answer, Refusal> {
        let text = HandlerText::new(text);
        let answer = remark_on(&text);
        if !shared.finish(self.key(number), text, context.now_ns, &context.task_parts()) {
            return Err(Refusal::NotYours);
        }
        self.ended += 1;
        context.note_completed();
        Ok(answer)
    }

    fn end(
        &mut self,
        number: u64,
        why: Ended,
        text: &[u8],
        shared: &SharedTasks,
        context: &mut WorkerContext,
    ) -> Result<Answer, Refusal> {
        let (text, parts) = (HandlerText::new(text), context.task_parts());
        if !shared.end(self.key(number), why, &text, context.now_ns, &parts) {
            return Err(Refusal::NotYours);
        }
        self.ended += 1;
        Ok(remark_on(&text))
    }

    fn extend(
        &mut self,
        number: u64,
        shared: &SharedTasks,
        context: &WorkerContext,
    ) -> Result<Answer, Refusal> {
        let left_ns = shared.extend(self.key(number), context.now_ns).ok_or(Refusal::NotYours)?;
        let mut answer = Answer::new();
        // It fits.
        let _ = write!(answer, "{}", left_ns / 1_000_000);
        Ok(answer)
    }

    fn key(&self, number: u64) -> TaskKey {
        TaskKey { conn: self.conn, number }
    }

    // ---- Tasks for the client --------------------------------------------------------------------------

    /// Ends the tasks that exceed their time. Then gives the client as many tasks as it wants, unless it is known that
    /// its connection is about to end.
    pub fn advance(&mut self, is_leaving: bool, context: &WorkerContext) {
        let Some(shared) = context.hub.tasks.as_ref().filter(|_| self.is_handler) else { return };
        let now_ns = context.now_ns;
        if self.due_ns.is_some_and(|due_ns| due_ns <= now_ns) {
            let late = shared.time_out(self.conn, now_ns, &context.task_parts());
            if late > 0 {
                let late = Counted(late as u64, "task");
                log::warn!("{} did not finish {late} in time", context.hub.name(self.conn));
            }
        }
        self.lacks_room = !is_leaving && self.fill(shared, context);
        let status = shared.status(self.conn);
        self.is_handler = status.is_some();
        self.given = status.map_or(0, |status| status.given);
        self.due_ns = status.and_then(|status| status.due_ns);
    }

    /// Gives the client as many tasks as it wants. Returns true if a task did not fit into its outbox.
    fn fill(&mut self, shared: &SharedTasks, context: &WorkerContext) -> bool {
        let parts = context.task_parts();
        loop {
            match shared.give(self.key(self.last_number + 1), context.now_ns, &parts) {
                Given::Task => self.last_number += 1,
                given => return given == Given::NoRoom,
            }
        }
    }

    /// Ends all tasks of the client, because its connection ends. `is_in_order` says whether the client ended it in
    /// order.
    pub fn leave(&mut self, is_in_order: bool, context: &WorkerContext) {
        let Some(shared) = context.hub.tasks.as_ref().filter(|_| self.is_handler) else { return };
        let why = if is_in_order { Ended::Left } else { Ended::Lost };
        let left = shared.lose(self.conn, why, context.now_ns, &context.task_parts());
        if left > 0 {
            let (name, left) = (context.hub.name(self.conn), Counted(left as u64, "task"));
            log::warn!("{name} is gone, with {left} unanswered");
        }
        *self = Self { last_number: self.last_number, ended: self.ended, ..Self::new(self.conn) };
    }
}

/// The reply text for a command with a text: it says whether the text was cut.
fn remark_on(text: &HandlerText) -> Answer {
    let mut answer = Answer::new();
    if text.is_cut() {
        // It fits.
        let _ = write!(answer, "cut to {HANDLER_TEXT_BYTES} bytes");
    }
    answer
}
