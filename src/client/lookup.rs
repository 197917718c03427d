//! The system's resolver. A lookup blocks and cannot be interrupted, so it runs in a thread of its own.

use super::limits::ADDRESSES_MAX;
use std::io::{self, PipeReader};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;

/// A lookup under way.
#[derive(Debug)]
pub struct Lookup {
    addresses: Receiver<io::Result<Vec<SocketAddr>>>,
    /// The thread closes the other end when the lookup is over.
    over: PipeReader,
}

impl Lookup {
    /// Begins to look up a name.
    ///
    /// # Errors
    /// There is no descriptor or no thread left.
    pub fn begin(name: &str, port: u16) -> io::Result<Self> {
        let (over, closes_at_end) = io::pipe()?;
        let (sender, addresses) = channel();
        let name = name.to_string();
        thread::Builder::new().name("resolver".to_string()).spawn(move || {
            let found = (name.as_str(), port).to_socket_addrs();
            // This fails if the caller has dropped the lookup.
            let _ = sender.send(found.map(|found| found.take(ADDRESSES_MAX).collect()));
            drop(closes_at_end);
        })?;
        Ok(Self { addresses, over })
    }

    /// The addresses, one or more; none: the lookup is still under way.
    ///
    /// # Errors
    /// The name cannot be resolved, or has no address.
    pub fn poll(&self) -> Option<io::Result<Vec<SocketAddr>>> {
        let found = match self.addresses.try_recv() {
            Ok(found) => found,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => Ok(Vec::new()),
        };
        Some(found.and_then(|addresses| match addresses.is_empty() {
            true => Err(io::Error::other("it has no address")),
            false => Ok(addresses),
        }))
    }
}

impl AsFd for Lookup {
    /// Readable when the lookup is over.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.over.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    fn look_up(name: &str) -> io::Result<Vec<SocketAddr>> {
        let lookup = Lookup::begin(name, 91).unwrap();
        poll(&mut [PollFd::new(lookup.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).unwrap();
        lookup.poll().expect("it is over")
    }

    #[test]
    fn thread_resolves_names() {
        let addresses = look_up("localhost").unwrap();
        assert!(
            addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 91),
            "{addresses:?}"
        );
        assert!(look_up("a..b").is_err());
    }
}
