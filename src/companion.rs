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
    /// Without `firstline-`. The feature has the same name.
    name: String,
    error: io::Error,
}

impl fmt::Display for NotRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, error } = self;
        match error.kind() {
            io::ErrorKind::NotFound => write!(
                f,
                "firstline-{name} is not installed; the package firstline-{name} has it, or: cargo build --release --features {name}"
            ),
            _ => write!(f, "firstline-{name} cannot be run: {error}"),
        }
    }
}

/// Replaces this process by the companion, and returns only if that fails.
pub fn run(name: &str, args: &[OsString]) -> NotRun {
    let file = format!("firstline-{name}");
    let beside = std::env::current_exe().ok().map(|program| program.with_file_name(&file));
    let program = beside.filter(|path| path.exists()).unwrap_or_else(|| PathBuf::from(&file));
    let error = Command::new(program).args(args).exec();
    NotRun { name: name.to_string(), error }
}
