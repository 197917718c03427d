//! Why `firstline journal` cannot continue, in one line that says what to do next.

use crate::journal::error::Error;
use nix::errno::Errno;
use std::fmt::{self, Display};
use std::io;
use std::path::{Path, PathBuf};

/// Why the command cannot continue.
#[derive(Debug)]
pub enum Failure {
    /// The directory does not exist.
    NoDirectory(PathBuf),
    /// The journal in that directory cannot be opened.
    Unopened(PathBuf, Error),
    /// The journal cannot be resized.
    Unresized(PathBuf, Error),
    /// The journal cannot be read.
    Unread(PathBuf, Errno),
    /// Another journal has replaced it.
    Replaced(PathBuf),
    /// Standard output cannot be written.
    Output(io::Error),
}

impl Failure {
    /// The journal in that directory cannot be opened.
    pub fn unopened(directory: &Path, error: Error) -> Self {
        let directory = directory.to_path_buf();
        match error {
            Error::NoJournal if !directory.exists() => Self::NoDirectory(directory),
            error => Self::Unopened(directory, error),
        }
    }

    /// The journal in that directory cannot be resized.
    pub fn unresized(directory: &Path, error: Error) -> Self {
        match Self::unopened(directory, error) {
            Self::Unopened(directory, error) => Self::Unresized(directory, error),
            failure => failure,
        }
    }

    /// The journal in that directory cannot be read.
    pub fn unread(directory: &Path, errno: Errno) -> Self {
        Self::Unread(directory.to_path_buf(), errno)
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDirectory(directory) => write!(
                f,
                "{}: there is no such directory; give the DIR of the server's --journal",
                directory.display()
            ),
            Self::Unopened(directory, error) => {
                write!(f, "{}: ", directory.display())?;
                write_unopened(f, error)
            }
            Self::Unresized(directory, error) => {
                write!(f, "{}: ", directory.display())?;
                write_unresized(f, error)
            }
            Self::Unread(directory, Errno::EAGAIN) => {
                write!(f, "{}: the server keeps rotating its files; try again", directory.display())
            }
            Self::Unread(directory, errno) => {
                write!(f, "{}: the disk cannot be read: {}", directory.display(), errno.desc())
            }
            Self::Replaced(directory) => write!(
                f,
                "{}: another journal has taken its place; run the command again to read that one",
                directory.display()
            ),
            Self::Output(error) => write!(f, "standard output: {error}"),
        }
    }
}

fn write_unopened(f: &mut fmt::Formatter<'_>, error: &Error) -> fmt::Result {
    match error {
        Error::NoJournal => f.write_str(
            "there is no journal in it, which is 0.journal to 7.journal; give the DIR of the server's --journal",
        ),
        Error::System(_, Errno::ENOTDIR) => {
            f.write_str("it is not a directory; give the directory that the journal's files are in")
        }
        Error::System(_, Errno::EACCES | Errno::EPERM) => {
            write!(f, "{error}; run this as root, or as the user that the server runs as")
        }
        error => error.fmt(f),
    }
}

fn write_unresized(f: &mut fmt::Formatter<'_>, error: &Error) -> fmt::Result {
    match error {
        Error::InUse(_) => write!(f, "{error}; stop the server first"),
        Error::NoRoom { needed, available } => write!(
            f,
            "the new one needs {needed} bytes beside the old one, and the disk has {available} to give; make room, or \
             give a smaller --resize"
        ),
        error => write_unopened(f, error),
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}
