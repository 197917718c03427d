//! Standard output behind a buffer: the command writes many lines at a time.

use std::fs::File;
use std::io::{self, BufWriter};
use std::os::fd::AsFd;

/// A buffer in front of standard output.
pub type Output = BufWriter<File>;

/// Opens standard output.
///
/// # Errors
/// The system's.
pub fn open() -> io::Result<Output> {
    io::stdout().as_fd().try_clone_to_owned().map(|file| BufWriter::new(File::from(file)))
}
