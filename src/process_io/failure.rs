//! Why a command cannot start, in one line that says what to do next.

use crate::client::BadTokenFile;
use crate::client::shown::described;
use crate::options::Usage;
use nix::errno::Errno;
use std::fmt::{self, Display};
use std::io;
use std::path::Path;

/// Why a command cannot start.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    line: String,
}

/// The arguments are wrong, or name a file that cannot be used.
const USAGE: u8 = 2;
/// A system call failed.
const FAILED: u8 = 4;

impl Failure {
    /// The arguments are wrong, or name a file that cannot be used.
    pub fn usage(line: impl Display) -> Self {
        Self { code: USAGE, line: line.to_string() }
    }

    /// A system call failed. `of` names what it was for, such as `--spool DIR`.
    pub fn system_of(of: impl Display, error: &io::Error) -> Self {
        Self { code: FAILED, line: format!("{of}: {}", described(error)) }
    }

    /// As [`Self::system_of`] for an option that names a path, such as `--spool`. If what is above the path is missing,
    /// the line says how to make it.
    pub fn system_of_path(option: &str, path: &Path, error: &io::Error) -> Self {
        let is_missing = |above: &&Path| !above.as_os_str().is_empty() && !above.exists();
        let above = path.parent().filter(|_| error.kind() == io::ErrorKind::NotFound).filter(is_missing);
        let advice =
            above.map(|above| format!("; make the directory above it: mkdir -p {}", above.display()));
        let line = format!("{option} {}: {}{}", path.display(), described(error), advice.unwrap_or_default());
        Self { code: FAILED, line }
    }

    /// The exit code of the process.
    pub fn code(&self) -> u8 {
        self.code
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

impl From<Usage> for Failure {
    fn from(usage: Usage) -> Self {
        Self::usage(usage)
    }
}

impl From<BadTokenFile> for Failure {
    fn from(error: BadTokenFile) -> Self {
        Self::usage(format_args!("--token-file {error}"))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self { code: FAILED, line: described(&error) }
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        io::Error::from(errno).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_directory_above_a_path_is_named() {
        let said = |path: &str, kind: io::ErrorKind| {
            Failure::system_of_path("--spool", Path::new(path), &kind.into()).to_string()
        };
        let missing = said("/nonexistent/a/spool", io::ErrorKind::NotFound);
        assert!(missing.ends_with("; make the directory above it: mkdir -p /nonexistent/a"), "{missing}");
        let denied = said("/nonexistent/a/spool", io::ErrorKind::PermissionDenied);
        assert!(
            denied.starts_with("--spool /nonexistent/a/spool: ") && !denied.contains("mkdir"),
            "{denied}"
        );
        let gone = said("/tmp/spool", io::ErrorKind::NotFound);
        assert!(!gone.contains("mkdir"), "what is above it is there: {gone}");
        assert!(!said("spool", io::ErrorKind::NotFound).contains("mkdir"));
    }
}
