//! `firstline journal`: prints or checks a journal from outside of the server, which may write to it at the same time. Takes no lock,
//! and writes nothing to it. Runs instead of the server, so it may allocate.

mod check;
mod lines;
mod print;

use crate::journal::files;
use crate::journal::resize::{self, Resized};
use crate::options::{JournalOptions, JournalTask};
use nix::errno::Errno;
use std::fmt::{self, Display};
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing that was looked at is damaged.
    Sound,
    /// Something is.
    Damaged,
}

/// Why it cannot go on.
#[derive(Debug)]
pub enum Failure {
    /// The journal in that directory cannot be opened.
    Unopened(PathBuf, files::Error),
    /// Nothing says where something is in it.
    NoHeader(PathBuf),
    /// It cannot be read.
    Unread(PathBuf, Errno),
    /// What was read cannot be written.
    Output(io::Error),
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unopened(directory, error) => write!(f, "{}: {error}", directory.display()),
            Self::NoHeader(directory) => {
                write!(f, "{}: no segment has a whole header; --check tells more", directory.display())
            }
            Self::Unread(directory, errno) => write!(f, "{}: {}", directory.display(), errno.desc()),
            Self::Output(error) => write!(f, "standard output: {error}"),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Where everything is written to, many lines at a time.
type Output = BufWriter<File>;

/// Does what was asked for.
///
/// # Errors
/// Why it cannot.
pub fn run(options: &JournalOptions) -> Result<Verdict, Failure> {
    let directory = options.directory.as_path();
    let files = || {
        files::ReadOnly::open(directory).map_err(|error| Failure::Unopened(directory.to_path_buf(), error))
    };
    let output = || io::stdout().as_fd().try_clone_to_owned().map(|file| BufWriter::new(File::from(file)));
    match options.task {
        JournalTask::Check => check::run(directory, &files()?, output()?),
        JournalTask::Print { since, follow, json } => {
            print::Printer::new(directory, files()?, output()?, since, json).run(follow)
        }
        JournalTask::Resize(bytes) => resize(directory, bytes),
    }
}

/// Carries it over to another size, and tells what became of it.
fn resize(directory: &Path, bytes: u64) -> Result<Verdict, Failure> {
    let resized = resize::resize(directory, files::segment_bytes(bytes))
        .map_err(|error| Failure::Unopened(directory.to_path_buf(), error))?;
    let Resized { messages, next_id, damage_bytes, .. } = resized;
    let mut output = io::stdout();
    writeln!(output, "{messages} messages were read, and the newest are kept; the next ID is {next_id}")?;
    if damage_bytes > 0 {
        eprintln!("firstline: {}: {damage_bytes} bytes were damaged, and are left out", directory.display());
        return Ok(Verdict::Damaged);
    }
    Ok(Verdict::Sound)
}
