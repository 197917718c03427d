//! A server under strace, which records its system calls and makes some of them fail.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Makes the names of the files unique within this process.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Shorter than any pause that the server makes after a failure, in seconds. A busy machine only lengthens pauses.
const PAUSE_S: f64 = 0.15;

/// The recorded calls; the file is removed when this is dropped.
pub struct Trace(PathBuf);

impl Trace {
    pub fn new() -> Self {
        let name = format!("trace-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name))
    }

    /// Puts strace before a command of the server: it records these calls, and applies the rules to them. The process
    /// that the caller spawns becomes the server itself, because the tracer runs as its grandchild (`-D`).
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

/// Puts strace with these options before a command, which keeps its arguments and its environment.
pub fn under_strace(how: &[&str], command: &Command) -> Command {
    let mut traced = Command::new("strace");
    traced.arg("-qq").args(how).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        traced.env(name, value.unwrap_or_default());
    }
    traced
}

/// How many calls follow the previous one without a pause.
pub fn attempts_without_pause(times: &[f64]) -> usize {
    times.windows(2).filter(|pair| pair[1] - pair[0] < PAUSE_S).count()
}
