//! Waits that end when the process is requested to end: by a signal, or because a part of the program has ended.

use crate::client::wait::poll_timeout;
use crate::process_io::interruption::Interruption;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Instant;

/// The request to end. No thread consumes the signal or the event, so all threads see them.
#[derive(Clone, Debug)]
pub struct Stop(Arc<Sources>);

#[derive(Debug)]
struct Sources {
    signals: Interruption,
    requests: EventFd,
}

/// Requests the end when it is dropped.
pub struct RequestAtEnd(Stop);

impl Drop for RequestAtEnd {
    fn drop(&mut self) {
        // This fails only after 2^64 - 2 requests. Then the event is readable already.
        let _ = self.0.0.requests.write(1);
    }
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The process is requested to end.
    Stop,
    /// The file or socket is ready.
    Ready,
    /// The deadline has passed.
    Timeout,
}

impl Stop {
    /// Blocks the signals, and receives them here from now on. Call it before other threads exist.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn new() -> nix::Result<Self> {
        let signals = Interruption::block()?;
        let requests = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Self(Arc::new(Sources { signals, requests })))
    }

    /// For a part of the program: if it ends, all parts end.
    pub fn request_at_end(&self) -> RequestAtEnd {
        RequestAtEnd(self.clone())
    }

    /// Waits for one of these files, for a stop request, or until `until`.
    pub fn wait(&self, files: &[(BorrowedFd<'_>, PollFlags)], until: Option<Instant>) -> Woken {
        let own = [self.0.signals.as_fd(), self.0.requests.as_fd()];
        let mut fds: Vec<_> = own.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
        fds.extend(files.iter().map(|(fd, flags)| PollFd::new(*fd, *flags)));
        let is_ready = |fd: &PollFd<'_>| fd.any().unwrap_or(true);
        match poll(&mut fds, poll_timeout(until, Instant::now())) {
            Ok(_) if fds[..own.len()].iter().any(is_ready) => Woken::Stop,
            Ok(_) if fds[own.len()..].iter().any(is_ready) => Woken::Ready,
            Ok(_) => Woken::Timeout,
            // The caller checks everything again.
            Err(_) => Woken::Ready,
        }
    }
}
