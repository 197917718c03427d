//! From the servers to a connection that has proven to be one of theirs, and again when it is lost. Knows no messages.
//!
//! A connection proves itself before a message is entrusted to it: the greeting, `/ping` or `/auth TOKEN`, is answered. So what does not
//! speak this protocol, has no place or gives no right is told before anything can be unknown.

use super::address::Servers;
use super::backoff::Backoff;
use super::connection::{Connection, Heard, set_up};
use super::limits::ATTEMPT_MS;
use super::lookup::Lookup;
use super::outcome::said;
use super::reply::Reply;
use super::shown::{described, shown};
use super::token::Token;
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, connect, getsockopt, socket, sockopt,
};
use std::collections::VecDeque;
use std::mem;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::time::{Duration, Instant};

const ATTEMPT: Duration = Duration::from_millis(ATTEMPT_MS);

/// The line that a probe is.
const PING: &[u8] = b"/ping\n";

/// The way to the servers.
#[derive(Debug)]
pub struct Link {
    servers: Servers,
    token: Option<Token>,
    state: State,
    backoff: Backoff,
    /// Which of the servers is tried.
    server: usize,
    /// With which server the next round begins.
    first_server: usize,
    /// Whether the server has served something on this connection.
    is_serving: bool,
    /// Its addresses that are still to be tried.
    addresses: VecDeque<SocketAddr>,
    /// One for each server at most: one that is late is waited for again in the next round.
    lookups: Vec<Option<Lookup>>,
    /// Why the last attempt failed.
    failure: String,
}

#[derive(Debug)]
enum State {
    /// No connection is wanted.
    Down,
    /// The name of a server is looked up.
    LookingUp { until: Instant },
    /// The socket connects.
    Connecting { stream: TcpStream, until: Instant },
    /// The line of that number has to be answered.
    Proving { connection: Box<Connection>, line: u64, until: Instant },
    /// Messages may go.
    Up(Box<Connection>),
    /// All servers were tried.
    Pausing { until: Instant },
}

/// What has become of the link.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing yet.
    Nothing,
    /// Messages may go.
    Up,
    /// No server answers as it should, for this reason of the last one; after a pause they are tried again.
    Failed(String),
    /// A server answers that this client has no right, for this reason. To try again would not help.
    Denied(String),
}

/// What a step led to.
enum Step {
    /// On to the next step.
    On,
    /// It waits.
    Wait,
    /// See there.
    Over(Change),
}

/// What an answer to the greeting means.
enum Proof {
    Good,
    Failed(String),
    Denied(String),
    /// It is no answer to it.
    Other,
}

impl Link {
    /// To one of these servers: the first that answers. Nothing is opened yet.
    pub fn new(servers: Servers, token: Option<Token>) -> Self {
        let lookups = servers.list().iter().map(|_| None).collect();
        Self {
            servers,
            token,
            state: State::Down,
            backoff: Backoff::default(),
            server: 0,
            first_server: 0,
            is_serving: false,
            addresses: VecDeque::new(),
            lookups,
            failure: String::new(),
        }
    }

    /// The connection that messages may go over, if there is one.
    pub fn connection(&mut self) -> Option<&mut Connection> {
        if let State::Up(connection) = &mut self.state { Some(connection) } else { None }
    }

    /// What to wait for, besides [`due`](Self::due).
    pub fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        match &self.state {
            State::Down | State::Pausing { .. } => None,
            State::LookingUp { .. } => {
                self.lookups[self.server].as_ref().map(|lookup| (lookup.as_fd(), PollFlags::POLLIN))
            }
            State::Connecting { stream, .. } => Some((stream.as_fd(), PollFlags::POLLOUT)),
            State::Proving { connection, .. } | State::Up(connection) => {
                let sending =
                    if connection.wants_to_send() { PollFlags::POLLOUT } else { PollFlags::empty() };
                Some((connection.as_fd(), PollFlags::POLLIN | sending))
            }
        }
    }

    /// When to advance at the latest.
    pub fn due(&self) -> Option<Instant> {
        match self.state {
            State::Down | State::Up(_) => None,
            State::LookingUp { until }
            | State::Connecting { until, .. }
            | State::Proving { until, .. }
            | State::Pausing { until } => Some(until),
        }
    }

    /// Goes on towards a connection, as far as that takes no waiting.
    pub fn advance(&mut self, now: Instant) -> Change {
        loop {
            let step = match mem::replace(&mut self.state, State::Down) {
                State::Down => self.begin_round(now),
                State::LookingUp { until } => self.look_up(until, now),
                State::Connecting { stream, until } => self.connect(stream, until, now),
                State::Proving { connection, line, until } => self.prove(connection, line, until, now),
                State::Up(connection) => {
                    self.state = State::Up(connection);
                    Step::Wait
                }
                State::Pausing { until } if now >= until => self.begin_round(now),
                State::Pausing { until } => {
                    self.state = State::Pausing { until };
                    Step::Wait
                }
            };
            match step {
                Step::On => {}
                Step::Wait => return Change::Nothing,
                Step::Over(change) => return change,
            }
        }
    }

    /// The connection proves itself once more before messages go over it.
    pub fn probe(&mut self, now: Instant) {
        self.state = match mem::replace(&mut self.state, State::Down) {
            State::Up(mut connection) => {
                let line = connection.push(|out| out.extend_from_slice(PING));
                connection.flush();
                State::Proving { connection, line, until: now + ATTEMPT }
            }
            state => state,
        };
    }

    /// The server has answered a message.
    pub fn has_served(&mut self) {
        self.is_serving = true;
        self.backoff.reset();
    }

    /// How long to wait before a message is tried again that the server could not take.
    pub fn pause(&mut self) -> Duration {
        self.backoff.pause()
    }

    /// The connection is lost. If another is wanted, that is after a pause.
    /// One that has accepted the connection, and [served](Self::has_served) nothing, gives way to the next server once.
    pub fn lose(&mut self, is_wanted: bool, now: Instant) {
        let has_next = self.server + 1 < self.servers.list().len();
        self.first_server = if has_next && !self.is_serving { self.server + 1 } else { 0 };
        self.is_serving = false;
        self.state =
            if is_wanted { State::Pausing { until: now + self.backoff.pause() } } else { State::Down };
    }

    // ---- The steps -------------------------------------------------------------------------------------

    fn begin_round(&mut self, now: Instant) -> Step {
        self.server = mem::take(&mut self.first_server);
        self.begin_server(now)
    }

    fn begin_server(&mut self, now: Instant) -> Step {
        self.addresses.clear();
        let server = &self.servers.list()[self.server];
        match server.address() {
            Some(Ok(address)) => {
                self.addresses.push_back(address);
                self.begin_address(now)
            }
            Some(Err(error)) => self.fail(&described(&error), now),
            None => {
                self.state = State::LookingUp { until: now + ATTEMPT };
                Step::On
            }
        }
    }

    fn look_up(&mut self, until: Instant, now: Instant) -> Step {
        let Some((name, port)) = self.servers.list()[self.server].name() else {
            return self.begin_address(now);
        };
        let slot = &mut self.lookups[self.server];
        if slot.is_none() {
            match Lookup::begin(name, port) {
                Ok(lookup) => *slot = Some(lookup),
                Err(error) => return self.fail(&described(&error), now),
            }
        }
        match slot.as_ref().and_then(Lookup::poll) {
            Some(found) => {
                *slot = None;
                match found {
                    Ok(addresses) => {
                        self.addresses = addresses.into();
                        self.begin_address(now)
                    }
                    Err(error) => self.fail(&described(&error), now),
                }
            }
            None if now >= until => self.fail("its name is still being looked up", now),
            None => {
                self.state = State::LookingUp { until };
                Step::Wait
            }
        }
    }

    fn begin_address(&mut self, now: Instant) -> Step {
        let Some(address) = self.addresses.pop_front() else { return self.begin_next_server(now) };
        match begin_connecting(address) {
            Ok(stream) => {
                self.state = State::Connecting { stream, until: now + ATTEMPT };
                Step::On
            }
            Err(errno) => self.fail(errno.desc(), now),
        }
    }

    fn begin_next_server(&mut self, now: Instant) -> Step {
        self.server += 1;
        if self.server < self.servers.list().len() {
            return self.begin_server(now);
        }
        self.state = State::Pausing { until: now + self.backoff.pause() };
        Step::Over(Change::Failed(mem::take(&mut self.failure)))
    }

    fn connect(&mut self, stream: TcpStream, until: Instant, now: Instant) -> Step {
        match getsockopt(&stream, sockopt::SocketError).map(Errno::from_raw) {
            // No error, and no peer: not yet.
            Ok(errno) if errno as i32 == 0 && stream.peer_addr().is_err() => {
                if now >= until {
                    return self.fail("it does not answer", now);
                }
                self.state = State::Connecting { stream, until };
                Step::Wait
            }
            Ok(errno) if errno as i32 == 0 => {
                let mut connection = Box::new(Connection::new(stream));
                let greeting = self.token.as_ref().map_or(PING.to_vec(), Token::line);
                let line = connection.push(|out| out.extend_from_slice(&greeting));
                connection.flush();
                self.state = State::Proving { connection, line, until };
                Step::On
            }
            Ok(errno) | Err(errno) => self.fail(errno.desc(), now),
        }
    }

    fn prove(&mut self, mut connection: Box<Connection>, line: u64, until: Instant, now: Instant) -> Step {
        connection.begin_round();
        connection.flush();
        loop {
            let reply = match connection.hear() {
                Heard::Reply(reply) => reply,
                Heard::Nothing if now >= until => return self.fail("it accepts, and does not answer", now),
                Heard::Nothing => {
                    self.state = State::Proving { connection, line, until };
                    return Step::Wait;
                }
                Heard::End(reason) => return self.fail(&reason, now),
            };
            match proof(reply, line) {
                Proof::Good => {
                    self.state = State::Up(connection);
                    return Step::Over(Change::Up);
                }
                Proof::Failed(reason) => return self.fail(&reason, now),
                Proof::Denied(reason) => {
                    let server = &self.servers.list()[self.server];
                    return Step::Over(Change::Denied(format!("{server}: {reason}")));
                }
                Proof::Other => {}
            }
        }
    }

    /// That address is none, for this reason; on to the next.
    fn fail(&mut self, reason: &str, now: Instant) -> Step {
        self.failure = format!("{}: {reason}", self.servers.list()[self.server]);
        self.begin_address(now)
    }
}

/// A socket that connects.
pub(crate) fn begin_connecting(address: SocketAddr) -> nix::Result<TcpStream> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(family, SockType::Stream, flags, None)?;
    set_up(&socket);
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(address)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(TcpStream::from(socket)),
        Err(errno) => Err(errno),
    }
}

/// What a reply says of the greeting, which is the line of that number.
fn proof(reply: Reply, greeting: u64) -> Proof {
    match reply {
        Reply::Ok { line, .. } if line == greeting => Proof::Good,
        Reply::Err { line, reason, .. } if line == greeting && reason == "no-auth" => Proof::Good,
        Reply::Err { line, reason, text } if line == greeting || line == 0 => {
            let said = said(&reason, &text);
            if is_denial(&reason) { Proof::Denied(said) } else { Proof::Failed(said) }
        }
        Reply::Bye(reason) => Proof::Failed(shown(&reason)),
        _ => Proof::Other,
    }
}

/// Whether that reason says that this client has no right, whenever it comes.
fn is_denial(reason: &str) -> bool {
    matches!(reason, "not-allowed" | "not-authenticated" | "wrong-token" | "not-permitted" | "bad-argument")
}
