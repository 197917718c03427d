//! A program that runs beside the test, with what it says.

use crate::support::{LIMIT, eventually};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

/// How many of its last lines a process shows if the test fails.
const LINES_SHOWN_MAX: usize = 40;

/// A process. Dropping it kills the process, and prints its last lines if the test panics.
pub struct Process {
    name: String,
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts the command.
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (name, said) = (command.get_program().display().to_string(), Arc::default());
        collect(child.stdout.take().unwrap(), &said);
        collect(child.stderr.take().unwrap(), &said);
        Self { name, child, said }
    }

    /// Its lines so far, of standard output and error.
    pub fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    /// Waits until a line has that in it, and returns it.
    pub fn wait_for(&self, part: &str) -> String {
        let find = || self.said().into_iter().find(|line| line.contains(part));
        let mut found = None;
        let limit = std::time::Instant::now() + LIMIT;
        while found.is_none() {
            found = find();
            assert!(std::time::Instant::now() < limit, "no {part:?} in {:#?}", self.said());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        found.unwrap()
    }

    /// Sends a signal, by its name without SIG.
    pub fn signal(&self, name: &str) {
        crate::support::signal(self.child.id(), name);
    }

    /// Kills it with SIGKILL, and waits for its end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Ends it with SIGTERM, and returns its exit code.
    pub fn end(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.code()
    }

    /// Waits for its end, and returns its exit code.
    pub fn code(&mut self) -> Option<i32> {
        let mut code = None;
        eventually("the process ends", || {
            self.child.try_wait().unwrap().is_some_and(|status| {
                code = status.code();
                true
            })
        });
        code
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// A line of `/proc/PID/status`, in KiB.
    pub fn status_kb(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let said = self.said();
            println!(
                "{} said last:\n{}",
                self.name,
                said[said.len().saturating_sub(LINES_SHOWN_MAX)..].join("\n")
            );
        }
    }
}

fn collect(pipe: impl Read + Send + 'static, said: &Arc<Mutex<Vec<String>>>) {
    let said = Arc::clone(said);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            said.lock().unwrap().push(String::from_utf8_lossy(&line).into_owned());
        }
    });
}
