//! `firstline journal`: prints or checks a journal from outside of the server, which may write to it at the same time. Takes no lock,
//! and writes nothing to it. Runs instead of the server, so it may allocate.

mod check;
mod failure;
mod lines;
mod print;

use crate::counted::Counted;
use crate::journal::files;
use crate::journal::resize::{self, LeftOut, Resized};
use crate::options::{JournalOptions, JournalTask};
pub use failure::Failure;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::os::fd::AsFd;
use std::path::Path;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing that was looked at is damaged.
    Sound,
    /// Something is.
    Damaged,
}

/// Where everything is written to, many lines at a time.
type Output = BufWriter<File>;

/// Does what was asked for.
///
/// # Errors
/// Why it cannot.
pub fn run(options: &JournalOptions) -> Result<Verdict, Failure> {
    let directory = options.directory.as_path();
    let files = || files::ReadOnly::open(directory).map_err(|error| Failure::unopened(directory, error));
    let output = || io::stdout().as_fd().try_clone_to_owned().map(|file| BufWriter::new(File::from(file)));
    match options.task {
        JournalTask::Check => check::run(directory, &files()?, output()?),
        JournalTask::Print(printing) => print::Printer::new(directory, files()?, output()?, printing).run(),
        JournalTask::Resize(bytes) => resize(directory, bytes),
    }
}

/// Carries it over to another size, and tells what became of it.
fn resize(directory: &Path, bytes: u64) -> Result<Verdict, Failure> {
    let resized = resize::resize(directory, files::segment_bytes(bytes))
        .map_err(|error| Failure::unresized(directory, error))?;
    let Resized { messages, next_id, left_out, .. } = resized;
    let verb = if messages == 1 { "was" } else { "were" };
    let messages = Counted(messages, "message");
    writeln!(
        io::stdout(),
        "{messages} {verb} read; the new journal has as many of the newest as fit; the next ID is {next_id}"
    )?;
    for (file, what) in tell(&left_out) {
        eprintln!(
            "firstline: {}: {what}",
            file.map_or(directory.into(), |name| directory.join(name)).display()
        );
    }
    Ok(if left_out.is_nothing() { Verdict::Sound } else { Verdict::Damaged })
}

/// What a resize left out, each with its file where there is one.
fn tell(left_out: &LeftOut) -> Vec<(Option<&'static str>, String)> {
    let LeftOut { damaged_bytes, torn_bytes, cut_bytes, unreadable, missing } = left_out;
    let bytes = [
        (damaged_bytes, "damaged, and left out"),
        (torn_bytes, "torn at the end, as a power cut does that, and left out"),
        (cut_bytes, "missing at the ends of files"),
    ];
    let told = bytes.into_iter().filter(|(count, _)| **count > 0);
    let told = told.map(|(count, what)| (None, format!("{}: {what}", Counted(*count, "byte"))));
    let unreadable = unreadable
        .iter()
        .map(|name| (Some(*name), "damaged, another journal's, or a copy, and left out".to_string()));
    let missing = missing
        .iter()
        .map(|name| (Some(*name), "missing, emptied or replaced, with what it held".to_string()));
    told.chain(unreadable).chain(missing).collect()
}
