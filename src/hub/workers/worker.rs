//! A worker: one thread that serves the sessions of its seats, one of them or many. It waits in one place only, for
//! all of its sockets, its waker and its timer at once.

use crate::clock;
use crate::conn_id::ConnId;
use crate::hub::Hub;
use crate::hub::connection::session::{PollAt, Session};
use crate::hub::dispatch::dispatcher::Dispatcher;
use crate::hub::egress::flush::Chunk;
use crate::hub::workers::WorkerId;
use crate::hub::workers::timer::Timer;
use crate::limits::{CLIENT_WORDS, EVENTS_MAX, IN_FLIGHT, PIPELINE_MESSAGES_MIN, SEND_BYTES_MAX};
use crate::protocol::Priority;
use crate::queue::{Chain, Slot};
use crate::scheduler;
use heapless::Vec;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::os::fd::{AsFd, BorrowedFd};

/// What the events of waker and timer carry in place of a seat: that they woke the worker is all they have to say.
const NO_CONNECTION: u64 = u64::MAX;

/// What a worker lends the session whose turn it is.
pub struct WorkerContext {
    /// The worker's number.
    number: WorkerId,
    /// The hub.
    pub hub: &'static Hub,
    dispatcher: &'static Dispatcher,
    /// Whether the server is shutting down.
    pub draining: bool,
    /// The time when the worker last woke, in nanoseconds.
    pub now_ns: u64,
    /// Where bytes are copied before they are sent.
    pub chunk: Chunk,
    epoll: Epoll,
    /// Whether it has asked for short slices.
    hurries: bool,
    /// What is to be admitted together: at most all slots of one client.
    runs: Vec<Chain, IN_FLIGHT>,
    /// Messages that this worker has to see to: those admitted since it last did; what it found left then counts as [`PIPELINE_MESSAGES_MIN`].
    unprocessed: usize,
}

impl WorkerContext {
    /// Watches a new connection for as long as it is open.
    ///
    /// # Errors
    /// When the kernel lacks the memory.
    pub fn watch(&self, conn: ConnId, socket: &impl AsFd) -> nix::Result<()> {
        let reading = EpollFlags::EPOLLIN | EpollFlags::EPOLLPRI | EpollFlags::EPOLLRDHUP;
        let events = reading | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
        self.epoll.add(socket, EpollEvent::new(events, conn.index() as u64))
    }

    /// Puts a filled slot aside for [`WorkerContext::admit_all`].
    pub fn admit(&mut self, slot: &'static mut Slot) {
        if slot.priority() >= Priority::HIGH {
            self.hurry();
        }
        self.unprocessed += 1;
        Chain::append(slot, &mut self.runs);
    }

    /// Sees to it that the thread gets a processor soon when an urgent line comes: the next one, for this one has come.
    fn hurry(&mut self) {
        if !self.hurries {
            self.hurries = true;
            if let Err(errno) = scheduler::ask_for_short_slices() {
                log::debug!("no short slices: {}", errno.desc());
            }
        }
    }

    /// Admits what was put aside, all at once.
    pub fn admit_all(&mut self) {
        if !self.runs.is_empty() {
            let runs = self.runs.drain(..).map(|run| (run.priority(), run));
            self.hub.queue.admit(runs, self.now_ns);
        }
    }

    /// Has processed what was admitted, once that is `least` messages: here, if the consumer's seat is free.
    fn process(&mut self, least: usize) {
        if self.unprocessed >= least {
            // Told to come back, it does so after the turn of one more client, not of all: others' urgent lines may wait.
            self.unprocessed = if self.dispatcher.process(self.number) { PIPELINE_MESSAGES_MIN } else { 0 };
        }
    }
}

/// A worker's parts: what it needs of the system and of the hub, made ready before its thread is. It is small, for what is
/// handed to a thread is on the heap first.
pub struct WorkerParts {
    hub: &'static Hub,
    dispatcher: &'static Dispatcher,
    number: WorkerId,
    sessions: &'static mut [Session],
    epoll: Epoll,
    timer: Timer,
}

impl WorkerParts {
    /// The parts of worker `number` of the hub, with its sessions.
    ///
    /// # Errors
    /// When there are not enough descriptors.
    pub fn new(
        hub: &'static Hub,
        dispatcher: &'static Dispatcher,
        number: WorkerId,
        sessions: &'static mut [Session],
    ) -> nix::Result<Self> {
        let (epoll, timer) = (Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?, Timer::new()?);
        // Edge-triggered: each ring is reported once, and nobody needs to read them.
        let events = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        epoll.add(hub.wakeups.waker(number), EpollEvent::new(events, NO_CONNECTION))?;
        epoll.add(&timer, EpollEvent::new(events, NO_CONNECTION))?;
        Ok(Self { hub, dispatcher, number, sessions, epoll, timer })
    }
}

/// A worker and its sessions.
pub struct Worker {
    /// Its sessions, of the seats from `first` on.
    sessions: &'static mut [Session],
    first: usize,
    context: WorkerContext,
    /// Bit `i`: session `i` wants a turn.
    runnable: [u32; CLIENT_WORDS],
    /// No session has a deadline before that time, in nanoseconds.
    deadline_ns: u64,
    timer: Timer,
}

impl Worker {
    /// The worker at that parts.
    pub fn new(parts: WorkerParts) -> Self {
        let WorkerParts { hub, dispatcher, number, sessions, epoll, timer } = parts;
        let context = WorkerContext {
            number,
            hub,
            dispatcher,
            draining: false,
            now_ns: 0,
            chunk: [0; SEND_BYTES_MAX],
            epoll,
            hurries: false,
            runs: Vec::new(),
            unprocessed: 0,
        };
        let first = hub.wakeups.connections_of(number).start;
        Self { sessions, first, context, runnable: [0; CLIENT_WORDS], deadline_ns: u64::MAX, timer }
    }

    /// Serves its sessions for as long as the process lives.
    pub fn run(mut self) -> ! {
        loop {
            self.round(EpollTimeout::NONE);
        }
    }

    /// Waits, no longer than that, for something to do, and does it. True: there is more to do at once. For models, which wait for
    /// this worker's descriptor in their own way, and then give it a round that does not wait.
    pub fn round(&mut self, timeout: EpollTimeout) -> bool {
        self.wait(timeout);
        self.context.now_ns = clock::now_ns();
        self.gather();
        // After the calls: who is called because of it must see it.
        self.context.draining = self.context.hub.is_draining();
        self.wake_overdue();
        self.give_turns();
        // Its own calls, which did not use the waker, must not sleep with it.
        self.gather();
        self.is_busy()
    }

    /// Waits for a socket, the waker, or the timer; not at all if a session or what it has to process wants a turn.
    fn wait(&mut self, timeout: EpollTimeout) {
        self.timer.set(self.deadline_ns);
        self.note_events(if self.is_busy() { EpollTimeout::ZERO } else { timeout });
    }

    /// Waits for events and notes them; returns how many.
    fn note_events(&mut self, timeout: EpollTimeout) -> usize {
        let mut events = [EpollEvent::empty(); EVENTS_MAX];
        let count = loop {
            match self.context.epoll.wait(&mut events, timeout) {
                Ok(count) => break count,
                // Whoever was stopped and goes on is told so first, and of what has happened meanwhile only then.
                Err(Errno::EINTR) => {}
                Err(errno) => unreachable!("epoll_wait on valid arguments: {errno}"),
            }
        };
        for event in events[..count].iter().filter(|event| event.data() != NO_CONNECTION) {
            let session = event.data() as usize - self.first;
            self.sessions[session].note(event.events());
            self.want_turn(session);
        }
        count
    }

    fn is_busy(&self) -> bool {
        self.context.unprocessed > 0 || self.runnable.iter().any(|word| *word != 0)
    }

    /// Takes the calls of others.
    fn gather(&mut self) {
        let (runnable, first) = (&mut self.runnable, self.first);
        self.context.hub.wakeups.take(self.context.number, |conn| set(runnable, conn.index() - first));
    }

    /// Gives a turn to all when the earliest deadline has come: each says its next one. All that has happened is noted before,
    /// or one who did its part in time would be late for a worker that did not run meanwhile.
    fn wake_overdue(&mut self) {
        if self.context.now_ns >= self.deadline_ns {
            // Each socket is reported once before any is reported again.
            let rounds = self.sessions.len().div_ceil(EVENTS_MAX);
            let _ = (0..rounds).find(|_| self.note_events(EpollTimeout::ZERO) < EVENTS_MAX);
            self.deadline_ns = u64::MAX;
            (0..self.sessions.len()).for_each(|session| self.want_turn(session));
        }
    }

    /// One turn for each session that wants one.
    fn give_turns(&mut self) {
        for word in 0..CLIENT_WORDS {
            let mut bits = core::mem::take(&mut self.runnable[word]);
            while bits != 0 {
                let session = word * 32 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                match self.sessions[session].poll(&mut self.context) {
                    PollAt::Now => self.want_turn(session),
                    PollAt::Time(deadline_ns) => self.deadline_ns = self.deadline_ns.min(deadline_ns),
                    PollAt::Ingress => {}
                }
                self.context.process(self.context.dispatcher.messages_worth_a_run());
            }
        }
        self.context.process(1);
    }

    fn want_turn(&mut self, session: usize) {
        set(&mut self.runnable, session);
    }
}

impl AsFd for Worker {
    /// Becomes readable when there is something to do.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.context.epoll.0.as_fd()
    }
}

fn set(words: &mut [u32; CLIENT_WORDS], bit: usize) {
    words[bit / 32] |= 1 << (bit % 32);
}
