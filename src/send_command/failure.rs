//! Why `firstline send` cannot begin, in one line that says what to do next.

use crate::client::BadTokenFile;
use crate::client::shown::described;
use crate::options::Usage;
use nix::errno::Errno;
use std::fmt::{self, Display};
use std::io;
use std::path::PathBuf;

/// Why it cannot begin.
#[derive(Debug)]
pub enum Failure {
    /// The arguments are wrong.
    Usage(Usage),
    /// There is no token in the token file.
    Token(BadTokenFile),
    /// There is no TEXT, and standard input is a terminal.
    NoText,
    /// There is no TEXT, and standard input has no lines. Perhaps a variable of a script is empty.
    NoLines,
    /// The spool in that directory cannot be used.
    Spool(PathBuf, io::Error),
    /// The system refuses a resource.
    System(io::Error),
}

/// The arguments are wrong.
const USAGE: u8 = 2;
/// Nothing was sent.
const NOT_SENT: u8 = 4;

impl Failure {
    /// The exit code of the process.
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Token(_) | Self::NoText | Self::NoLines => USAGE,
            Self::Spool(..) | Self::System(_) => NOT_SENT,
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(usage) => usage.fmt(f),
            Self::Token(error) => write!(f, "--token-file {error}"),
            Self::NoText => f.write_str("there is no TEXT; give some, or - to type lines"),
            Self::NoLines => f.write_str(
                "nothing was sent: there is no TEXT, and standard input has no lines; - takes that for well",
            ),
            Self::Spool(path, error) => write!(f, "--spool {}: {}", path.display(), described(error)),
            Self::System(error) => f.write_str(&described(error)),
        }
    }
}

impl From<BadTokenFile> for Failure {
    fn from(error: BadTokenFile) -> Self {
        Self::Token(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::System(errno.into())
    }
}
