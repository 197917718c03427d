//! A connection to the broker: the transport, and the session over it.

use super::broker::Broker;
use super::exchange::{Cause, End, Heard, Introduction};
use super::limits::{RECEIVE_BYTES, RECEIVES_MAX};
use super::session::Session;
use super::stop::Stop;
use super::tls::Tls;
use super::transport::{Received, Transport};
use crate::client::wait::poll_timeout;
use nix::poll::{PollFd, PollFlags, poll};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::Instant;

/// A connection.
pub struct Link {
    transport: Transport,
    /// What is said over it.
    pub session: Session,
    buffer: Box<[u8; RECEIVE_BYTES]>,
    /// The broker closed it in order: so it may have an opinion on what was sent.
    pub was_closed_in_order: bool,
    /// The last pump has left something, which need not be in the socket any more.
    has_more: bool,
}

impl Link {
    /// Connects, and introduces this client.
    ///
    /// # Errors
    /// Why not, in one line.
    pub fn open(
        broker: &Broker,
        tls: Option<&Tls>,
        introduction: &Introduction,
        stop: &Stop,
    ) -> Result<Self, String> {
        let transport = Transport::connect(broker, tls, stop)?;
        let session = Session::begin(introduction, Instant::now())?;
        let buffer = Box::new([0; RECEIVE_BYTES]);
        Ok(Self { transport, session, buffer, was_closed_in_order: false, has_more: false })
    }

    /// Sends and receives what can be without waiting, and no more than [`RECEIVES_MAX`] allows. What came is in the
    /// session.
    pub fn pump(&mut self, now: Instant) {
        self.session.on_time(now);
        self.flush();
        self.has_more = (0..RECEIVES_MAX).all(|_| self.receive(now));
        self.flush();
    }

    /// Receives once. False: there is no more now.
    fn receive(&mut self, now: Instant) -> bool {
        match self.transport.receive(&mut self.buffer[..]) {
            Ok(Received::Bytes(bytes)) => self.session.feed(&self.buffer[..bytes], now),
            Ok(Received::Nothing) => return false,
            Ok(Received::End) => {
                // Unless it has said why before.
                self.was_closed_in_order = !self.session.is_closed();
                self.session.close("the broker closed the connection".to_string(), Cause::Other);
            }
            Err(error) => self.session.close(format!("the connection is lost: {error}"), Cause::Other),
        }
        !self.session.is_closed()
    }

    /// Sends what the socket takes.
    pub fn flush(&mut self) {
        loop {
            let unsent = self.session.unsent();
            if unsent.is_empty() && !self.transport.wants_to_send() {
                return;
            }
            match self.transport.send(unsent) {
                Ok(0) => return,
                Ok(bytes) => self.session.advance(bytes),
                // What the broker said last tells more, so receiving ends the session.
                Err(_) => return,
            }
        }
    }

    /// Whether everything went out that was said: then there is room for more.
    pub fn is_clear(&self) -> bool {
        self.session.unsent().is_empty()
            && !self.transport.wants_to_send()
            && !self.transport.is_handshaking()
    }

    /// What came next.
    pub fn hear(&mut self) -> Option<Heard> {
        let heard = self.session.hear();
        if let Some(Heard::Closed(End { cause: Cause::Message, .. })) = heard {
            self.was_closed_in_order = true;
        }
        heard
    }

    /// What to wait for.
    pub fn interest(&self) -> (BorrowedFd<'_>, PollFlags) {
        let is_waiting = !self.session.unsent().is_empty() || self.transport.wants_to_send();
        let out = if is_waiting { PollFlags::POLLOUT } else { PollFlags::empty() };
        (self.transport.as_fd(), PollFlags::POLLIN | out)
    }

    /// Waits until there is something to pump, or until then.
    pub fn wait(&self, until: Instant) {
        let (fd, flags) = self.interest();
        // Whatever ends the wait, the caller looks at everything again.
        let _ = poll(
            &mut [PollFd::new(fd, flags)],
            poll_timeout(Some(self.due().map_or(until, |due| due.min(until))), Instant::now()),
        );
    }

    /// When to pump at the latest.
    pub fn due(&self) -> Option<Instant> {
        if self.has_more { Some(Instant::now()) } else { self.session.due() }
    }
}
