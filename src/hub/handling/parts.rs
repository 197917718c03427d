//! The parts of the hub from which tasks come, and to which they go.

use crate::conn_id::PerConn;
use crate::hub::accept::vacancies::Vacancies;
use crate::hub::clients::ClientTable;
use crate::hub::counters::Counters;
use crate::hub::egress::shared_outbox::SharedOutbox;
use crate::hub::workers::caller::Caller;
use crate::hub::workers::wakeups::Wakeups;
use crate::limits::QUEUE_MAX;
use crate::queue::{Chain, Queue};
use crate::sync::Mutex;

/// The parts of the hub from which tasks come, and to which they go, and the thread that uses them.
#[derive(Clone, Copy)]
pub struct TaskParts<'a> {
    /// The queue of the consumer: it gets the tasks that are done.
    pub queue: &'a Queue<Chain, QUEUE_MAX>,
    /// The client table: it knows the names of the senders.
    pub clients: &'a Mutex<ClientTable>,
    /// Counts the tasks that are refused.
    pub counters: &'a Mutex<Counters>,
    /// The outboxes of the handlers, which get tasks, and of the senders, which get replies.
    pub outboxes: &'a PerConn<SharedOutbox>,
    /// Wakes the workers of the handlers and of the senders.
    pub wakeups: &'a Wakeups,
    /// Wakes the acceptor's thread, which runs the deadlines.
    pub vacancies: &'a Vacancies,
    /// The thread that uses the parts.
    pub caller: Caller,
}
