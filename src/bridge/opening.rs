//! Connects to the broker without waiting: looks up its name, then tries one address after the other. Knows no TLS and
//! no MQTT.

use super::broker::Broker;
use super::limits::{ADDRESSES_MAX, CONNECT_MS};
use crate::client::connecting::{begin_connecting, is_connected};
use crate::client::lookup::Lookup;
use crate::client::shown::described;
use nix::poll::PollFlags;
use std::collections::VecDeque;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

/// A connection that is being opened.
#[derive(Debug)]
pub struct Opening {
    step: Step,
    /// The addresses that are not tried yet.
    addresses: VecDeque<SocketAddr>,
    /// When the opening fails, even if addresses are left.
    until: Instant,
    /// Why the last address failed.
    failure: String,
}

#[derive(Debug)]
enum Step {
    LookingUp(Lookup),
    Connecting {
        stream: TcpStream,
        address: SocketAddr,
        until: Instant,
    },
    /// The next address is tried next.
    Between,
}

impl Opening {
    /// Begins to connect.
    ///
    /// # Errors
    /// Why it cannot, in one line.
    pub fn begin(broker: &Broker, now: Instant) -> Result<Self, String> {
        let (step, addresses) = match (broker.server.address(), broker.server.name()) {
            (Some(address), _) => (Step::Between, [address.map_err(|error| described(&error))?].into()),
            (None, Some((name, port))) => {
                let lookup = Lookup::begin(name, port).map_err(|error| described(&error))?;
                (Step::LookingUp(lookup), VecDeque::new())
            }
            (None, None) => (Step::Between, VecDeque::new()),
        };
        let until = now + Duration::from_millis(CONNECT_MS);
        Ok(Self { step, addresses, until, failure: "it has no address".to_string() })
    }

    /// Takes all steps that are possible without waiting. Returns the connection once it is established.
    ///
    /// # Errors
    /// Why no address accepts, in one line.
    pub fn advance(&mut self, now: Instant) -> Result<Option<TcpStream>, String> {
        loop {
            match std::mem::replace(&mut self.step, Step::Between) {
                Step::Between => self.begin_address(now)?,
                Step::LookingUp(lookup) => match lookup.poll() {
                    Some(found) => {
                        let found = found.map_err(|error| described(&error))?;
                        self.addresses = found.into_iter().take(ADDRESSES_MAX).collect();
                    }
                    None if now >= self.until => return Err("its name was not resolved in time".to_string()),
                    None => {
                        self.step = Step::LookingUp(lookup);
                        return Ok(None);
                    }
                },
                Step::Connecting { stream, address, until } => match is_connected(&stream) {
                    Ok(true) => return Ok(Some(stream)),
                    Ok(false) if now >= until => self.failure = format!("{address} does not answer"),
                    Ok(false) => {
                        self.step = Step::Connecting { stream, address, until };
                        return Ok(None);
                    }
                    Err(errno) => self.failure = errno.desc().to_string(),
                },
            }
        }
    }

    fn begin_address(&mut self, now: Instant) -> Result<(), String> {
        let left = self.addresses.len() as u32;
        let Some(address) = self.addresses.pop_front().filter(|_| now < self.until) else {
            return Err(std::mem::take(&mut self.failure));
        };
        match begin_connecting(address) {
            Ok(stream) => {
                let until = now + (self.until - now) / left;
                self.step = Step::Connecting { stream, address, until };
            }
            Err(errno) => self.failure = errno.desc().to_string(),
        }
        Ok(())
    }

    /// The descriptor to wait for, and its events.
    pub fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        match &self.step {
            Step::LookingUp(lookup) => Some((lookup.as_fd(), PollFlags::POLLIN)),
            Step::Connecting { stream, .. } => Some((stream.as_fd(), PollFlags::POLLOUT)),
            Step::Between => None,
        }
    }

    /// When to advance at the latest.
    pub fn due(&self) -> Instant {
        if let Step::Connecting { until, .. } = self.step { until } else { self.until }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::wait::wait;
    use std::net::TcpListener;

    fn opening(addresses: &[SocketAddr], now: Instant) -> Opening {
        let mut opening = Opening::begin(&"mqtt://127.0.0.1".parse().unwrap(), now).unwrap();
        opening.addresses = addresses.iter().copied().collect();
        opening
    }

    #[test]
    fn address_that_refuses_is_passed_over() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let refusing = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let start = Instant::now();
        let mut opening = opening(&[refusing, listener.local_addr().unwrap()], start);
        let stream = loop {
            if let Some(stream) = opening.advance(start).unwrap() {
                break stream;
            }
            wait(opening.interest(), None);
        };
        assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
    }

    /// Listeners whose queue is full, so that the kernel answers no connection.
    fn silent() -> (TcpListener, Vec<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let waiting = (0..4).map(|_| begin_connecting(address).unwrap()).collect();
        (listener, waiting)
    }

    #[test]
    fn addresses_that_do_not_answer_share_one_limit() {
        let (listener, _waiting) = silent();
        let address = listener.local_addr().unwrap();
        let (start, limit) = (Instant::now(), Duration::from_millis(CONNECT_MS));
        let mut opening = opening(&[address; ADDRESSES_MAX], start);
        let mut tried = 0;
        let mut now = start;
        let failure = loop {
            match opening.advance(now) {
                Ok(None) => (tried, now) = (tried + 1, opening.due()),
                Ok(Some(_)) => panic!("nobody accepts"),
                Err(failure) => break failure,
            }
            assert!(tried <= ADDRESSES_MAX && now <= start + limit);
        };
        assert_eq!((tried, failure), (ADDRESSES_MAX, format!("{address} does not answer")));
    }
}
