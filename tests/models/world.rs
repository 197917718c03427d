//! A whole hub, driven by hand: its workers and its consumer are the real ones and move when they are told to, and its clients are at
//! the other ends of sockets of this process. So nothing happens that the one who drives does not want, and the same happens again
//! when he does the same.

#![expect(unsafe_code, reason = "a hub is leaked, and taken back when nothing refers to it")]

use super::promises::Talk;
use firstline::clock;
use firstline::conn_id::ConnId;
use firstline::hub::Hub;
use firstline::hub::connection::session::Session;
use firstline::hub::dispatch::consumer::{Consumer, ConsumerPipeline};
use firstline::hub::dispatch::dispatcher::Dispatcher;
use firstline::hub::dispatch::policy::Policy;
use firstline::hub::replay;
use firstline::hub::workers::WorkerId;
use firstline::hub::workers::worker::{Worker, WorkerParts};
use firstline::limits::RECEIVE_BYTES;
use firstline::options::Options;
use firstline::protocol::Priority;
use firstline::queue::{Chain, Queue, take_slots};
use nix::sys::socket::{setsockopt, sockopt};
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

/// What there is once in a process. One hub after the other has it.
pub struct Kit {
    pub pipeline: ConsumerPipeline,
    /// For a consumer that keeps a journal.
    pub history: Option<replay::Handle>,
    sessions: &'static mut [Session],
    are_slots_home: bool,
}

impl Kit {
    /// For whoever comes first.
    pub fn new(consumer: Consumer, history: Option<replay::Handle>) -> Self {
        let sessions = ConnId::all().map(|conn| Session::new(conn, Box::leak(Box::new([0; RECEIVE_BYTES]))));
        let sessions: Box<[Session]> = sessions.collect();
        Self {
            pipeline: consumer.into_pipeline(),
            history,
            sessions: Box::leak(sessions),
            are_slots_home: false,
        }
    }
}

/// A hub, and who works in it.
pub struct Parts {
    pub hub: &'static Hub,
    pub dispatcher: &'static Dispatcher,
    pub workers: Vec<Worker>,
    pub sessions: &'static mut [Session],
}

impl Parts {
    /// A hub for these options, without time-outs and rates unless `adjust` sets some.
    pub fn new(kit: Kit, options: &Options, adjust: impl FnOnce(&mut Hub)) -> Self {
        let Kit { mut pipeline, history, sessions, are_slots_home } = kit;
        let consumer = pipeline.consumer();
        let policy = Policy::new(false, consumer.needs_thread(), consumer.lets_workers_run());
        let mut hub = Hub::new(options, policy, history, None).expect("there are descriptors");
        // A queue that was closed is not opened again.
        hub.queue = Box::leak(Box::new(Queue::new()));
        let settings = &mut hub.settings;
        (settings.rate, settings.urgent_rate, settings.idle_grace_ns) = (None, None, None);
        (settings.line_timeout_ns, settings.idle_timeout_ns, settings.write_timeout_ns) = (None, None, None);
        adjust(&mut hub);
        let hub: &'static Hub = Box::leak(Box::new(hub));
        let dispatcher: &'static Dispatcher = Box::leak(Box::new(Dispatcher::new(hub, pipeline)));
        if !are_slots_home {
            for (outbox, slots) in hub.outboxes.0.iter().zip(take_slots()) {
                slots.iter_mut().for_each(|slot| outbox.lock().release_slots(Chain::of(slot)));
            }
        }
        // SAFETY: the workers have the sessions until they are dropped, and `Parts::end` returns them only then.
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

    /// Ends a hub that must have come to rest: nothing of anybody may be left in it.
    pub fn end(self) -> Kit {
        let Self { hub, dispatcher, workers, sessions } = self;
        drop(workers);
        assert_rest(hub);
        // SAFETY: all three were leaked above, and nothing else refers to them any more.
        let (hub, dispatcher, queue) = unsafe {
            let queue = Box::from_raw((&raw const *hub.queue).cast_mut());
            let dispatcher = Box::from_raw((&raw const *dispatcher).cast_mut());
            (Box::from_raw((&raw const *hub).cast_mut()), dispatcher, queue)
        };
        let pipeline = dispatcher.into_pipeline();
        drop(queue);
        Kit { pipeline, history: hub.replay, sessions, are_slots_home: true }
    }
}

fn assert_rest(hub: &Hub) {
    assert_eq!(hub.clients.lock().taken().0, 0, "a seat is still taken");
    assert!(hub.joined.is_empty(), "somebody is still sent what others say");
    assert_eq!(hub.queue.depths().map(|depth| depth.now), [0; Priority::COUNT], "something still waits");
    for outbox in &hub.outboxes.0 {
        let outbox = outbox.lock();
        assert!(
            outbox.is_quiescent() && outbox.is_empty() && !outbox.is_alive() && outbox.subscriber.lost() == 0
        );
        assert!(outbox.subscriber.joined().is_none() && !outbox.subscriber.is_behind());
        assert_eq!(outbox.outstanding(), 0, "a slot is not at home");
    }
}

/// A client.
pub struct Client {
    /// None: it has closed the connection.
    pub socket: Option<UnixStream>,
    pub talk: Talk,
}

/// Whether a read brought something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    Bytes(usize),
    Nothing,
    End,
}

impl Client {
    /// One that connects to the hub, from an address that no other has had; its socket holds about so many bytes that it does not read.
    /// None: all seats are taken.
    pub fn connect(hub: &Hub, serial: u32, holds: usize) -> Option<Self> {
        let (socket, other) = UnixStream::pair().expect("there are descriptors");
        socket.set_nonblocking(true).unwrap();
        // Without that right it is as much as the system allows.
        if setsockopt(&other, sockopt::SndBufForce, &holds).is_err() {
            setsockopt(&other, sockopt::SndBuf, &holds).unwrap();
        }
        let peer = SocketAddr::new(IpAddr::V4((0x0a00_0000 + serial).into()), 9);
        hub.places().take(OwnedFd::from(other), peer, clock::now_ns()).ok()?;
        let mut talk = Talk::new(peer.to_string());
        talk.may_be_cut_short = hub.settings.write_timeout_ns.is_some();
        Some(Self { socket: Some(socket), talk })
    }

    /// Sends as much as the connection takes at once, and returns how much that is.
    pub fn send(&mut self, bytes: &[u8]) -> usize {
        let Some(mut socket) = self.socket.as_ref() else { return 0 };
        if self.talk.ended || bytes.is_empty() {
            return 0;
        }
        // Where the server has closed it, nothing of it is heard.
        let sent = socket.write(bytes).unwrap_or(0);
        self.talk.send(&bytes[..sent]);
        sent
    }

    /// Says that it sends no more.
    pub fn end_sending(&mut self) {
        if let Some(socket) = &self.socket {
            let _ = socket.shutdown(Shutdown::Write);
            self.talk.ended = true;
        }
    }

    /// Reads what is there, so many bytes at most.
    pub fn read(&mut self, bytes_max: usize) -> Came {
        let (Some(mut socket), mut buffer) = (self.socket.as_ref(), [0; 8192]) else { return Came::End };
        let room = buffer.len().min(bytes_max);
        match std::io::Read::read(&mut socket, &mut buffer[..room]) {
            Ok(0) if room > 0 => self.closed(),
            Ok(bytes) => {
                self.talk.hear(&buffer[..bytes]);
                Came::Bytes(bytes)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Came::Nothing,
            // It is reset when the server closes it with something unread.
            Err(_) => self.closed(),
        }
    }

    fn closed(&mut self) -> Came {
        self.talk.closed = true;
        self.socket = None;
        Came::End
    }

    /// Closes the connection, whatever is on its way.
    pub fn vanish(&mut self) {
        self.talk.gone |= !self.talk.closed;
        self.socket = None;
    }
}
