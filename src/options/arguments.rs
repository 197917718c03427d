//! Parses the values of the options of `firstline send`, `watch`, `handle` and `bench`.

use super::usage::{self, Usage};
use crate::protocol::Priority;
use std::ffi::OsStr;
use std::path::PathBuf;

/// A priority.
pub(super) fn priority(text: &str) -> Result<Priority, String> {
    let priority = match text.as_bytes() {
        [digit] => Priority::from_digit(*digit),
        _ => None,
    };
    priority.ok_or_else(|| "takes a priority, 0 to 9, where 9 is the most urgent".to_string())
}

/// A path. Text with a leading dash is another option, so the value is missing.
pub(super) fn path(text: &str, of: &str) -> Result<PathBuf, String> {
    if text.is_empty() || text.starts_with('-') {
        return Err(format!("takes the path of a {of}; write ./-NAME for a path that begins with -"));
    }
    Ok(text.into())
}

/// Reads and parses the value of the option whose name the parser has just read.
pub(super) fn value<T>(
    name: &str,
    parser: &mut lexopt::Parser,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, Usage> {
    let given = parser.value().ok();
    let text = given.as_deref().and_then(OsStr::to_str).unwrap_or_default();
    read(text).map_err(|allowed| match &given {
        Some(given) => Usage::option(name, given, allowed),
        None => usage::missing(name, allowed),
    })
}

/// Returns `value` for an option that takes no value.
pub(super) fn switch<T>(name: &str, parser: &mut lexopt::Parser, value: T) -> Result<T, Usage> {
    match parser.optional_value() {
        Some(given) => Err(Usage::option(name, &given, "takes no value")),
        None => Ok(value),
    }
}
