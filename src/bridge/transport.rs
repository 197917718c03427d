//! Sends bytes to the broker and receives bytes from it, with or without TLS, and without waiting. Knows no MQTT.

use super::limits::UNSENT_BYTES;
use super::tls::{Tls, described_tls};
use crate::client::shown::described;
use rustls::ClientConnection;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};

/// A connection to the broker.
#[derive(Debug)]
pub struct Transport {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

/// The result of a receive.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// This many bytes.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// The broker has closed the connection cleanly.
    End,
}

impl Transport {
    /// The transport over a connection that is up.
    ///
    /// # Errors
    /// The error of the TLS library.
    pub fn over(stream: TcpStream, tls: Option<&Tls>) -> Result<Self, String> {
        // Urgent messages wait for the bytes that the kernel holds. Without this option the connection still works.
        let _ = socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES);
        let tls = tls.map(Tls::connection).transpose().map_err(|error| described_tls(&error))?;
        Ok(Self { stream, tls: tls.map(Box::new) })
    }

    /// Sends as many of these bytes as the socket accepts, and returns how many.
    ///
    /// # Errors
    /// Why the connection is lost.
    pub fn send(&mut self, bytes: &[u8]) -> Result<usize, String> {
        let Some(tls) = &mut self.tls else { return send(&mut self.stream, bytes) };
        // The bytes that TLS holds are sent before it gets more.
        flush(tls, &mut self.stream)?;
        if tls.wants_write() {
            return Ok(0);
        }
        let taken = tls.writer().write(bytes).map_err(|error| described(&error))?;
        flush(tls, &mut self.stream)?;
        Ok(taken)
    }

    /// Receives the bytes that have arrived.
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
                // The end counts as a clean close, with or without TLS's close_notify.
                Ok(0) => return Ok(Received::End),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Received::Nothing),
                Err(error) => return Err(described(&error)),
            }
            if let Err(error) = tls.process_new_packets() {
                // This sends the alert, which tells the broker why.
                let _ = flush(tls, &mut self.stream);
                return Err(described_tls(&error));
            }
        }
    }

    /// Whether bytes wait until the socket accepts more.
    pub fn wants_to_send(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Whether the handshake is still in progress.
    pub fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
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
        Err(error) => Err(described(&error)),
    }
}
