//! Resizes a journal, and reports the result.

use super::failure::Failure;
use super::verdict::Verdict;
use crate::counted::Counted;
use crate::journal::files::segment_bytes;
use crate::journal::resize::{LeftOut, Resized, resize};
use crate::process_io::standard_error::say;
use std::io::{self, Write as _};
use std::path::Path;

/// Resizes the journal in that directory to this many bytes.
pub fn run(directory: &Path, bytes: u64) -> Result<Verdict, Failure> {
    let resized = resize(directory, segment_bytes(bytes));
    let resized = resized.map_err(|error| Failure::unresized(directory, error))?;
    let Resized { messages, next_id, left_out, .. } = resized;
    let verb = if messages == 1 { "was" } else { "were" };
    let messages = Counted(messages, "message");
    writeln!(
        io::stdout(),
        "{messages} {verb} read; the new journal has as many of the newest as fit; the next ID is {next_id}"
    )?;
    for (file, what) in reports(&left_out) {
        let path = file.map_or(directory.into(), |name| directory.join(name));
        say("firstline", format_args!("{}: {what}", path.display()));
    }
    Ok(if left_out.is_nothing() { Verdict::Sound } else { Verdict::Damaged })
}

/// A line for each thing that the resize left out, with the file if it is about one.
fn reports(left_out: &LeftOut) -> Vec<(Option<&'static str>, String)> {
    let LeftOut { damaged_bytes, torn_bytes, cut_bytes, unreadable, missing } = left_out;
    let bytes = [
        (damaged_bytes, "damaged, and left out"),
        (torn_bytes, "torn at the end, as a power cut does, and left out"),
        (cut_bytes, "missing at the ends of files"),
    ];
    let present = bytes.into_iter().filter(|(count, _)| **count > 0);
    let bytes = present.map(|(count, what)| (None, format!("{}: {what}", Counted(*count, "byte"))));
    let unreadable = unreadable
        .iter()
        .map(|name| (Some(*name), "damaged, another journal's, or a copy, and left out".to_string()));
    let missing = missing
        .iter()
        .map(|name| (Some(*name), "missing, emptied or replaced; what it held is lost".to_string()));
    bytes.chain(unreadable).chain(missing).collect()
}
