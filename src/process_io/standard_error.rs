//! Single lines on standard error, which may be lost.

use std::fmt::Display;
use std::io::{Write as _, stderr};

/// Writes one line: the name of the program, and `line`. If standard error is closed or its disk is full, the line is
/// lost and the caller continues; `eprintln` would panic. This blocks while standard error is a full pipe.
pub fn say(program: &str, line: impl Display) {
    let _ = writeln!(stderr(), "{program}: {line}");
}
