//! One run of the program: a process in a process group of its own, with non-blocking pipes to it.

#![expect(unsafe_code, reason = "no crate has a safe way to run code between fork and exec")]

use super::limits::TERM_GRACE;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Instant;

/// A process and its group.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stage: Stage,
    /// Whether it was asked to end.
    is_ending: bool,
    /// Its standard input; `None`: it is closed.
    pub input: Option<ChildStdin>,
    /// Its standard output; `None`: it is closed.
    pub output: Option<ChildStdout>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Running,
    /// It got SIGTERM, and gets SIGKILL at this time.
    Terminated(Instant),
    Killed,
    Reaped,
}

impl Process {
    /// Starts the program. Its standard error is that of this process.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        unblock_signals(command);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0).spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let process = Self { child, stage: Stage::Running, is_ending: false, input, output };
        process.input.as_ref().map_or(Ok(()), set_nonblocking)?;
        process.output.as_ref().map_or(Ok(()), set_nonblocking)?;
        Ok(process)
    }

    /// Whether it was asked to end.
    pub fn is_ending(&self) -> bool {
        self.is_ending
    }

    /// Asks the group to end: closes the input and sends SIGTERM, once.
    pub fn end(&mut self, now: Instant) {
        if self.stage == Stage::Running {
            (self.input, self.is_ending) = (None, true);
            self.signal(Signal::SIGTERM);
            self.stage = Stage::Terminated(now + TERM_GRACE);
        }
    }

    /// When it gets SIGKILL; `None`: it was not asked to end, or SIGKILL was sent.
    pub fn due(&self) -> Option<Instant> {
        if let Stage::Terminated(until) = self.stage { Some(until) } else { None }
    }

    /// Sends SIGKILL if the process was asked to end and its time for that is over.
    pub fn kill_if_due(&mut self, now: Instant) {
        if self.due().is_some_and(|until| now >= until) {
            self.kill();
        }
    }

    /// The exit status, if the process has ended. Then this also kills the rest of its group.
    pub fn reap(&mut self) -> Option<ExitStatus> {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        // waitid does not fail: the process is a child of this one, and nothing else reaps it.
        if !waitid(Id::Pid(self.group()), flags).is_ok_and(|status| status != WaitStatus::StillAlive) {
            return None;
        }
        // The group is killed before the process is reaped, because after that another group can get its number.
        self.kill();
        let status = self.child.try_wait().ok().flatten();
        if status.is_some() {
            self.stage = Stage::Reaped;
        }
        status
    }

    fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.stage = Stage::Killed;
    }

    /// Sends a signal to the group. An error, such as an empty group, needs no reaction.
    fn signal(&self, signal: Signal) {
        let _ = killpg(self.group(), signal);
    }

    /// The process group, which has the ID of the process.
    fn group(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }
}

impl Drop for Process {
    /// Kills the group at once, without waiting for its end. Unless the start of the process failed, this process is
    /// about to end too.
    fn drop(&mut self) {
        if self.stage != Stage::Reaped {
            self.kill();
            let _ = self.child.try_wait();
        }
    }
}

/// Has the program start without blocked signals. It would inherit those that this process takes by descriptors, and few
/// programs unblock signals: SIGTERM would not reach them.
fn unblock_signals(command: &mut Command) {
    let unblock = || SigSet::empty().thread_set_mask().map_err(io::Error::from);
    // SAFETY: After a fork, code may only call functions that are async-signal-safe, and must not allocate. This calls
    // sigemptyset and pthread_sigmask, which are (POSIX.1-2024, 2.4.3), and an error number becomes an io::Error
    // without an allocation.
    unsafe { command.pre_exec(unblock) };
}

fn set_nonblocking(fd: &impl AsFd) -> io::Result<()> {
    let flags = OFlag::from_bits_truncate(fcntl(fd.as_fd(), FcntlArg::F_GETFL)?);
    fcntl(fd.as_fd(), FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).map(drop).map_err(Errno::into)
}
