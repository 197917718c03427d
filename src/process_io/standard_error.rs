//! Lines for people on standard error, where nothing may depend on them.

use std::fmt::Display;
use std::io::{Write as _, stderr};

/// Writes one line: the name of the program, and what it says. If standard error is closed or its disk is full, the
/// line is lost, and the caller goes on; `eprintln` would panic. This may block while the reader of a pipe does not
/// read.
pub fn say(program: &str, line: impl Display) {
    let _ = writeln!(stderr(), "{program}: {line}");
}
