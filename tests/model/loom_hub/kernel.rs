//! The kernel of a connection: its socket, and the events of its worker.

use loom::sync::{Condvar, Mutex as Lock};
use nix::errno::Errno;

/// The kernel: one connection, and what epoll reports to its worker.
pub struct Kernel {
    pub state: Lock<State>,
    worker: Condvar,
    others: Condvar,
}

/// The state of the socket and of its event.
pub struct State {
    pub is_open: bool,
    /// A thread is inside send().
    pub is_sending: bool,
    /// How many bytes the socket takes.
    pub room: usize,
    /// What the socket took and the client has not read.
    pub taken: Vec<u8>,
    /// A send found the socket full, so the kernel will report when it is writable.
    was_full: bool,
    /// The kernel reported that the socket is writable, and the worker has not seen that.
    is_writable: bool,
    /// The worker's eventfd was written.
    pub is_notified: bool,
    /// Nothing more will happen, so a sleeping worker must end.
    pub has_ended: bool,
}

/// The result of a worker's wait.
#[derive(PartialEq)]
pub enum WaitResult {
    Writable,
    Notified,
    Ended,
}

impl Kernel {
    /// A connection that takes `room` bytes before the client reads.
    pub fn new(room: usize) -> Self {
        let state = State {
            is_open: true,
            is_sending: false,
            room,
            taken: Vec::new(),
            was_full: false,
            is_writable: false,
            is_notified: false,
            has_ended: false,
        };
        Self { state: Lock::new(state), worker: Condvar::new(), others: Condvar::new() }
    }

    /// Changes the state, and wakes all waiting threads to look at it.
    pub fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
        self.worker.notify_one();
        self.others.notify_one();
    }

    /// Sends in two steps, entry and completion, between which other threads run.
    pub fn send(&self, bytes: &[u8]) -> nix::Result<usize> {
        let mut state = self.state.lock().unwrap();
        assert!(state.is_open, "a send on a closed or reused socket");
        assert!(!state.is_sending, "two threads send at once");
        state.is_sending = true;
        drop(state);
        let mut state = self.state.lock().unwrap();
        assert!(state.is_open, "the socket was closed during a send");
        state.is_sending = false;
        let len = bytes.len().min(state.room);
        state.room -= len;
        state.taken.extend_from_slice(&bytes[..len]);
        state.was_full = len == 0;
        drop(state);
        self.others.notify_one();
        if len == 0 { Err(Errno::EAGAIN) } else { Ok(len) }
    }

    /// The client reads what is there, at least one byte. The socket has room at once, and reports it a little later.
    pub fn read(&self) -> Vec<u8> {
        let mut state = self.state.lock().unwrap();
        while state.taken.is_empty() {
            state = self.others.wait(state).unwrap();
        }
        let read = std::mem::take(&mut state.taken);
        state.room += read.len();
        let reports = std::mem::take(&mut state.was_full);
        drop(state);
        if reports {
            self.change(|state| state.is_writable = true);
        }
        read
    }

    /// The worker's wait. Returns `None` if nothing has happened and the worker may not sleep.
    pub fn wait(&self, may_sleep: bool) -> Option<WaitResult> {
        let mut state = self.state.lock().unwrap();
        loop {
            if std::mem::take(&mut state.is_writable) {
                return Some(WaitResult::Writable);
            } else if std::mem::take(&mut state.is_notified) {
                return Some(WaitResult::Notified);
            } else if !may_sleep {
                return None;
            } else if state.has_ended {
                return Some(WaitResult::Ended);
            }
            state = self.worker.wait(state).unwrap();
        }
    }
}
