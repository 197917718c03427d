//! Why a journal cannot be opened.

use super::segment::VERSION;
use crate::counted::Size;
use core::fmt;
use nix::errno::Errno;

/// Why a journal cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Another process writes to it; its ID, if the system says so.
    InUse(Option<u32>),
    /// It was made with another size than the one that was asked for: both in bytes, of all files together.
    OtherSize {
        /// What it was made with.
        is: u64,
        /// What was asked for.
        asked: u64,
    },
    /// The disk has no room for so many bytes, but for so many.
    NoRoom {
        /// The bytes that are missing.
        needed: u64,
        /// The bytes that may be used.
        available: u64,
    },
    /// A later version of the program made it, with that version of the format.
    Newer(u64),
    /// The directory has no journal to read.
    NoJournal,
    /// No segment has a whole header, so nothing says where something is in it.
    NoHeader,
    /// What has the name of that segment is not a file: a directory, a pipe, a device.
    NotAFile(&'static str),
    /// The file with that name does not belong to this journal.
    Foreign(&'static str),
    /// What could not be done, with what.
    System(&'static str, Errno),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(Some(pid)) => write!(f, "process {pid} writes to it"),
            Self::InUse(None) => f.write_str("another process writes to it"),
            Self::OtherSize { is, asked } => {
                write!(f, "it was made with --journal-size {}, not {}", Size(*is), Size(*asked))
            }
            Self::NoRoom { needed, available } => write!(
                f,
                "it needs {needed} bytes more, and the disk has {available} to give; --journal-size takes less"
            ),
            Self::Newer(version) => write!(
                f,
                "a later firstline made it: its format is {version}, and this one knows up to {VERSION}; use the later one"
            ),
            Self::NoJournal => f.write_str("there is no journal in it"),
            Self::NoHeader => f.write_str(
                "no segment has a whole header: it is no journal, or badly damaged; firstline journal DIR --check tells more",
            ),
            Self::Foreign(name) => {
                write!(f, "{name} in it does not belong to this journal; move it away")
            }
            Self::NotAFile(name) => write!(f, "{name} in it is not a regular file; move it away"),
            Self::System(what, errno) => write!(f, "{what}: {}", errno.desc()),
        }
    }
}
