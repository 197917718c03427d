//! The context that a worker lends each session while it polls the session: the hub, the time, a buffer, and a way to
//! admit messages. Knows no sessions.

use crate::conn_id::ConnId;
use crate::hub::dispatch::dispatcher::Dispatcher;
use crate::hub::handling::parts::TaskParts;
use crate::hub::shared::Hub;
use crate::hub::workers::caller::Caller;
use crate::hub::workers::worker_id::WorkerId;
use crate::limits::{FLOOD_LINES, IN_FLIGHT, PIPELINE_MESSAGES_MIN};
use crate::protocol::Priority;
use crate::queue::{Chain, Slot};
use crate::scheduler;
use core::mem;
use heapless::Vec;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags, EpollTimeout};
use std::os::fd::{AsFd, BorrowedFd};

/// What one poll of a session took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    /// The lines: messages, commands, and lines that are refused.
    pub lines: usize,
    /// The messages among them of priority HIGH or above.
    pub urgent: usize,
}

impl Taken {
    /// Whether a client that sends this much at once floods.
    pub fn is_flood(self) -> bool {
        self.lines.saturating_sub(self.urgent) >= FLOOD_LINES
    }
}

/// The context that a worker lends the session that it polls.
pub struct WorkerContext {
    worker: WorkerId,
    /// The hub.
    pub hub: &'static Hub,
    dispatcher: &'static Dispatcher,
    /// Whether the server is shutting down.
    pub draining: bool,
    /// The time when the worker last woke, in nanoseconds.
    pub now_ns: u64,
    epoll: Epoll,
    /// Whether the worker has asked the scheduler for short slices.
    has_short_slices: bool,
    /// The messages that [`admit_all`](Self::admit_all) admits together: at most as many as one client has slots.
    runs: Vec<Chain, IN_FLIGHT>,
    /// The messages that handlers process, and that `admit_all` admits together.
    tasks: Vec<Chain, IN_FLIGHT>,
    /// What the session that is being polled has taken.
    taken: Taken,
    /// Whether urgent messages for the pipeline were admitted since the worker last ran it.
    has_urgent: bool,
    /// How many messages that this worker has admitted may still wait: those since it last ran the pipeline. If that
    /// run left messages in the queue, they count as [`PIPELINE_MESSAGES_MIN`].
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
            epoll,
            has_short_slices: false,
            runs: Vec::new(),
            tasks: Vec::new(),
            taken: Taken::default(),
            has_urgent: false,
            unprocessed: 0,
        }
    }

    /// The worker's ID.
    pub fn worker(&self) -> WorkerId {
        self.worker
    }

    /// The parts of the hub from which tasks come, and to which they go, for this worker.
    pub fn task_parts(&self) -> TaskParts<'static> {
        self.hub.task_parts(Caller::Worker(self.worker))
    }

    /// Watches the socket of a new connection until it is closed.
    ///
    /// # Errors
    /// If the kernel lacks the memory.
    pub fn watch(&self, conn: ConnId, socket: &impl AsFd) -> nix::Result<()> {
        let reading = EpollFlags::EPOLLIN | EpollFlags::EPOLLPRI | EpollFlags::EPOLLRDHUP;
        let events = reading | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
        self.epoll.add(socket, EpollEvent::new(events, conn.index() as u64))
    }

    /// Waits for events of the watched descriptors, no longer than `timeout`, and returns their number.
    ///
    /// # Errors
    /// `EINTR` if a signal interrupts the wait.
    pub fn wait(&self, events: &mut [EpollEvent], timeout: EpollTimeout) -> nix::Result<usize> {
        self.epoll.wait(events, timeout)
    }

    /// Collects a filled slot for [`admit_all`](Self::admit_all).
    pub fn admit(&mut self, slot: &'static mut Slot) {
        if slot.priority() >= Priority::HIGH {
            self.taken.urgent += 1;
            self.ask_for_short_slices();
        }
        if self.hub.tasks.as_ref().is_some_and(|tasks| tasks.handles(slot.priority())) {
            // There is room: a client has no more slots. A handler gets one message at a time, so each message is a run
            // of its own.
            let _ = self.tasks.push(Chain::of(slot));
            return;
        }
        self.has_urgent |= slot.priority() >= Priority::HIGH;
        self.unprocessed += 1;
        Chain::append(slot, &mut self.runs);
    }

    /// Counts a line that the session takes.
    pub fn count_line(&mut self) {
        self.taken.lines += 1;
    }

    /// What was taken since the last call.
    pub fn take_taken(&mut self) -> Taken {
        mem::take(&mut self.taken)
    }

    /// Counts a task that is done and waits for the consumer.
    pub fn note_completed(&mut self) {
        self.unprocessed += 1;
    }

    /// Asks the scheduler to run this thread soon after a wake. It helps from the next wake on. A yield also
    /// costs less of the thread's share then.
    pub fn ask_for_short_slices(&mut self) {
        if !self.has_short_slices {
            self.has_short_slices = true;
            if let Err(errno) = scheduler::ask_for_short_slices() {
                log::debug!("no short slices: {}", errno.desc());
            }
        }
    }

    /// Admits all slots that [`admit`](Self::admit) has collected, at once.
    pub fn admit_all(&mut self) {
        if !self.runs.is_empty() {
            let runs = self.runs.drain(..).map(|run| (run.priority(), run));
            self.hub.queue.admit(runs, self.now_ns);
        }
        let parts = self.task_parts();
        if let Some(tasks) = self.hub.tasks.as_ref().filter(|_| !self.tasks.is_empty()) {
            tasks.admit(self.tasks.drain(..), self.now_ns, &parts);
        }
    }

    /// Whether messages that this worker admitted may still wait to be processed.
    pub fn has_unprocessed(&self) -> bool {
        self.unprocessed > 0
    }

    /// As [`process`](Self::process), but only if enough messages wait to be worth a run while other clients of the
    /// worker still wait.
    pub fn process_if_worth_a_run(&mut self) {
        self.process_from(self.dispatcher.messages_worth_a_run());
    }

    /// As [`process`](Self::process), but only if an urgent message waits.
    pub fn process_if_urgent(&mut self) {
        if self.has_urgent {
            self.process();
        }
    }

    /// Processes the admitted messages in this thread, if it may run the pipeline and no other thread does; otherwise
    /// another thread processes them.
    pub fn process(&mut self) {
        self.process_from(1);
    }

    fn process_from(&mut self, messages_min: usize) {
        if self.unprocessed >= messages_min {
            self.has_urgent = false;
            // If messages remain, the worker runs the pipeline again after it has polled one more client, not after it
            // has polled all of them: urgent lines of other clients may wait.
            self.unprocessed = if self.dispatcher.process(self.worker) { PIPELINE_MESSAGES_MIN } else { 0 };
        }
    }
}

impl AsFd for WorkerContext {
    /// Becomes readable when a watched descriptor has an event.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}
