//! Connects to one of the servers, checks the connection, and reconnects when it is lost. Knows no messages.
//!
//! Before the first message is sent, the server must answer the greeting, which is `/ping` or `/auth TOKEN`. So the
//! link detects a peer with another protocol, a full server and a wrong token before any message can have an unknown
//! outcome.

use super::address::Servers;
use super::backoff::Backoff;
use super::connecting::{begin_connecting, is_connected};
use super::connection::{Connection, Heard};
use super::limits::{ATTEMPT_MS, TOKEN_ATTEMPT_MS};
use super::lookup::Lookup;
use super::outcome::said;
use super::reason::Meaning;
use super::reply::Reply;
use super::shown::{described, shown};
use super::token::Token;
use nix::poll::PollFlags;
use std::collections::VecDeque;
use std::mem;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

const ATTEMPT: Duration = Duration::from_millis(ATTEMPT_MS);
const TOKEN_ATTEMPT: Duration = Duration::from_millis(TOKEN_ATTEMPT_MS);

/// The line of a probe, and of the greeting without a token.
const PING: &[u8] = b"/ping\n";

/// A connection to one of several servers.
#[derive(Debug)]
pub struct Link {
    servers: Servers,
    token: Option<Token>,
    state: State,
    backoff: Backoff,
    /// The index of the server that the link tries or uses.
    server: usize,
    /// The index of the server with which the next round begins.
    first_server: usize,
    /// Whether the server has [served](Link::has_served) something on this connection.
    is_serving: bool,
    /// The addresses of the server that were not tried yet.
    addresses: VecDeque<SocketAddr>,
    /// At most one lookup for each server. A lookup that is late continues, and the next round waits for it again.
    lookups: Vec<Option<Lookup>>,
    /// Why the last attempt failed.
    failure: String,
    /// If a server's denial is no end: how long to wait after a round in which one has denied.
    denial_pause: Option<Duration>,
    /// Whether a server has denied since the last attempt with the first one.
    is_denied: bool,
}

#[derive(Debug)]
enum State {
    /// There is no connection, and no attempt to connect.
    Down,
    /// The resolver looks up the name of a server.
    LookingUp { until: Instant },
    /// The socket connects.
    Connecting { stream: TcpStream, until: Instant },
    /// The server must answer the line of that number.
    Proving { connection: Box<Connection>, line: u64, until: Instant },
    /// Messages may be sent.
    Up(Box<Connection>),
    /// A pause before the next round of attempts.
    Pausing { until: Instant },
}

/// How the link has changed.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// Not at all.
    Nothing,
    /// Messages may be sent.
    Up,
    /// All servers failed; this is the reason of the last one. The link tries again after a pause.
    Failed(String),
    /// A server answers that this client has no right, for this reason, and the link does not try again by itself.
    Denied(String),
}

/// What to do after a step.
enum Step {
    /// Take the next step.
    On,
    /// Wait for a descriptor or a time.
    Wait,
    /// Report this change.
    Over(Change),
}

/// What a reply means for the greeting.
enum Proof {
    Good,
    Failed(String),
    Denied(String),
    /// The reply does not answer the greeting.
    Other,
}

impl Link {
    /// A link to the first of these servers that answers. It does not connect yet.
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
            denial_pause: None,
            is_denied: false,
        }
    }

    /// With `Some`, the link goes on to the next server if one denies this client the right, and makes that pause before
    /// it tries the first one again. With `None`, it reports the [denial](Change::Denied).
    pub fn with_denial_pause(self, denial_pause: Option<Duration>) -> Self {
        Self { denial_pause, ..self }
    }

    /// Whether a denial is no end.
    pub fn outlives_denials(&self) -> bool {
        self.denial_pause.is_some()
    }

    /// The connection for messages, if there is one.
    pub fn connection(&mut self) -> Option<&mut Connection> {
        if let State::Up(connection) = &mut self.state { Some(connection) } else { None }
    }

    /// Whether there is a connection for messages.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
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

    /// The latest time for the next [`advance`](Self::advance).
    pub fn due(&self) -> Option<Instant> {
        match self.state {
            State::Down | State::Up(_) => None,
            State::LookingUp { until }
            | State::Connecting { until, .. }
            | State::Proving { until, .. }
            | State::Pausing { until } => Some(until),
        }
    }

    /// Takes steps towards a connection until it would block.
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

    /// Checks the connection with `/ping` before messages are sent again.
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

    /// The server has answered a message: the next pause is the shortest again.
    pub fn has_served(&mut self) {
        self.is_serving = true;
        self.backoff.reset();
    }

    /// How long to wait before the next attempt with a message that the server could not take.
    pub fn pause(&mut self) -> Duration {
        self.backoff.pause()
    }

    /// Drops the connection, if there is one. If `is_wanted`, the link reconnects after a pause. It then begins with
    /// the next server of the list, if there is one and this server answered the greeting but
    /// [served](Self::has_served) nothing; otherwise with the first.
    pub fn lose(&mut self, is_wanted: bool, now: Instant) {
        if self.is_up() {
            self.first_server = self.next_server().filter(|_| !self.is_serving).unwrap_or(0);
            self.is_serving = false;
        }
        self.state =
            if is_wanted { State::Pausing { until: now + self.backoff.pause() } } else { State::Down };
    }

    /// Drops the connection, because its server denies this client the right. The link tries the next server at once,
    /// or the first one after the pause for a denial.
    pub fn leave_denied(&mut self, now: Instant) {
        (self.is_denied, self.is_serving) = (true, false);
        let next = self.next_server();
        let pause = if next.is_some() { Duration::ZERO } else { self.round_pause() };
        self.first_server = next.unwrap_or(0);
        self.state = State::Pausing { until: now + pause };
    }

    fn next_server(&self) -> Option<usize> {
        Some(self.server + 1).filter(|next| *next < self.servers.list().len())
    }

    /// How long to wait before the first server is tried again.
    fn round_pause(&mut self) -> Duration {
        self.denial_pause.filter(|_| self.is_denied).unwrap_or_else(|| self.backoff.pause())
    }

    // ---- The steps -------------------------------------------------------------------------------------

    fn begin_round(&mut self, now: Instant) -> Step {
        self.server = mem::take(&mut self.first_server);
        self.is_denied &= self.server > 0;
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
        if let Some(next) = self.next_server() {
            self.server = next;
            return self.begin_server(now);
        }
        self.state = State::Pausing { until: now + self.round_pause() };
        Step::Over(Change::Failed(mem::take(&mut self.failure)))
    }

    fn connect(&mut self, stream: TcpStream, until: Instant, now: Instant) -> Step {
        match is_connected(&stream) {
            Ok(false) if now >= until => self.fail("it does not answer", now),
            Ok(false) => {
                self.state = State::Connecting { stream, until };
                Step::Wait
            }
            Ok(true) => {
                let mut connection = Box::new(Connection::new(stream));
                let greeting = self.token.as_ref().map_or(PING.to_vec(), Token::line);
                let until = if self.token.is_some() { now + TOKEN_ATTEMPT } else { until };
                let line = connection.push(|out| out.extend_from_slice(&greeting));
                connection.flush();
                self.state = State::Proving { connection, line, until };
                Step::On
            }
            Err(errno) => self.fail(errno.desc(), now),
        }
    }

    fn prove(&mut self, mut connection: Box<Connection>, line: u64, until: Instant, now: Instant) -> Step {
        connection.begin_round();
        connection.flush();
        loop {
            let reply = match connection.hear() {
                Heard::Reply(reply) => reply,
                Heard::Nothing if now >= until => {
                    return self.fail("it accepts the connection, and does not answer", now);
                }
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
                Proof::Denied(reason) if self.outlives_denials() => {
                    self.is_denied = true;
                    return self.fail(&reason, now);
                }
                Proof::Denied(reason) => {
                    let server = &self.servers.list()[self.server];
                    return Step::Over(Change::Denied(format!("{server}: {reason}")));
                }
                Proof::Other => {}
            }
        }
    }

    /// Records why this address failed, and tries the next one.
    fn fail(&mut self, reason: &str, now: Instant) -> Step {
        self.failure = format!("{}: {reason}", self.servers.list()[self.server]);
        self.begin_address(now)
    }
}

/// What a reply means for the greeting, which has that line number.
fn proof(reply: Reply, greeting: u64) -> Proof {
    match reply {
        Reply::Ok { line, .. } if line == greeting => Proof::Good,
        Reply::Err { line, reason, .. } if line == greeting && reason == "no-auth" => Proof::Good,
        Reply::Err { line, reason, text } if line == greeting || line == 0 => {
            let said = said(&reason, &text);
            if Meaning::of(&reason).is_permanent() { Proof::Denied(said) } else { Proof::Failed(said) }
        }
        Reply::Bye(reason) => Proof::Failed(shown(&reason)),
        _ => Proof::Other,
    }
}
