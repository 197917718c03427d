//! A connection to the broker: the transport, once connected, and the session over it.

use super::destination::Destination;
use super::exchange::{BrokerEvent, Cause, End};
use super::limits::{RECEIVE_BYTES, RECEIVES_MAX};
use super::opening::Opening;
use super::session::Session;
use super::tls::Tls;
use super::transport::{Received, Transport};
use crate::client::wait::wait;
use nix::poll::PollFlags;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::Instant;

/// A connection.
pub struct Link {
    state: State,
    /// The MQTT session over it.
    pub session: Session,
    buffer: Box<[u8; RECEIVE_BYTES]>,
    /// The broker closed it cleanly, so a message that was sent may be the reason.
    pub was_closed_cleanly: bool,
    /// The last pump may have left bytes. They need not be in the socket: TLS may hold them.
    has_more: bool,
}

/// The transport.
enum State {
    /// It is not connected yet.
    Opening(Opening, Option<Tls>),
    Open(Transport),
}

impl Link {
    /// Begins to connect, and to introduce this client. If that fails later, the session is closed.
    ///
    /// # Errors
    /// Why it cannot begin, in one line.
    pub fn open(destination: &Destination, now: Instant) -> Result<Self, String> {
        let Destination { broker, tls, introduction } = destination;
        let state = State::Opening(Opening::begin(broker, now)?, tls.clone());
        let session = Session::begin(introduction, now)?;
        let buffer = Box::new([0; RECEIVE_BYTES]);
        Ok(Self { state, session, buffer, was_closed_cleanly: false, has_more: false })
    }

    /// Sends and receives as much as possible without waiting, and receives at most [`RECEIVES_MAX`] times. The session
    /// has the received events.
    pub fn pump(&mut self, now: Instant) {
        self.connect(now);
        self.session.run_deadlines(now);
        self.flush();
        self.has_more = (0..RECEIVES_MAX).all(|_| self.receive(now));
        self.flush();
    }

    fn connect(&mut self, now: Instant) {
        let State::Opening(opening, tls) = &mut self.state else { return };
        let connected = opening
            .advance(now)
            .and_then(|stream| stream.map(|stream| Transport::over(stream, tls.as_ref())).transpose());
        match connected {
            Ok(None) => {}
            Ok(Some(transport)) => {
                self.state = State::Open(transport);
                self.session.opened(now);
            }
            Err(reason) => self.session.close(reason, Cause::Other),
        }
    }

    /// Receives once. Returns false if there is no more now.
    fn receive(&mut self, now: Instant) -> bool {
        let State::Open(transport) = &mut self.state else { return false };
        match transport.receive(&mut self.buffer[..]) {
            Ok(Received::Bytes(bytes)) => self.session.feed(&self.buffer[..bytes], now),
            Ok(Received::Nothing) => return false,
            Ok(Received::End) => {
                // Not if the broker has already given a reason.
                self.was_closed_cleanly = !self.session.is_closed();
                self.session.close("the broker closed the connection".to_string(), Cause::Other);
            }
            Err(error) => self.session.close(format!("the connection is lost: {error}"), Cause::Other),
        }
        !self.session.is_closed()
    }

    /// Sends as much as the socket accepts.
    pub fn flush(&mut self) {
        let State::Open(transport) = &mut self.state else { return };
        loop {
            let unsent = self.session.unsent();
            if unsent.is_empty() && !transport.wants_to_send() {
                return;
            }
            match transport.send(unsent) {
                Ok(0) => return,
                Ok(bytes) => self.session.advance(bytes),
                // The session stays open: the next receive reads the last bytes of the broker, which may give the reason.
                Err(_) => return,
            }
        }
    }

    /// Whether everything is sent, so that there is room for more.
    pub fn is_clear(&self) -> bool {
        let State::Open(transport) = &self.state else { return false };
        self.session.unsent().is_empty() && !transport.wants_to_send() && !transport.is_handshaking()
    }

    /// The next event.
    pub fn next_event(&mut self) -> Option<BrokerEvent> {
        let event = self.session.next_event();
        if let Some(BrokerEvent::Closed(End { cause: Cause::Message, .. })) = event {
            self.was_closed_cleanly = true;
        }
        event
    }

    /// The descriptor to wait for, and its events.
    pub fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        match &self.state {
            State::Opening(opening, _) => opening.interest(),
            State::Open(transport) => {
                let is_waiting = !self.session.unsent().is_empty() || transport.wants_to_send();
                let out = if is_waiting { PollFlags::POLLOUT } else { PollFlags::empty() };
                Some((transport.as_fd(), PollFlags::POLLIN | out))
            }
        }
    }

    /// Waits until there is something to pump, or until `until`.
    pub fn wait(&self, until: Instant) {
        // Whatever ends the wait, the caller checks everything again.
        wait(self.interest(), Some(self.due().map_or(until, |due| due.min(until))));
    }

    /// When to pump at the latest.
    pub fn due(&self) -> Option<Instant> {
        match &self.state {
            _ if self.has_more => Some(Instant::now()),
            State::Opening(opening, _) => Some(opening.due()),
            State::Open(_) => self.session.due(),
        }
    }
}
