//! `firstline NAME` runs the program `firstline-NAME` from the directory of this program, or else from the `PATH`.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

/// Why a companion does not run.
#[derive(Debug)]
pub struct NotRun {
    name: String,
    error: io::Error,
}

impl fmt::Display for NotRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, error } = self;
        let feature = name.trim_start_matches("firstline-");
        match error.kind() {
            io::ErrorKind::NotFound => write!(
                f,
                "{name} is not installed; the package {name} has it, or: cargo build --release --features {feature}"
            ),
            _ => write!(f, "{name} cannot be run: {error}"),
        }
    }
}

/// Replaces this process by the companion, and returns only if that fails.
pub fn run(name: &str, args: &[OsString]) -> NotRun {
    let name = format!("firstline-{name}");
    let beside = std::env::current_exe().ok().map(|program| program.with_file_name(&name));
    let program = beside.filter(|path| path.exists()).unwrap_or_else(|| PathBuf::from(&name));
    let error = Command::new(program).args(args).exec();
    NotRun { name, error }
}
