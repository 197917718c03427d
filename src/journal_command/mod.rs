//! `firstline journal`: prints, checks or resizes a journal. It runs instead of the server, so it may allocate.
//!
//! While it prints or checks, a server may write to the journal: the command takes no lock, and writes nothing. A
//! resize locks the journal, and replaces it.

mod check;
mod content;
mod failure;
mod finding;
pub(crate) mod lines;
mod output;
mod print;
mod resize;
mod verdict;

use crate::journal::read_only::ReadOnly;
use crate::options::{JournalOptions, JournalTask};
pub use failure::Failure;
pub use verdict::Verdict;

/// Runs the command.
///
/// # Errors
/// Why it cannot.
pub fn run(options: &JournalOptions) -> Result<Verdict, Failure> {
    let directory = options.directory.as_path();
    let files = || ReadOnly::open(directory).map_err(|error| Failure::unopened(directory, error));
    match options.task {
        JournalTask::Check => check::run(directory, &files()?, output::open()?),
        JournalTask::Print(printing) => {
            print::Printer::new(directory, files()?, output::open()?, printing).run()
        }
        JournalTask::Resize(bytes) => resize::run(directory, bytes),
    }
}
