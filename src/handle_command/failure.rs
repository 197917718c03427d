//! Why `firstline handle` cannot begin, in one line that says what to do next.

use crate::client::BadTokenFile;
use crate::client::shown::described;
use crate::options::Usage;
use nix::errno::Errno;
use std::fmt::{self, Display};
use std::io;

/// Why it cannot begin.
#[derive(Debug)]
pub enum Failure {
    /// The arguments are wrong.
    Usage(Usage),
    /// There is no token in the token file.
    Token(BadTokenFile),
    /// The system refuses a resource.
    System(io::Error),
}

/// The arguments are wrong, or name a file that cannot be used.
const USAGE: u8 = 2;
/// The system refuses a resource.
const FAILED: u8 = 4;

impl Failure {
    /// The exit code of the process.
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Token(_) => USAGE,
            Self::System(_) => FAILED,
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(usage) => usage.fmt(f),
            Self::Token(error) => write!(f, "--token-file {error}"),
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
