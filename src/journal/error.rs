//! Why a journal cannot be opened.

use super::segment::VERSION;
use crate::counted::Size;
use core::fmt;
use nix::errno::Errno;

/// Why a journal cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Another process writes to the journal. The value is its process ID, if the system reports it.
    InUse(Option<u32>),
    /// The journal has another size than the requested one. Both are in bytes, of all files together.
    OtherSize {
        /// The size of the journal.
        is: u64,
        /// The requested size.
        asked: u64,
    },
    /// The disk does not have enough free space.
    NoRoom {
        /// The bytes that the journal needs in addition.
        needed: u64,
        /// The free bytes that it may use.
        available: u64,
    },
    /// A later version of the program made the journal. The value is the version of its format.
    Newer(u64),
    /// The directory contains no journal to read.
    NoJournal,
    /// No segment has a whole header, so the positions of the records are unknown.
    NoHeader,
    /// Something other than a file has the name of that segment: a directory, a pipe, or a device.
    NotAFile(&'static str),
    /// The file with that name does not belong to this journal.
    Foreign(&'static str),
    /// A system call failed: the failed operation, and the error.
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
                "a later firstline made it: its format is {version}, and this one knows up to {VERSION}; use the \
                 later one"
            ),
            Self::NoJournal => f.write_str("there is no journal in it"),
            Self::NoHeader => f.write_str(
                "no segment has a whole header: it is no journal, or badly damaged; firstline journal DIR --check \
                 tells more",
            ),
            Self::Foreign(name) => {
                write!(f, "{name} in it does not belong to this journal; move it away")
            }
            Self::NotAFile(name) => write!(f, "{name} in it is not a regular file; move it away"),
            Self::System(what, errno) => write!(f, "{what}: {}", errno.desc()),
        }
    }
}
