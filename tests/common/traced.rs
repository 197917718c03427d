//! A server whose system calls are written down, and some of them made to fail, by strace.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many there were: no two have the same file.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Shorter than any pause of the server's after a failure, in seconds. A busy machine makes pauses longer only.
const PAUSE_S: f64 = 0.15;

/// What was written down; it goes with this.
pub struct Trace(PathBuf);

impl Trace {
    pub fn new() -> Self {
        let name = format!("trace-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name))
    }

    /// Puts the tracer before a command of the server: it writes these calls down, and does with them what the rules say. The process
    /// stays the server's own, for the tracer is its grandchild.
    pub fn of(&self, server: &Command, calls: &str, rules: &[&str]) -> Command {
        let (calls, file) = (format!("trace={calls}"), self.0.to_str().expect("the build has a plain name"));
        let rules: Vec<String> = rules.iter().map(|rule| format!("inject={rule}")).collect();
        let mut how = vec!["-D", "-f", "-ttt", "-e", &calls, "-o", file];
        rules.iter().for_each(|rule| how.extend(["-e", rule]));
        under_strace(&how, server)
    }

    /// When each call of that name began, in seconds.
    pub fn times(&self, call: &str) -> Vec<f64> {
        let trace = std::fs::read_to_string(&self.0).unwrap();
        let whole = &trace[..trace.rfind('\n').map_or(0, |end| end + 1)];
        let time = |line: &str| {
            let mut words = line.split_whitespace().skip(1);
            let time = words.next()?.parse().ok()?;
            words.next()?.starts_with(&format!("{call}(")).then_some(time)
        };
        whole.lines().filter_map(time).collect()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Puts the tracer with these options before a command, which keeps its arguments and its environment.
pub fn under_strace(how: &[&str], command: &Command) -> Command {
    let mut traced = Command::new("strace");
    traced.arg("-qq").args(how).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        traced.env(name, value.unwrap_or_default());
    }
    traced
}

/// How many calls follow another without a pause.
pub fn hasty(times: &[f64]) -> usize {
    times.windows(2).filter(|pair| pair[1] - pair[0] < PAUSE_S).count()
}
