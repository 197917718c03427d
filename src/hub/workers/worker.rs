//! A worker: one thread that serves the sessions of one or many connections. It waits in only one place: for all its
//! sockets, its waker and its timer at once.

use crate::clock;
use crate::hub::connection::poll_at::PollAt;
use crate::hub::connection::session::Session;
use crate::hub::dispatch::dispatcher::Dispatcher;
use crate::hub::shared::Hub;
use crate::hub::workers::context::{Taken, WorkerContext};
use crate::hub::workers::floods::Floods;
use crate::hub::workers::session_set::SessionSet;
use crate::hub::workers::timer::Timer;
use crate::hub::workers::worker_id::WorkerId;
use crate::hub::workers::yield_policy::YieldPolicy;
use crate::limits::{EVENTS_MAX, LINES_BETWEEN_EVENTS};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::os::fd::{AsFd, BorrowedFd};

/// Events of the waker have this in place of a connection's index: they only wake the worker.
const WAKER: u64 = u64::MAX;
/// Events of the timer have this.
const TIMER: u64 = u64::MAX - 1;

/// The parts of a worker: the hub and the descriptors that it needs. Startup makes them before the worker's thread
/// starts, so that an error ends the start. The type is small because the heap holds what a new thread receives.
pub struct WorkerParts {
    hub: &'static Hub,
    dispatcher: &'static Dispatcher,
    worker: WorkerId,
    sessions: &'static mut [Session],
    epoll: Epoll,
    timer: Timer,
}

impl WorkerParts {
    /// The parts of a worker that serves `sessions`.
    ///
    /// # Errors
    /// If there are not enough descriptors, or the kernel lacks the memory.
    pub fn new(
        hub: &'static Hub,
        dispatcher: &'static Dispatcher,
        worker: WorkerId,
        sessions: &'static mut [Session],
    ) -> nix::Result<Self> {
        let (epoll, timer) = (Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?, Timer::new()?);
        // Edge-triggered: epoll reports each wake and each expiration once, and nothing has to read them.
        let events = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        epoll.add(hub.wakeups.waker(worker), EpollEvent::new(events, WAKER))?;
        epoll.add(&timer, EpollEvent::new(events, TIMER))?;
        Ok(Self { hub, dispatcher, worker, sessions, epoll, timer })
    }
}

/// A worker and its sessions.
pub struct Worker {
    /// The worker's sessions: those of the connections from index `first` on.
    sessions: &'static mut [Session],
    first: usize,
    context: WorkerContext,
    /// The sessions that have to be polled.
    runnable: SessionSet,
    floods: Floods,
    /// How many lines the worker has taken since it last asked for events.
    lines: usize,
    yields: YieldPolicy,
    /// No session has an earlier deadline than this, in nanoseconds.
    deadline_ns: u64,
    timer: Timer,
}

impl Worker {
    /// The worker made of these parts.
    pub fn new(parts: WorkerParts) -> Self {
        let WorkerParts { hub, dispatcher, worker, sessions, epoll, timer } = parts;
        let context = WorkerContext::new(hub, dispatcher, worker, epoll);
        let first = hub.wakeups.connections_of(worker).start;
        Self {
            sessions,
            first,
            context,
            runnable: SessionSet::EMPTY,
            floods: Floods::NONE,
            lines: 0,
            yields: YieldPolicy::new(hub.progress, worker, hub.wakeups.workers()),
            deadline_ns: u64::MAX,
            timer,
        }
    }

    /// Serves the sessions for as long as the process lives.
    pub fn run(mut self) -> ! {
        loop {
            self.round(EpollTimeout::NONE);
        }
    }

    /// Waits for work, no longer than `timeout`, and does it. Returns true if there is more work at once. Public for
    /// models: they wait for the worker's descriptor in their own way, and then run a round that does not wait.
    pub fn round(&mut self, timeout: EpollTimeout) -> bool {
        self.wait(timeout);
        self.context.now_ns = clock::now_ns();
        self.floods.forget_old(self.context.now_ns);
        self.take_wakeups();
        self.wake_overdue();
        self.poll_sessions();
        // When this worker wakes its own sessions, it does not use the waker. So it must take these wakeups before it
        // sleeps.
        self.take_wakeups();
        // Not in `wait`: models wait for the descriptor between two rounds, and the timer must be armed by then.
        self.timer.set(self.deadline_ns);
        self.has_work()
    }

    /// Waits for a socket, the waker or the timer. Does not wait if there is work.
    fn wait(&mut self, timeout: EpollTimeout) {
        self.note_events(if self.has_work() { EpollTimeout::ZERO } else { timeout });
    }

    /// Waits for events, records them, and returns their number.
    fn note_events(&mut self, timeout: EpollTimeout) -> usize {
        // A worker with one place does not need this: it soon waits for its client.
        if self.sessions.len() > 1
            && let Some(stalled) = self.yields.next_stalled()
        {
            self.context.ask_for_short_slices();
            self.yields.yield_to(stalled);
            self.context.now_ns = clock::now_ns();
        }
        if timeout != EpollTimeout::ZERO {
            self.yields.note_wait();
        }
        let mut events = [EpollEvent::empty(); EVENTS_MAX];
        let count = loop {
            match self.context.wait(&mut events, timeout) {
                Ok(count) => break count,
                // A process that continues after a stop gets this error first. Only the next call reports the events of
                // the meantime.
                Err(Errno::EINTR) => {}
                Err(errno) => unreachable!("epoll_wait on valid arguments: {errno}"),
            }
        };
        for event in &events[..count] {
            match event.data() {
                WAKER => {}
                TIMER => self.timer.note_expired(),
                index => {
                    let session = index as usize - self.first;
                    self.sessions[session].note_events(event.events());
                    self.runnable.insert(session);
                }
            }
        }
        self.lines = 0;
        count
    }

    fn has_work(&self) -> bool {
        self.context.has_unprocessed() || !self.runnable.is_empty()
    }

    /// Makes each session runnable that a thread has woken.
    fn take_wakeups(&mut self) {
        let (runnable, first) = (&mut self.runnable, self.first);
        let worker = self.context.worker();
        self.context.hub.wakeups.take(worker, |conn| runnable.insert(conn.index() - first));
        // Read after the wakeups are taken: a session that the shutdown has woken must see the shutdown.
        self.context.draining = self.context.hub.is_draining();
    }

    /// Once the earliest deadline has passed, makes all sessions runnable, because each poll returns the session's next
    /// deadline. Before that it records all pending events. Otherwise a client that met its deadline would count as
    /// late only because the worker did not run meanwhile.
    fn wake_overdue(&mut self) {
        if self.context.now_ns >= self.deadline_ns {
            // Epoll reports each socket once before it reports any of them again.
            let rounds = self.sessions.len().div_ceil(EVENTS_MAX);
            let _ = (0..rounds).find(|_| self.note_events(EpollTimeout::ZERO) < EVENTS_MAX);
            self.deadline_ns = u64::MAX;
            (0..self.sessions.len()).for_each(|session| self.runnable.insert(session));
        }
    }

    /// Polls the runnable sessions that do not flood, and then each one that floods, once. Each time the worker has
    /// taken [`LINES_BETWEEN_EVENTS`] lines, it asks for events and polls the others again, so that their lines do not
    /// wait for all that flood.
    fn poll_sessions(&mut self) {
        let runnable = self.runnable;
        let quiet = self.poll_quiet();
        for session in runnable.without(&quiet).iter() {
            self.poll(session);
            if self.lines >= LINES_BETWEEN_EVENTS {
                self.note_events(EpollTimeout::ZERO);
                self.take_wakeups();
                self.poll_quiet();
            }
        }
        self.context.process();
    }

    /// Polls each runnable session that does not flood, once, and returns the set of them.
    fn poll_quiet(&mut self) -> SessionSet {
        let quiet = self.runnable.without(&self.floods.sessions());
        quiet.iter().for_each(|session| self.poll(session));
        self.context.process_if_urgent();
        quiet
    }

    /// Polls a session, if it is runnable.
    fn poll(&mut self, index: usize) {
        if !self.runnable.remove(index) {
            return;
        }
        self.yields.note_step();
        let was_open = self.sessions[index].is_open();
        let next = self.sessions[index].poll(&mut self.context);
        let taken = self.context.take_taken();
        self.lines += taken.lines;
        self.yields.count_lines(taken.lines);
        self.note_flood(index, was_open, next, taken);
        match next {
            PollAt::Now => self.runnable.insert(index),
            PollAt::Time(deadline_ns) => self.deadline_ns = self.deadline_ns.min(deadline_ns),
            PollAt::Ingress => {}
        }
        self.context.process_if_worth_a_run();
    }

    /// Records whether a session has flooded, or no longer floods, after a poll that took `taken` and returned `next`.
    fn note_flood(&mut self, index: usize, was_open: bool, next: PollAt, taken: Taken) {
        let session = &self.sessions[index];
        let has_flooded = match (was_open, session.is_open()) {
            (true, true) => taken.is_flood() || next == PollAt::Now && taken.urgent == 0,
            // It has just arrived.
            (false, true) => false,
            // It is leaving, and what it still sends is discarded.
            (_, false) => !session.is_vacant(),
        };
        if has_flooded {
            self.floods.insert(index);
        } else if !session.is_open() || taken.lines > 0 {
            self.floods.remove(index);
        }
    }
}

impl AsFd for Worker {
    /// Becomes readable when there is work.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.context.as_fd()
    }
}
