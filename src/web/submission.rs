//! Passes viewers' messages to the poller, and the outcomes back.

use crate::limits::SUBMISSIONS_MAX;
use firstline::client::{Message, Outcome};
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use tokio::sync::oneshot;

/// A message to send, and the channel for its outcome.
pub struct Submission {
    /// The message.
    pub message: Message,
    /// Takes the outcome. The viewer's request at the other end may have given up.
    pub outcome: oneshot::Sender<Outcome>,
}

/// The sending end of the queue, for the requests of viewers.
pub struct Submitter {
    queue: SyncSender<Submission>,
    wake: PipeWriter,
}

/// The receiving end of the queue, for the poller.
pub struct Submissions {
    queue: Receiver<Submission>,
    /// Readable after a message was queued.
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
    /// Queues a message. Returns false if too many wait.
    pub fn submit(&self, submission: Submission) -> bool {
        match self.queue.try_send(submission) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => return false,
        }
        // This never waits: the queue holds far fewer messages than a pipe holds bytes. If it fails, the poller takes
        // the message at its next turn, within a second.
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

    /// Empties the pipe. Call it only when [`as_fd`](AsFd::as_fd) is readable; otherwise it waits.
    pub fn clear(&self) {
        // The pipe has at least one byte, so this does not wait.
        let _ = (&self.woken).read(&mut [0; SUBMISSIONS_MAX]);
    }
}

impl AsFd for Submissions {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.woken.as_fd()
    }
}
