//! The hub: who is connected, what goes to them, and the threads that move a message from one to the other.
//!
//! ```text
//! acceptor ─> worker: session ─> commands ─┐
//!                                              ├─> queue ─> consumer ─> stdout_sink, journal_sink ─> group ─> delivery ─┐
//! client <─ flush <─ outbox <────────────────┴────────────────────────────────────────────────────────────────┤
//!                                                                               replay: what was recorded ───┘
//! ```
//!
//! [`Hub`] is all that the threads share. Each part has its own mutex. Whoever sits in the consumer's [`pipeline`] holds that, and
//! then that of the [`delivery`], and takes the others one at a time; the [`replay`] looks at what is committed under an
//! outbox's; besides, none is taken while another is held. None is held over a system call that can block, but for the seat,
//! which nobody waits for.

pub mod accept;
pub mod clients;
pub mod connection;
pub mod counters;
pub mod dispatch;
pub mod egress;
pub mod replay;
pub mod settings;
pub mod shutdown;
pub mod signals;
pub mod startup;
pub mod stats;
pub mod watchdog;
pub mod workers;

use crate::auth::Tokens;
use crate::auth::authenticator::Authenticator;
use crate::clock;
use crate::conn_id::{ConnId, ConnSet, PerConn};
use crate::hub::workers::{Caller, WorkerId};
use crate::limits::{CLIENTS, PIPELINE_MESSAGES_MIN, QUEUE_MAX};
use crate::options::Options;
use crate::protocol::Priority;
use crate::queue::{Chain, Queue};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Mutex};
use accept::places::Places;
use accept::vacancies::Vacancies;
use clients::{ClientTable, Name};
use counters::Counters;
use dispatch::commit_group::CommitGroup;
use dispatch::consumer::ConsumerPipeline;
use egress::outbox::Outbox;
use settings::Settings;
use std::net::IpAddr;
use std::time::Duration;
use workers::wakeups::Wakeups;

static OUTBOXES: PerConn<Mutex<Outbox>> = PerConn([const { Mutex::new(Outbox::new()) }; CLIENTS]);
static QUEUE: Queue<Chain, QUEUE_MAX> = Queue::new();
static CLIENT_TABLE: Mutex<ClientTable> = Mutex::new(ClientTable::new());
static COUNTERS: Mutex<Counters> = Mutex::new(Counters::new());

/// What all threads share.
pub struct Hub {
    /// The times and shares that were chosen at the start.
    pub settings: Settings,
    /// What goes to the client at each seat.
    pub outboxes: &'static PerConn<Mutex<Outbox>>,
    /// What waits to be processed.
    pub queue: &'static Queue<Chain, QUEUE_MAX>,
    /// Who is connected where.
    pub clients: &'static Mutex<ClientTable>,
    /// What is counted.
    pub counters: &'static Mutex<Counters>,
    /// The seats of those who may have joined: the outbox knows, this only says where to look. Changed under the outbox's lock.
    pub joined: ConnSet,
    /// How workers are called.
    pub wakeups: Wakeups,
    /// What is read of the journal for clients, if there is one.
    pub replay: Option<replay::Handle>,
    /// Where tokens are shown, if they are asked for.
    pub authenticator: Option<Authenticator>,
    draining: AtomicBool,
    /// Where one sits who processes.
    pipeline: ConsumerPipeline,
    /// Whether the consumer's own thread alone sits there: it runs in real time, and workers do not.
    dedicated_only: bool,
    /// Whether workers may sit there now: no sink holds them up for long.
    workers_may_run: AtomicBool,
    /// Whether the consumer has a thread of its own.
    has_own_thread: bool,
    /// When somebody must have sat there, in nanoseconds, if something is to be done by then; the consumer's own thread sees to it.
    due_ns: Mutex<Option<u64>>,
    /// Whether all is done that the consumer's own thread had to do.
    is_done: Mutex<bool>,
    done: Condvar,
    /// How the acceptor learns that a place is free.
    pub vacancies: Vacancies,
}

impl Hub {
    /// The hub over the static parts. For the start, once.
    ///
    /// # Errors
    /// When there are not enough descriptors.
    pub fn new(
        options: &Options,
        mut pipeline: ConsumerPipeline,
        replay: Option<replay::Handle>,
        authenticator: Option<Authenticator>,
    ) -> nix::Result<Self> {
        let dedicated_only = options.realtime.is_some();
        let consumer = pipeline.consumer();
        let has_own_thread = dedicated_only || consumer.needs_thread();
        // The first client to ask for the counters finds those of the journal among them.
        COUNTERS.lock().journal = consumer.journal_state();
        Ok(Self {
            settings: Settings::new(options),
            outboxes: &OUTBOXES,
            queue: &QUEUE,
            clients: &CLIENT_TABLE,
            counters: &COUNTERS,
            joined: ConnSet::new(),
            wakeups: Wakeups::new(options.workers)?,
            replay,
            authenticator,
            draining: AtomicBool::new(false),
            dedicated_only,
            workers_may_run: AtomicBool::new(!dedicated_only && consumer.lets_workers_run()),
            has_own_thread,
            due_ns: Mutex::new(None),
            is_done: Mutex::new(!has_own_thread),
            pipeline,
            done: Condvar::new(),
            vacancies: Vacancies::new()?,
        })
    }

    /// Whether there is to be a thread that [keeps processing](Hub::keep_processing).
    pub fn has_own_thread(&self) -> bool {
        self.has_own_thread
    }

    /// Whether there is to be a thread that [keeps delivering](Hub::keep_delivering): where there is a disk to wait for meanwhile. Not
    /// in real time, where what is next must not depend on a thread that is not.
    pub fn has_delivery_thread(&self) -> bool {
        self.replay.is_some() && !self.dedicated_only
    }

    /// The consumer's seat and the history, of a hub that nobody works in any more.
    pub fn into_parts(self) -> (ConsumerPipeline, Option<replay::Handle>) {
        (self.pipeline, self.replay)
    }

    /// For the consumer's own thread: processes when it is called, and when something is due, until the queue is closed.
    pub fn keep_processing(&self) {
        while self.try_run(Caller::OwnThread) {}
        while self.queue.wait(self.timeout()) {
            while self.try_run(Caller::OwnThread) {}
        }
        self.pipeline.run_last(
            |delivery, group| delivery.deliver_all(group, self, Caller::OwnThread),
            |consumer| consumer.run_deadlines(self, true),
        );
        *self.is_done.lock() = true;
        self.done.notify_all();
    }

    /// For the delivery's own thread: delivers what the consumer's own thread hands over, until that has ended.
    pub fn keep_delivering(&self) {
        self.pipeline.keep_delivering(|delivery, group| delivery.deliver_all(group, self, Caller::OwnThread));
    }

    /// Closes the queue, and waits until the consumer's own thread, if it has one, has done all that it had to do; no longer than
    /// `timeout`.
    pub fn finish(&self, timeout: Duration) {
        self.queue.close();
        drop(self.done.wait_timeout_while(self.is_done.lock(), timeout, |is_done| !*is_done));
    }

    /// For `worker`, which has admitted something: sees to it that it is processed. True: the worker must come back, after
    /// its clients have had their turn.
    #[must_use = "who must come back and does not strands messages"]
    pub fn process(&self, worker: WorkerId) -> bool {
        if self.workers_may_run.load(Ordering::Relaxed) {
            return self.try_run(Caller::Worker(worker));
        }
        self.queue.wake_if_waiting();
        false
    }

    /// Sits down in the consumer's seat if it is free; true: to come back. `caller` is the worker that does it, or none.
    #[must_use = "who must come back and does not strands messages"]
    pub fn try_run(&self, caller: Caller) -> bool {
        self.pipeline.try_run(
            |consumer, group| consumer.process(group, self),
            |delivery, group| delivery.deliver_all(group, self, caller),
            |group| caller == Caller::OwnThread && self.offloads(group),
            || self.queue.has_work(),
        )
    }

    /// Whether the consumer's own thread hands a group over instead of delivering it: where the next one waits to go to the disk.
    /// Urgent messages are answered at once: to wake another thread for them takes a while.
    fn offloads(&self, group: &CommitGroup) -> bool {
        self.has_delivery_thread() && !group.is_urgent() && self.queue.has_work()
    }

    /// Lets workers sit down, or leaves that to the consumer's own thread.
    fn let_workers_run(&self, is_open: bool) {
        self.workers_may_run.store(is_open && !self.dedicated_only, Ordering::Relaxed);
    }

    /// How many messages of a worker's are worth a turn while others of its clients still wait for theirs. With a journal all
    /// that they have: it is one sync for all.
    pub fn messages_worth_a_run(&self) -> usize {
        if self.replay.is_some() { usize::MAX } else { PIPELINE_MESSAGES_MIN }
    }

    /// Somebody is to sit down by that time, in nanoseconds.
    fn set_due_ns(&self, due_ns: Option<u64>) {
        *self.due_ns.lock() = due_ns;
        if due_ns.is_some() {
            self.queue.wake();
        }
    }

    /// How long the consumer's own thread may sleep. What is due now is told once: either it sits down then, or whoever does looks
    /// at it again.
    fn timeout(&self) -> Option<Duration> {
        let mut due_ns = self.due_ns.lock();
        let timeout = Duration::from_nanos((*due_ns)?.saturating_sub(clock::now_ns()));
        if timeout.is_zero() {
            *due_ns = None;
        }
        Some(timeout)
    }

    /// How many messages were admitted and are not processed.
    pub fn unprocessed(&self) -> u64 {
        // In this order: what is processed meanwhile was admitted.
        let handled = self.counters.lock().handled;
        self.queue.admitted().saturating_sub(handled)
    }

    /// What the sender of a run was called when it sent it.
    pub fn sender(&self, run: &Chain) -> Name {
        let nick = run.nick().and_then(|nick| Name::try_from(nick).ok());
        nick.unwrap_or_else(|| self.clients.lock().origin(run.client()))
    }

    /// What the tenant of that seat is called now.
    pub fn name(&self, conn: ConnId) -> Name {
        self.clients.lock().name(conn)
    }

    /// The address of the tenant of that seat.
    pub fn address(&self, conn: ConnId) -> IpAddr {
        self.clients.lock().address(conn)
    }

    /// The client at that seat wants to be sent messages of that priority and above, from now on.
    pub fn join(&self, conn: ConnId, min: Priority) {
        let mut outbox = self.outboxes[conn].lock();
        self.joined.insert(conn);
        outbox.join(min);
    }

    /// The client at that seat is to be sent the history, of that priority and above, until it has caught up.
    pub fn follow(&self, conn: ConnId, min: Priority) {
        let mut outbox = self.outboxes[conn].lock();
        self.joined.remove(conn);
        outbox.follow(min);
    }

    /// The client at that seat wants no more of what others say.
    pub fn leave(&self, conn: ConnId) {
        let mut outbox = self.outboxes[conn].lock();
        self.joined.remove(conn);
        outbox.leave();
    }

    /// The client at that seat may not read any more what others say, nor what they said.
    pub fn bar(&self, conn: ConnId) {
        let mut outbox = self.outboxes[conn].lock();
        self.joined.remove(conn);
        outbox.bar();
    }

    /// Nothing more goes to the client at that seat.
    pub fn abort(&self, conn: ConnId) {
        let mut outbox = self.outboxes[conn].lock();
        self.joined.remove(conn);
        outbox.abort();
    }

    /// Frees the place of a connection of which nothing is left.
    pub fn release(&self, conn: ConnId) {
        self.clients.lock().release(conn);
        self.vacancies.tell();
    }

    /// The places for connections.
    pub fn places(&self) -> Places<'_> {
        let Self { clients, outboxes, wakeups, settings, .. } = self;
        Places { clients, outboxes, wakeups, settings }
    }

    /// From now on those tokens are the right ones; the others go back to the caller. Who had one of those that is gone is told so.
    pub fn replace_tokens(&self, tokens: &mut Tokens) {
        if let Some(authenticator) = &self.authenticator {
            authenticator.replace(tokens);
            ConnId::all().for_each(|conn| self.wakeups.wake(conn));
        }
    }

    /// No more reading: what is admitted is processed, and everybody is told goodbye.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        ConnId::all().for_each(|conn| self.wakeups.wake(conn));
    }

    /// Whether the server is shutting down.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}
