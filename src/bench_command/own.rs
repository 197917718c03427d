//! A server of this program, which is started for the measurement.

#![expect(unsafe_code, reason = "no crate has a safe way to run code between fork and exec")]

use crate::process_io::failure::Failure;
use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{getpid, getppid};
use std::fmt;
use std::io::{self, BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;

/// A server of this program; it ends when this is dropped.
#[derive(Debug)]
pub struct Own {
    /// Its address.
    pub address: SocketAddr,
    workers: Option<usize>,
    child: Child,
}

impl Own {
    /// Starts it, with that many workers; called on the main thread.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(workers: Option<usize>) -> Result<Self, Failure> {
        let unstarted = |error: io::Error| Failure::system_of("the server for the measurement", &error);
        let mut command = Command::new("/proc/self/exe");
        command.args(["--listen", "127.0.0.1:0", "--log-level", "info", "--per-address", "off"]);
        if let Some(workers) = workers {
            command.args(["--workers", &workers.to_string()]);
        }
        // Variables of this environment are meant for another server.
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.arg0("firstline");
        end_with_this_process(&mut command);
        let mut child = command.spawn().map_err(unstarted)?;
        let mut log = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut line = String::new();
        loop {
            let last = std::mem::take(&mut line);
            if log.read_line(&mut line).map_err(unstarted)? == 0 {
                let _ = child.wait();
                return Err(unstarted(io::Error::other(format!("it has ended: {}", last.trim_end()))));
            }
            if let Some((_, address)) = line.trim_end().split_once("listening on ") {
                let address = address.parse().map_err(io::Error::other).map_err(unstarted)?;
                // A thread reads the log; otherwise the pipe fills, and the server loses records.
                thread::spawn(move || io::copy(&mut log, &mut io::sink()));
                return Ok(Self { address, workers, child });
            }
        }
    }
}

impl fmt::Display for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a server that was started for this on the same machine")?;
        self.workers.map_or(Ok(()), |workers| write!(f, ", with --workers {workers}"))
    }
}

/// Has the kernel end the program when this process ends, however that happens. The kernel means the thread that starts
/// the program, so that is the main thread.
fn end_with_this_process(command: &mut Command) {
    let parent = getpid();
    let end = move || {
        set_pdeathsig(Signal::SIGKILL)?;
        // If this process ended before that, no signal comes.
        if getppid() == parent { Ok(()) } else { Err(Errno::ESRCH.into()) }
    };
    // SAFETY: After a fork, code may only call functions that are async-signal-safe, and must not allocate. This makes
    // two system calls, and an error number becomes an io::Error without an allocation.
    unsafe { command.pre_exec(end) };
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
