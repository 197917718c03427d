//! Which thread may send to one client, and since when the socket accepts nothing. Knows no bytes.
//!
//! One thread sends at a time, and it does not have the outbox locked during its system call. If another thread finds
//! a send in progress, it leaves its bytes to the sending thread, which looks for more before it ends. A thread that
//! would otherwise lose or cut something waits until that send has ended: see
//! [`flush_or_await`](super::flush::flush_or_await).

use nix::errno::Errno;

/// The outcome of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The socket accepted that many bytes.
    Bytes(usize),
    /// The socket is full.
    Full,
    /// The connection is broken.
    Broken(Errno),
}

/// The next action of the sending thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushStatus {
    /// There is more to send: begin another send.
    Again,
    /// Nothing: everything is sent, or nothing can be sent any more.
    Nothing,
    /// Wait until the socket is writable.
    WouldBlock,
    /// The send failed because the connection is broken: wake its worker.
    Broken,
}

/// Whether a thread may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendState {
    /// No thread is sending.
    Idle,
    /// A thread is sending. It looks for more bytes before it ends.
    InProgress,
    /// A thread is sending, and the socket became writable meanwhile. If that send finds the socket full, the result is
    /// out of date: send again.
    InProgressWritable,
    /// The socket is full. No send begins until the socket reports that it is writable.
    WouldBlock,
}

/// The send state of a connection, and since when its socket accepts nothing. A new one is all zeroes.
pub struct Sending {
    state: SendState,
    /// Since when the socket accepts nothing, in nanoseconds, or 0 if it accepts bytes.
    stalled_ns: u64,
}

impl Sending {
    /// No thread is sending, and the socket accepts bytes.
    pub(super) const fn new() -> Self {
        Self { state: SendState::Idle, stalled_ns: 0 }
    }

    /// Begins a send. Returns false if a thread is sending, or if the socket is full. After true, the caller must call
    /// [`Sending::end`].
    #[must_use = "only the thread that began a send may send"]
    pub(super) fn begin(&mut self) -> bool {
        let is_idle = self.state == SendState::Idle;
        if is_idle {
            self.state = SendState::InProgress;
        }
        is_idle
    }

    /// Ends a send. Returns true if the socket became writable meanwhile.
    pub(super) fn end(&mut self) -> bool {
        let became_writable = self.state == SendState::InProgressWritable;
        self.state = SendState::Idle;
        became_writable
    }

    /// Records that the socket is full. If it was full before, the stall does not restart. No send begins until the
    /// socket is writable.
    pub(super) fn block(&mut self, now_ns: impl FnOnce() -> u64) {
        self.state = SendState::WouldBlock;
        if self.stalled_ns == 0 {
            self.stalled_ns = now_ns();
        }
    }

    /// Records that the socket has accepted bytes.
    pub(super) fn progress(&mut self) {
        self.stalled_ns = 0;
    }

    /// Stops waiting for the socket: nothing more is sent on it.
    pub(super) fn cancel_wait(&mut self) {
        if self.state == SendState::WouldBlock {
            self.state = SendState::Idle;
        }
    }

    /// Records that the socket is writable.
    pub fn set_writable(&mut self) {
        self.state = match self.state {
            SendState::Idle | SendState::WouldBlock => SendState::Idle,
            SendState::InProgress | SendState::InProgressWritable => SendState::InProgressWritable,
        }
    }

    /// If the socket is full, restarts the stall at `now_ns`: the client has read some of the bytes that the kernel
    /// holds.
    pub fn restart_stall(&mut self, now_ns: u64) {
        if self.state == SendState::WouldBlock {
            self.stalled_ns = now_ns;
        }
    }

    /// Whether a thread is sending.
    pub fn is_in_progress(&self) -> bool {
        matches!(self.state, SendState::InProgress | SendState::InProgressWritable)
    }

    /// Since when the socket accepts nothing, in nanoseconds, or `None` if it accepts bytes or there is nothing to
    /// send.
    pub fn stalled_ns(&self) -> Option<u64> {
        (self.state == SendState::WouldBlock).then_some(self.stalled_ns)
    }
}
