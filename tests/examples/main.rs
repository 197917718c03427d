//! Every example of `deploy/examples`, run as a user runs it, against the real server, which ends and starts again.
//!
//! The stage `tests/stages/examples` prepares the tools, and sets `FIRSTLINE_TEST_TOOLS` to their directory,
//! with `bin/micropython`, `bin/rsyslogd`, and the kinds of nc as `netcats/KIND/nc`.

#[path = "../support/mod.rs"]
mod support;

mod files;
mod handling;
mod listening;
mod process;
mod sending;
mod site;
mod syslog;
mod unit;

use std::path::{Path, PathBuf};

/// The path of an example.
fn example(name: &str) -> String {
    format!("{}/deploy/examples/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The text of an example.
fn text_of(name: &str) -> String {
    std::fs::read_to_string(example(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The text of an example with the test's values in place of those that a user replaces, which must all occur.
fn edited(name: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text_of(name), |text, (from, to)| {
        assert!(text.contains(from), "{name} has no {from:?}");
        text.replace(from, to)
    })
}

/// A stand-in that an example is built or run with.
fn stand_in(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/examples").join(name)
}

/// One of the tools of the stage.
fn tool(name: &str) -> PathBuf {
    let tools = std::env::var_os("FIRSTLINE_TEST_TOOLS").expect("run them by tests/stages/examples");
    let tool = Path::new(&tools).join(name);
    assert!(tool.exists(), "{} is missing: tests/stages/examples prepares it", tool.display());
    tool
}
