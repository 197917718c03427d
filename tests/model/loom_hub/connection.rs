//! A connection: the real outbox on the modelled kernel, and the loop of its worker.

use crate::kernel::{Kernel, WaitResult};
use crate::{make, pool};
use firstline::hub::egress::flush;
use firstline::hub::egress::outbox::Outbox;
use firstline::hub::egress::send_state::FlushStatus;
use firstline::hub::egress::shared_outbox::{LockedOutbox, SharedOutbox};
use firstline::hub::egress::wake_on::WakeOn;
use firstline::limits::{IN_FLIGHT, OUTBOX_BYTES};
use firstline::queue::{Chain, Slots};
use firstline::sync::Bitmap;
use heapless::VecView;
use loom::sync::Arc;
use std::cell::RefCell;
use std::fs::File;
use std::os::fd::OwnedFd;

/// A connection's outbox, its kernel side, and its wake bit.
pub struct Connection {
    pub outbox: SharedOutbox,
    pub kernel: Kernel,
    wakes: Bitmap<1>,
    /// All bytes in the order in which they were pushed. Used only while the outbox is locked, so it needs no model.
    pub pushed: std::sync::Mutex<Vec<u8>>,
}

impl Connection {
    /// A connection whose socket takes `room` bytes.
    pub fn new(room: usize) -> Arc<Self> {
        let connection = make(OUTBOX_BYTES, move || {
            let connection = Arc::new(Self {
                outbox: SharedOutbox::new(),
                kernel: Kernel::new(room),
                wakes: Bitmap::new(),
                pushed: std::sync::Mutex::default(),
            });
            pool::fill(&mut connection.outbox.lock());
            connection
        });
        connection.open();
        connection
    }

    /// Grants `slots` slots.
    pub fn grant(&self, slots: usize) -> Slots {
        let (mut outbox, mut granted) = (self.outbox.lock(), Slots::new());
        outbox.grant(&mut granted);
        (slots..IN_FLIGHT).for_each(|_| outbox.release_slots(Chain::of(granted.pop().unwrap())));
        granted
    }

    /// Pushes a line.
    pub fn push(&self, line: &[u8]) {
        let mut outbox = self.outbox.lock();
        assert!(outbox.push_line(line));
        self.pushed.lock().unwrap().extend(line);
    }

    /// The flush's loop on the modelled socket.
    pub fn send(&self, chunk: &mut VecView<u8>) -> FlushStatus {
        flush::flush_by(|_, bytes| self.kernel.send(bytes), &mut self.outbox.lock(), chunk)
    }

    /// As `Wakeups::wake`.
    fn wake(&self) {
        if self.wakes.insert(0) {
            self.kernel.change(|state| state.is_notified = true);
        }
    }

    /// As the delivery's send; returns whether the worker asked to be woken.
    pub fn send_and_wake(&self, chunk: &mut VecView<u8>) -> bool {
        let mut outbox = self.outbox.lock();
        let next = flush::flush_by(|_, bytes| self.kernel.send(bytes), &mut outbox, chunk);
        let wanted = outbox.is_worker_wanted();
        drop(outbox);
        if wanted || next != FlushStatus::Nothing {
            self.wake();
        }
        wanted
    }

    /// Sends everything, and waits for a send of another thread, but not for the socket. Returns whether all is sent.
    pub fn send_all(&self, chunk: &mut VecView<u8>) -> bool {
        let chunk = RefCell::new(chunk);
        let flush = |outbox: &mut LockedOutbox<'_>| {
            flush::flush_by(|_, bytes| self.kernel.send(bytes), outbox, *chunk.borrow_mut())
        };
        let await_send = |outbox: &mut LockedOutbox<'_>| {
            outbox.await_send();
            true
        };
        let mut outbox = self.outbox.lock();
        flush::flush_or_await_by(flush, Outbox::is_empty, await_send, &mut outbox);
        outbox.is_empty()
    }

    /// The client reads until it has `len` bytes.
    pub fn read(&self, len: usize) -> Vec<u8> {
        let mut read = Vec::new();
        while read.len() < len {
            read.extend(self.kernel.read());
        }
        read
    }

    /// Returns the slots to the pool; the outbox must have all of them.
    pub fn return_slots(&self) {
        pool::put_back(&mut self.outbox.lock());
    }

    /// A client connects.
    pub fn open(&self) {
        let socket = OwnedFd::from(File::open("/dev/null").unwrap());
        self.outbox.lock().open(socket, 0);
    }
}

/// The worker's loop around the polls of its one session.
pub struct Worker<'a> {
    connection: &'a Connection,
    pub is_runnable: bool,
}

impl<'a> Worker<'a> {
    pub fn new(connection: &'a Connection) -> Self {
        Self { connection, is_runnable: true }
    }

    /// Waits until a poll is due; returns false at the end.
    pub fn wait(&mut self) -> bool {
        loop {
            let woken = self.connection.kernel.wait(!self.is_runnable);
            self.connection.wakes.drain(0, 1, |_| self.is_runnable = true);
            if woken == Some(WaitResult::Writable) {
                self.is_runnable = true;
                self.connection.outbox.lock().sending.set_writable();
            }
            if std::mem::take(&mut self.is_runnable) {
                return true;
            }
            if woken == Some(WaitResult::Ended) {
                return false;
            }
        }
    }

    /// Sends, and requests another poll if more is left.
    pub fn send(&mut self, chunk: &mut VecView<u8>) {
        self.is_runnable |= self.connection.send(chunk) == FlushStatus::Again;
    }

    /// As `Session::vacate`; returns whether the place is free.
    pub fn vacate(&mut self) -> bool {
        let mut outbox = self.connection.outbox.lock();
        let (is_sending, is_quiescent) = (outbox.sending.is_in_progress(), outbox.is_quiescent());
        outbox.wake_on = if is_quiescent { WakeOn::Nothing } else { WakeOn::Quiescence };
        drop(outbox);
        if !is_sending {
            self.connection.kernel.change(|state| state.is_open = false);
        }
        is_quiescent
    }
}
