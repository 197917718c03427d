//! A program that runs beside the test.

use crate::support::{LIMIT, eventually};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

/// A process; it is killed with all its children when this is dropped.
pub struct Process {
    child: Child,
    typed: Option<ChildStdin>,
    said: Arc<Mutex<Vec<String>>>,
    /// The threads that collect its output, until all writers have closed it.
    collectors: [JoinHandle<()>; 2],
}

impl Process {
    /// Starts the command, with a standard input that stays open.
    pub fn start(mut command: Command) -> Self {
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let said = Arc::default();
        let collectors =
            [collect(child.stdout.take().unwrap(), &said), collect(child.stderr.take().unwrap(), &said)];
        Self { typed: child.stdin.take(), child, said, collectors }
    }

    /// Writes a line to its standard input.
    pub fn type_in(&mut self, line: &str) {
        let typed = self.typed.as_mut().expect("its input is open");
        typed.write_all(format!("{line}\n").as_bytes()).expect("the process reads");
    }

    /// Its output so far, from standard output and error.
    pub fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    /// Waits until `count` lines of its output have that beginning.
    pub fn wait_for(&self, count: usize, beginning: &str) {
        let holds = || self.said().iter().filter(|line| line.starts_with(beginning)).count() >= count;
        eventually(&format!("{count} lines {beginning:?} in {:?}", self.said()), holds);
    }

    /// Closes its input, waits for its end and the end of its output, and returns the exit code.
    pub fn finish(&mut self) -> Option<i32> {
        self.typed = None;
        let deadline = Instant::now() + LIMIT;
        loop {
            let status = self.child.try_wait().unwrap();
            if let Some(status) = status.filter(|_| self.collectors.iter().all(JoinHandle::is_finished)) {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the process does not end; it printed {:?}", self.said());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Sends a signal to this process alone, by its name without SIG.
    pub fn signal(&self, name: &str) {
        crate::support::signal(self.child.id(), name);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = killpg(Pid::from_raw(self.child.id() as i32), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// Collects the lines of a pipe.
fn collect(pipe: impl Read + Send + 'static, said: &Arc<Mutex<Vec<String>>>) -> JoinHandle<()> {
    let said = Arc::clone(said);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            said.lock().unwrap().push(String::from_utf8_lossy(&line).into_owned());
        }
    })
}
