//! The hub: what the threads share, and the rooms that move a message from one client to the others.
//!
//! ```text
//! acceptor ─> worker: session ─> commands ─┐
//!                                          ├─> queue ─> consumer ─> sinks ─> commit group ─> delivery ─┐
//! client <─ flush <─ outbox <──────────────┴──────────────────────────────────────────────────────────┤
//!                                                          replay: what the journal has ───────────────┘
//! ```
//!
//! Each part has a mutex of its own. The order of locks, where a lock may be taken while those before it are held:
//!
//! ```text
//! pipeline ─> delivery ─> one of { queue, clients, counters, authenticator, outbox }
//! outbox ─> committed
//! ```
//!
//! No other lock is taken while one is held, and none is held over a system call that can block, but for the pipeline's, which no thread
//! waits for.

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
use crate::conn_id::{ConnId, ConnSet, PerConn};
use crate::limits::{CLIENTS, QUEUE_MAX};
use crate::options::Options;
use crate::protocol::Priority;
use crate::queue::{Chain, Queue};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};
use accept::places::Places;
use accept::vacancies::Vacancies;
use clients::{ClientTable, Name};
use counters::Counters;
use dispatch::policy::Policy;
use egress::outbox::Outbox;
use settings::Settings;
use std::net::IpAddr;
use workers::wakeups::Wakeups;

static OUTBOXES: PerConn<Mutex<Outbox>> = PerConn([const { Mutex::new(Outbox::new()) }; CLIENTS]);
static QUEUE: Queue<Chain, QUEUE_MAX> = Queue::new();
static CLIENT_TABLE: Mutex<ClientTable> = Mutex::new(ClientTable::new());
static COUNTERS: Mutex<Counters> = Mutex::new(Counters::new());

/// What all threads share.
pub struct Hub {
    /// The times and shares that were chosen at the start.
    pub settings: Settings,
    /// What goes to each client.
    pub outboxes: &'static PerConn<Mutex<Outbox>>,
    /// What waits to be processed.
    pub queue: &'static Queue<Chain, QUEUE_MAX>,
    /// Which place each client has.
    pub clients: &'static Mutex<ClientTable>,
    /// What is counted.
    pub counters: &'static Mutex<Counters>,
    /// The connections that may have joined: this says where to look, and the outbox knows. It changes under the outbox's lock.
    pub joined: ConnSet,
    /// How workers are woken.
    pub wakeups: Wakeups,
    /// The replay of the journal, if there is one.
    pub replay: Option<replay::Handle>,
    /// What checks tokens, if clients need one.
    pub authenticator: Option<Authenticator>,
    draining: AtomicBool,
    /// Which threads may run the pipeline.
    pub policy: Policy,
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
            replay,
            authenticator,
            draining: AtomicBool::new(false),
            policy,
            vacancies: Vacancies::new()?,
        })
    }

    /// How many messages were admitted and are not processed.
    pub fn unprocessed(&self) -> u64 {
        // In this order: what is processed meanwhile was admitted.
        let handled = self.counters.lock().handled;
        self.queue.admitted().saturating_sub(handled)
    }

    /// The name that the sender of a run had when it sent it.
    pub fn sender(&self, run: &Chain) -> Name {
        let nick = run.nick().and_then(|nick| Name::try_from(nick).ok());
        nick.unwrap_or_else(|| self.clients.lock().origin(run.client()))
    }

    /// The name of a client.
    pub fn name(&self, conn: ConnId) -> Name {
        self.clients.lock().name(conn)
    }

    /// The address of a client.
    pub fn address(&self, conn: ConnId) -> IpAddr {
        self.clients.lock().address(conn)
    }

    /// A client joins: from now on it is sent messages of that priority and above.
    pub fn join(&self, conn: ConnId, min: Priority) {
        let mut outbox = self.outboxes[conn].lock();
        self.joined.insert(conn);
        outbox.subscriber.join(min);
    }

    /// A client is sent the history, of that priority and above, until it has caught up.
    pub fn begin_catch_up(&self, conn: ConnId, min: Priority) {
        let mut outbox = self.outboxes[conn].lock();
        self.joined.remove(conn);
        outbox.subscriber.begin_catch_up(min);
    }

    /// A client leaves: it is sent no messages of others any more.
    pub fn leave(&self, conn: ConnId) {
        let mut outbox = self.outboxes[conn].lock();
        self.joined.remove(conn);
        outbox.subscriber.leave();
    }

    /// A client may read no messages of others any more, new or old.
    pub fn revoke_reading(&self, conn: ConnId) {
        let mut outbox = self.outboxes[conn].lock();
        self.joined.remove(conn);
        outbox.subscriber.revoke_reading();
    }

    /// Nothing more is sent to a client.
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

    /// Replaces the tokens, and gives the former ones back. A client whose token is gone is told so.
    pub fn replace_tokens(&self, tokens: &mut Tokens) {
        if let Some(authenticator) = &self.authenticator {
            authenticator.replace(tokens);
            ConnId::all().for_each(|conn| self.wakeups.wake(conn));
        }
    }

    /// Begins the shutdown: no more lines are taken, what is admitted is processed, and each client is told.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        ConnId::all().for_each(|conn| self.wakeups.wake(conn));
    }

    /// Whether the server is shutting down.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}
