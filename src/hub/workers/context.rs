//! What a worker lends each session while it polls that session: the hub, the time, a buffer, and a way to admit
//! messages. Knows no sessions.

use crate::conn_id::ConnId;
use crate::hub::Hub;
use crate::hub::dispatch::dispatcher::Dispatcher;
use crate::hub::egress::flush::Chunk;
use crate::hub::workers::WorkerId;
use crate::limits::{IN_FLIGHT, PIPELINE_MESSAGES_MIN, SEND_BYTES_MAX};
use crate::protocol::Priority;
use crate::queue::{Chain, Slot};
use crate::scheduler;
use heapless::Vec;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags, EpollTimeout};
use std::os::fd::{AsFd, BorrowedFd};

/// What a worker lends the session that it polls.
pub struct WorkerContext {
    worker: WorkerId,
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
    /// Whether the worker has asked the scheduler for short slices.
    has_short_slices: bool,
    /// The messages that [`admit_all`](Self::admit_all) admits together: at most all slots of one client.
    runs: Vec<Chain, IN_FLIGHT>,
    /// How many messages this worker has to see processed: those it has admitted since it last ran the pipeline. If
    /// that run left some in the queue, they count as [`PIPELINE_MESSAGES_MIN`].
    unprocessed: usize,
}

impl WorkerContext {
    /// The context of a worker that waits on `epoll`.
    pub fn new(hub: &'static Hub, dispatcher: &'static Dispatcher, worker: WorkerId, epoll: Epoll) -> Self {
        Self {
            worker,
            hub,
            dispatcher,
            draining: false,
            now_ns: 0,
            chunk: [0; SEND_BYTES_MAX],
            epoll,
            has_short_slices: false,
            runs: Vec::new(),
            unprocessed: 0,
        }
    }

    /// Which worker it is.
    pub fn worker(&self) -> WorkerId {
        self.worker
    }

    /// Watches a new connection for as long as its socket is open.
    ///
    /// # Errors
    /// If the kernel lacks the memory.
    pub fn watch(&self, conn: ConnId, socket: &impl AsFd) -> nix::Result<()> {
        let reading = EpollFlags::EPOLLIN | EpollFlags::EPOLLPRI | EpollFlags::EPOLLRDHUP;
        let events = reading | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
        self.epoll.add(socket, EpollEvent::new(events, conn.index() as u64))
    }

    /// Waits for events of what is watched, no longer than `timeout`; returns how many came.
    ///
    /// # Errors
    /// `EINTR` if a signal interrupts the wait.
    pub fn wait(&self, events: &mut [EpollEvent], timeout: EpollTimeout) -> nix::Result<usize> {
        self.epoll.wait(events, timeout)
    }

    /// Keeps a filled slot for [`admit_all`](Self::admit_all).
    pub fn admit(&mut self, slot: &'static mut Slot) {
        if slot.priority() >= Priority::HIGH {
            self.ask_for_short_slices();
        }
        self.unprocessed += 1;
        Chain::append(slot, &mut self.runs);
    }

    /// Makes the scheduler give the thread a processor soon when an urgent line comes. That helps the next urgent
    /// line: this one has come.
    fn ask_for_short_slices(&mut self) {
        if !self.has_short_slices {
            self.has_short_slices = true;
            if let Err(errno) = scheduler::ask_for_short_slices() {
                log::debug!("no short slices: {}", errno.desc());
            }
        }
    }

    /// Admits the slots that [`admit`](Self::admit) kept, all at once.
    pub fn admit_all(&mut self) {
        if !self.runs.is_empty() {
            let runs = self.runs.drain(..).map(|run| (run.priority(), run));
            self.hub.queue.admit(runs, self.now_ns);
        }
    }

    /// Whether messages that this worker admitted may still wait to be processed.
    pub fn has_unprocessed(&self) -> bool {
        self.unprocessed > 0
    }

    /// As [`process`](Self::process), once as many messages wait as are worth a run while other clients of the worker
    /// still wait.
    pub fn process_if_worth_a_run(&mut self) {
        self.process_from(self.dispatcher.messages_worth_a_run());
    }

    /// Gets the admitted messages processed: by this thread, if it may run the pipeline and no other thread does.
    pub fn process(&mut self) {
        self.process_from(1);
    }

    fn process_from(&mut self, messages_min: usize) {
        if self.unprocessed >= messages_min {
            // If messages remain, the worker runs the pipeline again after it has polled one more client, not all:
            // urgent lines of other clients may wait.
            self.unprocessed = if self.dispatcher.process(self.worker) { PIPELINE_MESSAGES_MIN } else { 0 };
        }
    }
}

impl AsFd for WorkerContext {
    /// Becomes readable when something that is watched has an event.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}
