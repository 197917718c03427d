//! The acceptor accepts connections from the listeners, and assigns them places or rejects them. It runs in the main
//! thread, so it handles the signals, too.

use crate::auth::AuthFile;
use crate::clock;
use crate::counted::Counted;
use crate::hub::accept::backoff::{Backoff, Next};
use crate::hub::accept::pending::PendingConnections;
use crate::hub::accept::rejected::Rejected;
use crate::hub::handling::shared::SharedTasks;
use crate::hub::shared::Hub;
use crate::hub::signals::{SignalAction, Signals};
use crate::hub::watchdog::Watchdog;
use crate::hub::workers::caller::Caller;
use crate::limits::{ACCEPTS_PER_POLL_MAX, LISTENERS_MAX, LOG_THROTTLE_ADDRESSES_MAX, REJECTED_MAX};
use crate::logger;
use crate::logger::throttle::{LogDecision, LogThrottle};
use crate::net::{Allowed, Listener, socket};
use crate::protocol::reply::Farewell;
use crate::service::Service;
use heapless::Vec;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};

/// A listener, and the back-off after failures of accept(2) on it.
struct ListenerState {
    listener: Listener,
    backoff: Backoff,
}

/// The acceptor and its listeners.
pub struct Acceptor<'a> {
    hub: &'static Hub,
    signals: &'a Signals,
    listeners: Vec<ListenerState, LISTENERS_MAX>,
    allowed: Allowed,
    auth_file: Option<AuthFile>,
    log_throttle: LogThrottle<Farewell>,
    pending: PendingConnections,
    rejected: Rejected,
    service: &'a Service,
    watchdog: Watchdog<'a>,
}

impl<'a> Acceptor<'a> {
    /// The acceptor of the hub.
    ///
    /// # Panics
    /// If there are more than [`LISTENERS_MAX`] listeners.
    pub fn new(
        hub: &'static Hub,
        signals: &'a Signals,
        service: &'a Service,
        listeners: std::vec::Vec<Listener>,
        allowed: Allowed,
        auth_file: Option<AuthFile>,
    ) -> Self {
        let state = |listener| ListenerState { listener, backoff: Backoff::default() };
        Self {
            hub,
            signals,
            listeners: listeners.into_iter().map(state).collect(),
            allowed,
            auth_file,
            log_throttle: LogThrottle::new(),
            pending: PendingConnections::default(),
            rejected: Rejected::default(),
            service,
            watchdog: Watchdog::new(service),
        }
    }

    /// Accepts connections until a signal ends the server. Then it closes the listeners, so that no connection waits
    /// in vain in a backlog.
    pub fn run(mut self) {
        loop {
            self.wait();
            if self.is_end_requested() {
                return self.reject_pending();
            }
            self.rejected.run_deadlines();
            self.assign_places();
            if let Some(tasks) = &self.hub.tasks {
                tasks.run_deadlines(clock::now_ns(), &self.hub.task_parts(Caller::OwnThread));
            }
            self.watchdog.check(self.hub);
            self.accept_some();
        }
    }

    /// Waits for a signal, a connection, a free place, a rejected connection, or a deadline.
    fn wait(&self) {
        let mut fds: Vec<PollFd<'_>, { 2 + REJECTED_MAX + LISTENERS_MAX }> = Vec::new();
        let open = self.listeners.iter().filter(|state| state.backoff.until_ns().is_none());
        let listeners = open.map(|state| state.listener.socket.as_fd());
        fds.extend(
            [self.signals.as_fd(), self.hub.vacancies.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN)),
        );
        fds.extend(self.rejected.poll_fds());
        fds.extend(listeners.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let deadlines = [
            self.pending.deadline_ns(),
            self.rejected.deadline_ns(),
            self.watchdog.deadline_ns(),
            self.hub.tasks.as_ref().and_then(SharedTasks::due_ns),
            self.listeners.iter().filter_map(|state| state.backoff.until_ns()).min(),
        ];
        let deadline_ns = deadlines.into_iter().flatten().min();
        // An interruption counts as an event: the loop checks everything again.
        let _ = poll(&mut fds, timeout(deadline_ns));
        self.hub.vacancies.reset();
    }

    fn is_end_requested(&mut self) -> bool {
        while let Some(action) = self.signals.next() {
            match action {
                SignalAction::Reload => self.reload(),
                SignalAction::End(_) => return true,
                SignalAction::HangUp => {
                    log::info!("SIGHUP: the terminal has gone");
                    return true;
                }
            }
        }
        false
    }

    fn reload(&mut self) {
        self.service.reloading();
        let status = match (reopen_log(), self.reload_tokens()) {
            (None, None) => {
                log::info!("SIGHUP: nothing to do, without --log-file and --auth-file");
                ["nothing to reload", "", ""]
            }
            (Some(of_log), Some(of_tokens)) => [of_log, "; ", of_tokens],
            (of_log, of_tokens) => [of_log.or(of_tokens).unwrap_or_default(), "", ""],
        };
        let [first, between, second] = status;
        self.service.ready(format_args!("{first}{between}{second}"));
    }

    /// Reads the auth file again, if there is one, and returns a status text. A wrong file changes nothing.
    fn reload_tokens(&mut self) -> Option<&'static str> {
        let auth_file = self.auth_file.as_mut()?;
        Some(match auth_file.load() {
            Ok(tokens) => {
                log::info!("the auth file is read again: it has {}", Counted(tokens.len() as u64, "name"));
                self.hub.replace_tokens(tokens);
                "the auth file is read again"
            }
            Err(error) => {
                let path = auth_file.path().display();
                log::error!("--auth-file {path}: {error}; what it said before still holds");
                "the auth file is wrong, and what it said before still holds"
            }
        })
    }

    fn accept_some(&mut self) {
        let mut accepts = 0;
        for index in 0..self.listeners.len() {
            while accepts < ACCEPTS_PER_POLL_MAX
                && let Some((stream, peer)) = self.listeners[index].accept(&mut accepts)
            {
                self.take(stream, peer);
            }
        }
    }

    fn take(&mut self, stream: TcpStream, peer: SocketAddr) {
        let socket = OwnedFd::from(stream);
        if !self.allowed.admits(peer, clock::now_ns()) {
            self.reject(socket, peer, Farewell::NotAllowed);
        } else if let Err(errno) = socket::set_up(&socket, self.hub.settings.write_timeout_ms()) {
            log::debug!("{peer} was gone before it was set up: {}", errno.desc());
        } else {
            self.admit(socket, peer);
        }
    }

    /// Assigns a place to a connection, or lets the connection wait for one.
    fn admit(&mut self, socket: OwnedFd, peer: SocketAddr) {
        match self.pending.add(socket, peer, self.hub.places(), clock::now_ns()) {
            Ok(()) => self.assign_places(),
            Err((socket, why)) => self.reject(socket, peer, why),
        }
    }

    /// Assigns free places to pending connections, and rejects those that would wait in vain.
    fn assign_places(&mut self) {
        while let Some((connection, why)) =
            self.pending.assign(self.hub.places(), &self.hub.vacancies, clock::now_ns())
        {
            self.reject(connection.socket, connection.peer, why);
        }
    }

    /// Rejects a connection with a reason. The log throttle keeps repeated attempts from filling the log.
    fn reject(&mut self, socket: OwnedFd, peer: SocketAddr, why: Farewell) {
        self.hub.counters.lock().count_farewell(why);
        let address = peer.ip().to_canonical();
        match self.log_throttle.of(address, why, clock::now_ns()) {
            LogDecision::Address => log::warn!("{address} turned away: {}", explained(why)),
            LogDecision::Overflow => log::warn!(
                "more than {LOG_THROTTLE_ADDRESSES_MAX} addresses turned away in a minute: {}; /stats counts them",
                explained(why)
            ),
            LogDecision::Nothing => {}
        }
        self.rejected.add(socket, why);
    }

    /// Rejects the pending connections.
    fn reject_pending(&mut self) {
        while let Some(connection) = self.pending.pop() {
            self.rejected.add(connection.socket, Farewell::ShuttingDown);
        }
    }
}

impl ListenerState {
    /// Accepts the next connection, unless there is none or the listener pauses. Adds its calls of accept(2) to
    /// `accepts`, up to [`ACCEPTS_PER_POLL_MAX`].
    fn accept(&mut self, accepts: &mut usize) -> Option<(TcpStream, SocketAddr)> {
        while *accepts < ACCEPTS_PER_POLL_MAX && !self.backoff.is_pausing(clock::now_ns()) {
            *accepts += 1;
            match accept(&self.listener.socket) {
                Err(Errno::EAGAIN) => {
                    self.log_recovery();
                    break;
                }
                Err(errno) => self.log_failure(errno),
                Ok(accepted) => {
                    self.log_recovery();
                    return Some(accepted);
                }
            }
        }
        None
    }

    fn log_failure(&mut self, errno: Errno) {
        if self.backoff.note_failure(errno, clock::now_ns()) == (Next::Pause { is_logged: true }) {
            let more = match errno {
                Errno::EINVAL => {
                    " (the socket does not listen any more: the process that passed it to the server has shut it down)"
                }
                _ => "",
            };
            let address = self.listener.address;
            log::warn!("cannot accept a connection on {address}: {}{more}; retrying", errno.desc());
        }
    }

    fn log_recovery(&mut self) {
        if self.backoff.note_success() {
            log::info!("connections are accepted again on {}", self.listener.address);
        }
    }
}

fn accept(listener: &TcpListener) -> Result<(TcpStream, SocketAddr), Errno> {
    listener.accept().map_err(|error| error.raw_os_error().map_or(Errno::EAGAIN, Errno::from_raw))
}

/// Requests that the log file is reopened, if there is one, and returns a status text.
fn reopen_log() -> Option<&'static str> {
    logger::reopen().then(|| {
        log::info!("SIGHUP: the log file is reopened");
        "the log file is reopened"
    })
}

/// Why a connection is rejected, for readers of the log.
fn explained(why: Farewell) -> &'static str {
    match why {
        Farewell::NotAllowed => "not allowed; see --allow",
        Farewell::AddressFull => "it has as many connections as it may; see --per-address",
        _ => "all places are taken, and no client has been idle for long enough; see --idle-grace",
    }
}

/// The time-out of poll(2) for a deadline in nanoseconds. It is rounded up, or poll(2) would return before the
/// deadline.
pub fn timeout(deadline_ns: Option<u64>) -> PollTimeout {
    let Some(deadline_ns) = deadline_ns else { return PollTimeout::NONE };
    let wait_ms = deadline_ns.saturating_sub(clock::now_ns()).div_ceil(1_000_000);
    PollTimeout::try_from(wait_ms.min(i32::MAX as u64) as i32).unwrap_or(PollTimeout::MAX)
}
