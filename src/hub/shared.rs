//! The state that the threads of the server share.

use crate::auth::Tokens;
use crate::auth::authenticator::Authenticator;
use crate::conn_id::{ConnId, ConnSet, PerConn};
use crate::hub::accept::places::Places;
use crate::hub::accept::vacancies::Vacancies;
use crate::hub::clients::{ClientTable, Name, sender_of};
use crate::hub::counters::Counters;
use crate::hub::dispatch::policy::Policy;
use crate::hub::egress::buffer::take_buffers;
use crate::hub::egress::flush;
use crate::hub::egress::send_state::FlushStatus;
use crate::hub::egress::shared_outbox::SharedOutbox;
use crate::hub::egress::subscription::Subscriber;
use crate::hub::handling::parts::TaskParts;
use crate::hub::handling::shared::{SharedTasks, Table};
use crate::hub::replay;
use crate::hub::settings::{self, Settings};
use crate::hub::workers::caller::Caller;
use crate::hub::workers::progress::Progress;
use crate::hub::workers::wakeups::Wakeups;
use crate::limits::{CLIENTS, QUEUE_MAX};
use crate::options::Options;
use crate::protocol::Priority;
use crate::queue::{Chain, Queue, take_slots};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};
use std::net::IpAddr;

static OUTBOXES: PerConn<SharedOutbox> = PerConn([const { SharedOutbox::new() }; CLIENTS]);
static PROGRESS: Progress = Progress::new();
static QUEUE: Queue<Chain, QUEUE_MAX> = Queue::new();
static CLIENT_TABLE: Mutex<ClientTable> = Mutex::new(ClientTable::new());
static TASKS: Mutex<Table> = Mutex::new(Table::new());
static COUNTERS: Mutex<Counters> = Mutex::new(Counters::new());

/// The state that all threads share.
pub struct Hub {
    /// The time-outs and shares that the options choose.
    pub settings: Settings,
    /// The outbox of each connection.
    pub outboxes: &'static PerConn<SharedOutbox>,
    /// The runs that wait for the consumer.
    pub queue: &'static Queue<Chain, QUEUE_MAX>,
    /// The client table: the name, address and state of each connection.
    pub clients: &'static Mutex<ClientTable>,
    /// The counters.
    pub counters: &'static Mutex<Counters>,
    /// The connections that may have joined. It is only a hint: the outbox has the actual state. It changes under the
    /// outbox's lock.
    pub joined: ConnSet,
    /// Wakes the workers.
    pub wakeups: Wakeups,
    /// How far each worker has come.
    pub progress: &'static Progress,
    /// The replay of the journal, if there is one.
    pub replay: Option<replay::Handle>,
    /// Checks tokens, if clients need one.
    pub authenticator: Option<Authenticator>,
    /// The tasks of handlers, if the server gives any.
    pub tasks: Option<SharedTasks>,
    draining: AtomicBool,
    /// Which threads may run the pipeline.
    pub policy: Policy,
    /// Notifies the acceptor that a place is free, or that one of its deadlines has become earlier.
    pub vacancies: Vacancies,
}

impl Hub {
    /// The hub of the static parts. Startup calls this once.
    ///
    /// # Errors
    /// If there are not enough descriptors.
    pub fn new(
        options: &Options,
        policy: Policy,
        replay: Option<replay::Handle>,
        authenticator: Option<Authenticator>,
    ) -> nix::Result<Self> {
        Ok(Self {
            settings: Settings::new(options),
            outboxes: &OUTBOXES,
            queue: &QUEUE,
            clients: &CLIENT_TABLE,
            counters: &COUNTERS,
            joined: ConnSet::new(),
            wakeups: Wakeups::new(options.workers)?,
            progress: &PROGRESS,
            replay,
            authenticator,
            tasks: options
                .handle
                .map(|min| SharedTasks::new(min, &TASKS, settings::rules(options), settings::order(options))),
            draining: AtomicBool::new(false),
            policy,
            vacancies: Vacancies::new()?,
        })
    }

    /// Gives each outbox its buffer and its slots; all slots are free.
    ///
    /// # Panics
    /// When called twice in a process.
    pub fn fill_outboxes(&self) {
        let parts = take_buffers().iter_mut().zip(take_slots());
        for (outbox, (buffer, slots)) in self.outboxes.0.iter().zip(parts) {
            let mut outbox = outbox.lock();
            outbox.attach(buffer);
            slots.iter_mut().for_each(|slot| outbox.release_slots(Chain::of(slot)));
        }
    }

    /// How many admitted messages are not processed.
    pub fn unprocessed(&self) -> u64 {
        // The order matters: every message that counts as handled also counts as admitted; and a task that is done in
        // between counts twice, but is never missed, because it moves from the table to the queue.
        let handled = self.counters.lock().handled;
        let tasks = self.tasks.as_ref().map_or(0, |tasks| tasks.table().unfinished());
        self.queue.admitted().saturating_sub(handled) + tasks as u64
    }

    /// The name that the sender of a run had when it sent it.
    pub fn sender(&self, run: &Chain) -> Name {
        sender_of(run, self.clients)
    }

    /// The name of a client.
    pub fn name(&self, conn: ConnId) -> Name {
        self.clients.lock().name(conn)
    }

    /// The address of a client.
    pub fn address(&self, conn: ConnId) -> IpAddr {
        self.clients.lock().address(conn)
    }

    /// Sends what the outbox of a connection holds, as far as the socket accepts it, and wakes the connection's worker
    /// if it has work after that. `caller` is the thread that does this.
    pub fn send(&self, conn: ConnId, caller: Caller) {
        let mut outbox = self.outboxes[conn].lock();
        let next = flush::flush(&mut outbox);
        let is_wanted = outbox.is_worker_wanted();
        drop(outbox);
        if is_wanted || next != FlushStatus::Nothing {
            self.wakeups.wake_from(caller, conn);
        }
    }

    /// Lets a client join: from now on it receives messages of priority `min` and above. If it lags, the messages that
    /// it missed count as lost.
    pub fn join(&self, conn: ConnId, min: Priority) {
        let mut outbox = self.outboxes[conn].lock();
        // Before `next_id` is read: the consumer publishes the committed part of the journal before it reads which
        // clients have joined.
        self.joined.insert(conn);
        if let (Some(behind_from), Some(replay)) = (outbox.subscriber.behind_from(), &self.replay) {
            let live_from = replay.next_id();
            outbox.subscriber.join_after_loss(live_from.saturating_sub(behind_from), live_from, min);
            outbox.push_lost();
        } else {
            outbox.subscriber.join(min);
        }
    }

    /// Lets a client catch up: it receives the history, of priority `min` and above, until it has all that is
    /// committed.
    pub fn begin_catch_up(&self, conn: ConnId, min: Priority) {
        let mut outbox = self.outboxes[conn].lock();
        self.joined.remove(conn);
        outbox.subscriber.begin_catch_up(min);
    }

    /// Lets a client leave: it receives no more messages of other clients.
    pub fn leave(&self, conn: ConnId) {
        self.end_subscription(conn, Subscriber::leave);
    }

    /// Lets a client leave whose connection is cut short: a replay in progress ends without a reply.
    pub fn cut_short(&self, conn: ConnId) {
        self.end_subscription(conn, Subscriber::cut_short);
    }

    /// Forbids a client to read messages of other clients, new or old.
    pub fn revoke_reading(&self, conn: ConnId) {
        self.end_subscription(conn, Subscriber::revoke_reading);
    }

    fn end_subscription(&self, conn: ConnId, end: fn(&mut Subscriber)) {
        let mut outbox = self.outboxes[conn].lock();
        self.joined.remove(conn);
        end(&mut outbox.subscriber);
    }

    /// Ends a connection's outbox: nothing more is sent to the client.
    pub fn abort(&self, conn: ConnId) {
        let mut outbox = self.outboxes[conn].lock();
        self.joined.remove(conn);
        outbox.abort();
    }

    /// Frees the place of an ended connection.
    pub fn release(&self, conn: ConnId) {
        self.clients.lock().release(conn);
        self.vacancies.notify();
    }

    /// The parts of the hub that assign places to connections.
    pub fn places(&self) -> Places<'_> {
        let Self { clients, outboxes, wakeups, settings, .. } = self;
        Places { clients, outboxes, wakeups, settings }
    }

    /// The parts of the hub from which tasks come, and to which they go, for the thread `caller`.
    pub fn task_parts(&self, caller: Caller) -> TaskParts<'_> {
        let Self { queue, clients, counters, outboxes, wakeups, vacancies, .. } = self;
        TaskParts { queue, clients, counters, outboxes, wakeups, vacancies, caller }
    }

    /// Swaps the tokens for new ones, and wakes every session. A session whose token is gone closes its connection.
    pub fn replace_tokens(&self, tokens: &mut Tokens) {
        if let Some(authenticator) = &self.authenticator {
            authenticator.replace(tokens);
            ConnId::all().for_each(|conn| self.wakeups.wake(conn));
        }
    }

    /// Begins the shutdown: sessions take no more lines, the consumer processes the admitted messages, and each client
    /// gets a farewell.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        ConnId::all().for_each(|conn| self.wakeups.wake(conn));
    }

    /// Whether the server is shutting down.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}
