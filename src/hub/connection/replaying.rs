//! One client's use of the replay: its replay in progress, and the request that waits. The replay itself is in
//! [`crate::hub::replay`].

use crate::conn_id::ConnId;
use crate::hub::replay::{Handle, Request};
use crate::hub::workers::context::WorkerContext;
use crate::protocol::Priority;
use crate::protocol::reply;
use crate::queue::{Chain, Slot, Slots};

/// The kind of the replay in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing.
    Nothing,
    /// A part of the history that a line requested. The line has no reply yet.
    Requested,
    /// The messages that the client missed after it fell behind.
    Missed,
}

/// The request of a waiting line.
enum Next {
    /// A part of the history.
    Replay(Request),
    /// Only the live messages of this priority and above, in place of the messages that the client missed.
    Join(Priority),
}

/// A line that waits for the replay.
struct Queued {
    next: Next,
    line: u64,
    slot: &'static mut Slot,
}

/// One client's use of the replay.
pub struct Replaying {
    conn: ConnId,
    state: State,
    /// The request that follows the replay in progress.
    queued: Option<Queued>,
}

impl Replaying {
    /// No replay is in progress for that connection.
    pub const fn new(conn: ConnId) -> Self {
        Self { conn, state: State::Nothing, queued: None }
    }

    /// Whether the replay reads for the client.
    pub fn is_active(&self) -> bool {
        self.state != State::Nothing
    }

    /// Whether the replay reads the messages that the client missed.
    pub fn reads_missed(&self) -> bool {
        self.state == State::Missed
    }

    /// Whether a line waits for the end of the replay in progress.
    pub fn has_queued(&self) -> bool {
        self.queued.is_some()
    }

    /// Whether a line waits for its reply from the replay.
    pub fn awaits_reply(&self) -> bool {
        self.state == State::Requested || self.has_queued()
    }

    /// Drops the waiting line, if there is one, and returns its slot.
    pub fn drop_queued(&mut self) -> Option<&'static mut Slot> {
        self.queued.take().map(|queued| queued.slot)
    }

    /// Queues the request of line `line`. A catch-up in progress pauses for it. No line may wait already.
    pub fn queue(&mut self, request: Request, line: u64, slot: &'static mut Slot, context: &WorkerContext) {
        if let Request::JoinSince(..) = request {
            context.hub.leave(self.conn);
        } else {
            self.pause(context);
        }
        self.enqueue(Queued { next: Next::Replay(request), line, slot }, context);
    }

    /// Queues the plain `/join` of line `line`, if the replay [reads the missed messages](Self::reads_missed): only the
    /// replay knows how many of them the client then loses. No line may wait already.
    pub fn queue_join(&mut self, min: Priority, line: u64, slot: &'static mut Slot, context: &WorkerContext) {
        self.pause(context);
        self.enqueue(Queued { next: Next::Join(min), line, slot }, context);
    }

    /// Requests that the replay pauses, if it reads the messages that the client missed.
    fn pause(&self, context: &WorkerContext) {
        if self.reads_missed() {
            context.hub.outboxes[self.conn].lock().subscriber.request_pause();
        }
    }

    fn enqueue(&mut self, queued: Queued, context: &WorkerContext) {
        debug_assert!(!self.has_queued());
        self.stop(context);
        self.queued = Some(queued);
    }

    /// Makes the reader check whether the client still wants its replay.
    pub fn stop(&self, context: &WorkerContext) {
        if let Some(handle) = context.hub.replay.as_ref().filter(|_| self.is_active()) {
            handle.wake(self.conn);
        }
    }

    /// Once the replay in progress has ended, starts the queued request, or else the replay of the messages that the
    /// client missed. The latter takes one of `credits`.
    pub fn advance(&mut self, credits: &mut Slots, context: &WorkerContext) {
        let Some(handle) = context.hub.replay.as_ref().filter(|handle| !handle.is_busy(self.conn)) else {
            return;
        };
        self.state = State::Nothing;
        if let Some(queued) = self.queued.take() {
            self.begin(queued, handle, context);
        } else if !credits.is_empty()
            && let Some((id, min)) = self.take_behind(context)
            && let Some(slot) = credits.pop()
        {
            self.state = State::Missed;
            handle.resume(id, min, self.conn, slot);
        }
    }

    fn begin(&mut self, queued: Queued, handle: &Handle, context: &WorkerContext) {
        let Queued { next, line, slot } = queued;
        match next {
            Next::Join(min) => {
                context.hub.join(self.conn, min);
                context.hub.outboxes[self.conn].lock().reply(Chain::of(slot), |out| reply::ok(out, line));
            }
            Next::Replay(request) => {
                self.state = State::Requested;
                if let Request::JoinSince(_, min) = request {
                    context.hub.begin_catch_up(self.conn, min);
                }
                handle.begin(request, self.conn, line, slot);
            }
        }
    }

    /// Where the client fell behind, if it did. This releases the outbox's lock before the caller locks the replay.
    fn take_behind(&self, context: &WorkerContext) -> Option<(u64, Priority)> {
        let mut outbox = context.hub.outboxes[self.conn].lock();
        outbox.subscriber.take_behind()
    }
}
