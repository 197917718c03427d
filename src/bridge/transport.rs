//! Bytes to the broker and back, with TLS or without, and without waiting. Knows no MQTT.

use super::broker::Broker;
use super::limits::{CONNECT_MS, UNSENT_BYTES};
use super::lookup;
use super::stop::{Stop, Woken};
use super::tls::{Tls, described_tls};
use crate::client::link::begin_connecting;
use crate::client::shown::described;
use nix::poll::PollFlags;
use rustls::ClientConnection;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// A connection to the broker.
#[derive(Debug)]
pub struct Transport {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

/// What was received.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// The broker has closed the connection in order.
    End,
}

impl Transport {
    /// Connects to the first address that accepts.
    ///
    /// # Errors
    /// Why none does, in one line; also if the process is to end.
    pub fn connect(broker: &Broker, tls: Option<&Tls>, stop: &Stop) -> Result<Self, String> {
        let addresses = match (broker.server.address(), broker.server.name()) {
            (Some(address), _) => vec![address.map_err(|error| described(&error))?],
            (None, Some((name, port))) => lookup::addresses(name, port, stop)?,
            (None, None) => Vec::new(),
        };
        let mut failure = "it has no address".to_string();
        for address in addresses {
            match connect(address, stop) {
                Ok(stream) => return Self::over(stream, tls),
                Err(error) => failure = error,
            }
            if stop.is_requested() {
                break;
            }
        }
        Err(failure)
    }

    fn over(stream: TcpStream, tls: Option<&Tls>) -> Result<Self, String> {
        // Urgent messages wait behind what the kernel holds. A system that does not know the option sends as well.
        let _ = socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES);
        let tls = tls.map(Tls::connection).transpose().map_err(|error| described_tls(&error))?;
        Ok(Self { stream, tls: tls.map(Box::new) })
    }

    /// Sends what the socket takes of these bytes, and returns how many.
    ///
    /// # Errors
    /// Why the connection is lost.
    pub fn send(&mut self, bytes: &[u8]) -> Result<usize, String> {
        let Some(tls) = &mut self.tls else { return send(&mut self.stream, bytes) };
        // What TLS has taken is sent before more is given to it.
        flush(tls, &mut self.stream)?;
        if tls.wants_write() {
            return Ok(0);
        }
        let taken = tls.writer().write(bytes).map_err(|error| described(&error))?;
        flush(tls, &mut self.stream)?;
        Ok(taken)
    }

    /// Receives what is there.
    ///
    /// # Errors
    /// Why the connection is lost.
    pub fn receive(&mut self, bytes: &mut [u8]) -> Result<Received, String> {
        let Some(tls) = &mut self.tls else { return received(self.stream.read(bytes)) };
        loop {
            match received(tls.reader().read(bytes))? {
                Received::Nothing => {}
                received => return Ok(received),
            }
            match tls.read_tls(&mut self.stream) {
                Ok(0) => return Ok(Received::End),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Received::Nothing),
                Err(error) => return Err(described(&error)),
            }
            if let Err(error) = tls.process_new_packets() {
                // The broker is told why.
                let _ = flush(tls, &mut self.stream);
                return Err(described_tls(&error));
            }
        }
    }

    /// Whether something waits until the socket takes more.
    pub fn wants_to_send(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Whether the connection can carry anything yet.
    pub fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn connect(address: SocketAddr, stop: &Stop) -> Result<TcpStream, String> {
    let until = Instant::now() + Duration::from_millis(CONNECT_MS);
    let stream = begin_connecting(address).map_err(|errno| errno.desc().to_string())?;
    match stop.wait(&[(stream.as_fd(), PollFlags::POLLOUT)], Some(until)) {
        Woken::Stop => return Err("it is to end".to_string()),
        Woken::Timeout => return Err(format!("{address} does not answer")),
        Woken::Ready => {}
    }
    match stream.take_error() {
        Ok(None) => Ok(stream),
        Ok(Some(error)) | Err(error) => Err(described(&error)),
    }
}

fn send(stream: &mut TcpStream, bytes: &[u8]) -> Result<usize, String> {
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(0) => break,
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(described(&error)),
        }
    }
    Ok(sent)
}

fn flush(tls: &mut ClientConnection, stream: &mut TcpStream) -> Result<(), String> {
    while tls.wants_write() {
        match tls.write_tls(stream) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(described(&error)),
        }
    }
    Ok(())
}

fn received(result: io::Result<usize>) -> Result<Received, String> {
    match result {
        Ok(0) => Ok(Received::End),
        Ok(bytes) => Ok(Received::Bytes(bytes)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Ok(Received::Nothing)
        }
        // TLS without a closing message: as if the connection was reset.
        Err(error) => Err(described(&error)),
    }
}
