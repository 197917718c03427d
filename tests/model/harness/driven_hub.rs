//! A whole hub that a test drives: its workers and its consumer are the real ones, and run only when the test
//! says so; its clients are the other ends of sockets in this process. So nothing happens by itself, and the
//! same steps give the same result.

#![expect(unsafe_code, reason = "a hub is leaked, and taken back when nothing refers to it")]

use super::transcript::Transcript;
use firstline::clock;
use firstline::conn_id::ConnId;
use firstline::hub::connection::session::Session;
use firstline::hub::dispatch::consumer::{Consumer, ConsumerPipeline};
use firstline::hub::dispatch::dispatcher::Dispatcher;
use firstline::hub::dispatch::policy::Policy;
use firstline::hub::handling::fate::Rules;
use firstline::hub::handling::shared::{SharedTasks, Table};
use firstline::hub::replay;
use firstline::hub::shared::Hub;
use firstline::hub::workers::worker::{Worker, WorkerParts};
use firstline::hub::workers::worker_id::WorkerId;
use firstline::limits::RECEIVE_BYTES;
use firstline::options::Options;
use firstline::protocol::Priority;
use firstline::queue::{Order, Queue};
use firstline::sync::Mutex;
use nix::sys::socket::{setsockopt, sockopt};
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

/// What exists once in a process. One hub after the other uses it.
pub struct Singletons {
    pub pipeline: ConsumerPipeline,
    /// For a consumer with a journal.
    pub history: Option<replay::Handle>,
    sessions: &'static mut [Session],
    are_outboxes_filled: bool,
}

impl Singletons {
    /// What the first hub uses.
    pub fn new(consumer: Consumer, history: Option<replay::Handle>) -> Self {
        let sessions = ConnId::all().map(|conn| Session::new(conn, Box::leak(Box::new([0; RECEIVE_BYTES]))));
        let sessions: Box<[Session]> = sessions.collect();
        Self {
            pipeline: consumer.into_pipeline(),
            history,
            sessions: Box::leak(sessions),
            are_outboxes_filled: false,
        }
    }
}

/// A hub, its dispatcher and its workers.
pub struct Parts {
    pub hub: &'static Hub,
    pub dispatcher: &'static Dispatcher,
    pub workers: Vec<Worker>,
    pub sessions: &'static mut [Session],
}

impl Parts {
    /// A hub for these options, without time-outs and rates, except for those that `adjust` sets.
    pub fn new(singletons: Singletons, options: &Options, adjust: impl FnOnce(&mut Hub)) -> Self {
        let Singletons { mut pipeline, history, sessions, are_outboxes_filled } = singletons;
        let consumer = pipeline.consumer();
        let policy = Policy::new(false, consumer.needs_thread(), consumer.lets_workers_run());
        let mut hub = Hub::new(options, policy, history, None).expect("there are descriptors");
        // A closed queue cannot be reopened.
        hub.queue = Box::leak(Box::new(Queue::new()));
        let settings = &mut hub.settings;
        (settings.rate, settings.urgent_rate, settings.idle_grace_ns) = (None, None, None);
        (settings.line_timeout_ns, settings.idle_timeout_ns, settings.write_timeout_ns) = (None, None, None);
        adjust(&mut hub);
        let hub: &'static Hub = Box::leak(Box::new(hub));
        let dispatcher: &'static Dispatcher = Box::leak(Box::new(Dispatcher::new(hub, pipeline)));
        if !are_outboxes_filled {
            hub.fill_outboxes();
        }
        // SAFETY: the workers have the sessions until they are dropped, and `Parts::end` returns the sessions
        // only after that.
        let mut lent: &'static mut [Session] =
            unsafe { core::slice::from_raw_parts_mut(sessions.as_mut_ptr(), sessions.len()) };
        let mut workers = Vec::new();
        for worker in (0..options.workers).map(WorkerId::new) {
            let (mine, others) = lent.split_at_mut(hub.wakeups.connections_of(worker).len());
            lent = others;
            workers.push(Worker::new(
                WorkerParts::new(hub, dispatcher, worker, mine).expect("there are descriptors"),
            ));
        }
        Self { hub, dispatcher, workers, sessions }
    }

    /// Ends a hub that must be quiescent: it must hold nothing of any client.
    pub fn end(self) -> Singletons {
        let Self { hub, dispatcher, workers, sessions } = self;
        drop(workers);
        assert_quiescent(hub);
        if let Some(tasks) = &hub.tasks {
            // SAFETY: `handling` has leaked it, and nothing refers to it any more.
            drop(unsafe { Box::from_raw((&raw const *tasks.shared_table()).cast_mut()) });
        }
        // SAFETY: all three were leaked above, and nothing refers to them any more.
        let (hub, dispatcher, queue) = unsafe {
            let queue = Box::from_raw((&raw const *hub.queue).cast_mut());
            let dispatcher = Box::from_raw((&raw const *dispatcher).cast_mut());
            (Box::from_raw((&raw const *hub).cast_mut()), dispatcher, queue)
        };
        let pipeline = dispatcher.into_pipeline();
        drop(queue);
        Singletons { pipeline, history: hub.replay, sessions, are_outboxes_filled: true }
    }
}

/// Tasks for a hub: handlers process the messages of priority `min` and above. [`Parts::end`] frees them.
pub fn handling(min: Priority, rules: Rules) -> SharedTasks {
    SharedTasks::new(min, Box::leak(Box::new(Mutex::new(Table::new()))), rules, Order::STRICT)
}

fn assert_quiescent(hub: &Hub) {
    assert_eq!(hub.clients.lock().taken().0, 0, "a place is still taken");
    assert!(hub.joined.is_empty(), "a client is still subscribed");
    assert_eq!(hub.queue.depths().map(|depth| depth.now), [0; Priority::COUNT], "a message still waits");
    if let Some(tasks) = &hub.tasks {
        let table = tasks.table();
        assert_eq!((table.unfinished(), table.handlers().len()), (0, 0), "a task or a handler is left");
    }
    for outbox in &hub.outboxes.0 {
        let outbox = outbox.lock();
        assert!(
            outbox.is_quiescent() && outbox.is_empty() && !outbox.is_alive() && outbox.subscriber.lost() == 0
        );
        assert!(outbox.subscriber.joined().is_none() && !outbox.subscriber.is_behind());
        assert_eq!(outbox.outstanding(), 0, "a slot is outstanding");
    }
}

/// A client.
pub struct Client {
    /// `None` after it has closed the connection.
    pub socket: Option<UnixStream>,
    pub transcript: Transcript,
}

/// The result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadResult {
    Bytes(usize),
    Nothing,
    End,
}

impl Client {
    /// A client that connects to the hub, from an address that no other has; its socket holds about `holds`
    /// unread bytes. `None` if all places are taken.
    pub fn connect(hub: &Hub, serial: u32, holds: usize) -> Option<Self> {
        let (socket, other) = UnixStream::pair().expect("there are descriptors");
        socket.set_nonblocking(true).unwrap();
        // Without the right to force it, the size is as much as the kernel permits.
        if setsockopt(&other, sockopt::SndBufForce, &holds).is_err() {
            setsockopt(&other, sockopt::SndBuf, &holds).unwrap();
        }
        let peer = SocketAddr::new(IpAddr::V4((0x0a00_0000 + serial).into()), 9);
        hub.places().take(OwnedFd::from(other), peer, clock::now_ns()).ok()?;
        let mut transcript = Transcript::new(peer.to_string());
        transcript.may_be_cut_short = hub.settings.write_timeout_ns.is_some();
        Some(Self { socket: Some(socket), transcript })
    }

    /// Sends as much as the connection takes at once, and returns how much that is.
    pub fn send(&mut self, bytes: &[u8]) -> usize {
        let Some(mut socket) = self.socket.as_ref() else { return 0 };
        if self.transcript.has_ended_sending || bytes.is_empty() {
            return 0;
        }
        // If the server has closed the connection, it reads nothing of this.
        let sent = socket.write(bytes).unwrap_or(0);
        self.transcript.send(&bytes[..sent]);
        sent
    }

    /// Closes the sending half.
    pub fn end_sending(&mut self) {
        if let Some(socket) = &self.socket {
            let _ = socket.shutdown(Shutdown::Write);
            self.transcript.has_ended_sending = true;
        }
    }

    /// Reads what is there, at most `bytes_max` bytes.
    pub fn read(&mut self, bytes_max: usize) -> ReadResult {
        let (Some(mut socket), mut buffer) = (self.socket.as_ref(), [0; 8192]) else {
            return ReadResult::End;
        };
        let room = buffer.len().min(bytes_max);
        match std::io::Read::read(&mut socket, &mut buffer[..room]) {
            Ok(0) if room > 0 => self.closed(),
            Ok(bytes) => {
                self.transcript.receive(&buffer[..bytes]);
                ReadResult::Bytes(bytes)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => ReadResult::Nothing,
            // The kernel resets the connection if the server closes it with bytes unread.
            Err(_) => self.closed(),
        }
    }

    fn closed(&mut self) -> ReadResult {
        self.transcript.is_closed = true;
        self.socket = None;
        ReadResult::End
    }

    /// Closes the connection without reading what is on its way.
    pub fn vanish(&mut self) {
        self.transcript.is_abandoned |= !self.transcript.is_closed;
        self.socket = None;
    }
}
