//! What the replay reads for one client, and what the client asked for next. The replay itself is
//! [`crate::hub::replay`].

use crate::conn_id::ConnId;
use crate::hub::replay::{Handle, Request};
use crate::hub::workers::context::WorkerContext;
use crate::protocol::Priority;
use crate::queue::{Slot, Slots};

/// What the replay reads now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing.
    Nothing,
    /// What a line asked for. The line has no reply yet.
    Requested,
    /// What the client missed where it fell behind.
    Missed,
}

/// A line that asks for a part of the history.
struct Queued {
    request: Request,
    line: u64,
    slot: &'static mut Slot,
}

/// One client's use of the replay.
pub struct Replaying {
    conn: ConnId,
    state: State,
    /// What the replay reads next.
    queued: Option<Queued>,
}

impl Replaying {
    /// Nothing is read.
    pub const fn new(conn: ConnId) -> Self {
        Self { conn, state: State::Nothing, queued: None }
    }

    /// Whether the replay reads for the client.
    pub fn is_active(&self) -> bool {
        self.state != State::Nothing
    }

    /// Whether a line waits until the replay has done with what it reads.
    pub fn has_queued(&self) -> bool {
        self.queued.is_some()
    }

    /// Whether there is a line whose reply comes from the replay.
    pub fn awaits_reply(&self) -> bool {
        self.state == State::Requested || self.has_queued()
    }

    /// Drops the line that waits, if one does; returns its slot.
    pub fn drop_queued(&mut self) -> Option<&'static mut Slot> {
        self.queued.take().map(|queued| queued.slot)
    }

    /// Queues what line `line` asks for. What the client is sent because it joined stands aside for that. No line may
    /// wait already.
    pub fn queue(&mut self, request: Request, line: u64, slot: &'static mut Slot, context: &WorkerContext) {
        debug_assert!(!self.has_queued());
        if let Request::JoinSince(..) = request {
            context.hub.leave(self.conn);
        } else if self.state == State::Missed {
            context.hub.outboxes[self.conn].lock().subscriber.set_aside();
        }
        self.stop(context);
        self.queued = Some(Queued { request, line, slot });
    }

    /// Makes the replay look whether what it reads is still wanted.
    pub fn stop(&self, context: &WorkerContext) {
        if let Some(handle) = context.hub.replay.as_ref().filter(|_| self.is_active()) {
            handle.wake(self.conn);
        }
    }

    /// Once the replay has done with what it reads, makes it read what is queued, or else what the client missed.
    /// That takes one of `credits`.
    pub fn go_on(&mut self, credits: &mut Slots, context: &WorkerContext) {
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
        let Queued { request, line, slot } = queued;
        self.state = State::Requested;
        if let Request::JoinSince(_, min) = request {
            context.hub.follow(self.conn, min);
        }
        handle.begin(request, self.conn, line, slot);
    }

    /// Where the client fell behind, if it did. The outbox is unlocked again before the replay is called.
    fn take_behind(&self, context: &WorkerContext) -> Option<(u64, Priority)> {
        let mut outbox = context.hub.outboxes[self.conn].lock();
        outbox.subscriber.take_behind()
    }
}
