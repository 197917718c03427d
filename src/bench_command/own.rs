//! A server of this program, which is started for the measurement.

#![expect(unsafe_code, reason = "no crate has a safe way to run code between fork and exec")]

use crate::process_io::failure::Failure;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
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
    child: Child,
}

impl Own {
    /// Starts it, with that many workers.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(workers: Option<&str>) -> Result<Self, Failure> {
        let unstarted = |error: io::Error| Failure::system_of("the server for the measurement", &error);
        let mut command = Command::new("/proc/self/exe");
        command.args(["--listen", "127.0.0.1:0", "--log-level", "info", "--per-address", "off"]);
        if let Some(workers) = workers {
            command.args(["--workers", workers]);
        }
        // The settings of a server that runs here are not those of this one.
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        end_with_this_process(&mut command);
        let mut child = command.spawn().map_err(unstarted)?;
        let mut log = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut line = String::new();
        loop {
            line.clear();
            if log.read_line(&mut line).map_err(unstarted)? == 0 {
                let _ = child.wait();
                return Err(unstarted(io::Error::other("it has ended")));
            }
            if let Some((_, address)) = line.trim_end().split_once("listening on ") {
                let address = address.parse().map_err(io::Error::other).map_err(unstarted)?;
                // Somebody must read the log, or the server loses records, and says so.
                thread::spawn(move || io::copy(&mut log, &mut io::sink()));
                return Ok(Self { address, child });
            }
        }
    }
}

/// Has the kernel end the program when this process ends, however that happens.
fn end_with_this_process(command: &mut Command) {
    let end = || set_pdeathsig(Signal::SIGKILL).map_err(io::Error::from);
    // SAFETY: After a fork, code may only call functions that are async-signal-safe, and must not allocate. This makes
    // one system call, and an error number becomes an io::Error without an allocation.
    unsafe { command.pre_exec(end) };
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
