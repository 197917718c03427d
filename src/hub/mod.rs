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
