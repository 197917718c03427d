//! A viewer's message on its way to the thread that speaks with the hub, and the answer on its way back.

use crate::limits::SUBMISSIONS_MAX;
use firstline::client::{Message, Outcome};
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use tokio::sync::oneshot;

/// A message to send, and where its outcome is awaited.
pub struct Submission {
    /// What to send.
    pub message: Message,
    /// Who waits; it may have given up.
    pub outcome: oneshot::Sender<Outcome>,
}

/// Where viewers' messages go in.
pub struct Submitter {
    queue: SyncSender<Submission>,
    wake: PipeWriter,
}

/// Where they come out.
pub struct Submissions {
    queue: Receiver<Submission>,
    /// Readable when there is one.
    woken: PipeReader,
}

/// Both ends of a queue of [`SUBMISSIONS_MAX`].
///
/// # Errors
/// There is no descriptor left.
pub fn channel() -> io::Result<(Submitter, Submissions)> {
    let (woken, wake) = io::pipe()?;
    let (sender, queue) = sync_channel(SUBMISSIONS_MAX);
    Ok((Submitter { queue: sender, wake }, Submissions { queue, woken }))
}

impl Submitter {
    /// Queues a message; false: too many wait.
    pub fn submit(&self, submission: Submission) -> bool {
        match self.queue.try_send(submission) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => return false,
        }
        // The queue's bound is far below a pipe's, so this never waits. Without it, the message goes at the next poll.
        let _ = (&self.wake).write(&[0]);
        true
    }
}

impl Submissions {
    /// The next message. Call it until there is none after [`as_fd`](AsFd::as_fd) was readable.
    pub fn take(&self) -> Option<Submission> {
        let submission = self.queue.try_recv().ok()?;
        Some(submission)
    }

    /// Reads what made it readable.
    pub fn clear(&self) {
        // One byte at least is there, or else this is not called.
        let _ = (&self.woken).read(&mut [0; SUBMISSIONS_MAX]);
    }
}

impl AsFd for Submissions {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.woken.as_fd()
    }
}
