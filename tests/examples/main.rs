//! Every example of `deploy/examples`, run as a user runs it, against the real server, which goes away and comes back.
//!
//! The stage `tests/stages/examples` has what they need ready, and says where in `FIRSTLINE_TEST_TOOLS`: `bin/micropython`,
//! `bin/rsyslogd`, and the kinds of nc as `netcats/KIND/nc`.

#[path = "../common/mod.rs"]
mod common;

mod files;
mod listening;
mod place;
mod process;
mod sending;
mod syslog;
mod unit;

use std::path::{Path, PathBuf};

/// The path of an example.
fn example(name: &str) -> String {
    format!("{}/deploy/examples/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// What an example says.
fn text_of(name: &str) -> String {
    std::fs::read_to_string(example(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The text of an example with values of the test in place of those that a user replaces; each must be there.
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

/// One of the tools that the stage has ready.
fn tool(name: &str) -> PathBuf {
    let tools = std::env::var_os("FIRSTLINE_TEST_TOOLS").expect("run them by tests/stages/examples");
    let tool = Path::new(&tools).join(name);
    assert!(tool.exists(), "{} is missing: tests/stages/examples makes it", tool.display());
    tool
}
