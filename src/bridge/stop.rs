//! Waits that a signal ends.

use crate::client::wait::poll_timeout;
use crate::process_io::interruption::Interruption;
use nix::poll::{PollFd, PollFlags, poll};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Instant;

/// The request to end. Nothing takes the signal, so all threads see it.
#[derive(Clone, Debug)]
pub struct Stop(Arc<Interruption>);

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The process is to end.
    Stop,
    /// The file or socket is ready.
    Ready,
    /// The time has come.
    Timeout,
}

impl Stop {
    /// From now on the signals are heard here. Call it before other threads exist.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn new() -> nix::Result<Self> {
        Interruption::block().map(|interruption| Self(Arc::new(interruption)))
    }

    /// Whether the process is to end.
    pub fn is_requested(&self) -> bool {
        self.wait(&[], Some(Instant::now())) == Woken::Stop
    }

    /// Waits for one of these, or until then.
    pub fn wait(&self, files: &[(BorrowedFd<'_>, PollFlags)], until: Option<Instant>) -> Woken {
        let mut fds = vec![PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        fds.extend(files.iter().map(|(fd, flags)| PollFd::new(*fd, *flags)));
        let is_ready = |fd: &PollFd<'_>| fd.any().unwrap_or(true);
        match poll(&mut fds, poll_timeout(until, Instant::now())) {
            Ok(_) if is_ready(&fds[0]) => Woken::Stop,
            Ok(_) if fds[1..].iter().any(is_ready) => Woken::Ready,
            Ok(_) => Woken::Timeout,
            // The caller looks at everything again.
            Err(_) => Woken::Ready,
        }
    }
}
