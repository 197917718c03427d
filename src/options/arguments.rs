//! The arguments of the commands `firstline journal`, `send`, `watch`, `handle` and `bench`.

use super::usage::{self, Usage};
use crate::protocol::Priority;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// One argument of a command.
pub(super) enum Argument {
    /// `--help` or `-h`.
    Help,
    /// The name of an option of the command. [`value`] or [`switch`] reads what follows it.
    Option(&'static str),
    /// An argument that is not an option.
    Word(OsString),
}

/// The options that a command has besides `--help`.
pub(super) struct Known {
    /// Their names.
    pub names: &'static [&'static str],
    /// The letters, each with the name that it stands for.
    pub letters: &'static [(char, &'static str)],
    /// The command that prints the help.
    pub help: &'static str,
}

impl Known {
    /// Reads the next argument; `None`: there is none.
    ///
    /// # Errors
    /// The argument is an option that the command does not have.
    pub(super) fn next(&self, parser: &mut lexopt::Parser) -> Result<Option<Argument>, Usage> {
        let Some(argument) = parser.next().map_err(usage::unexpected)? else { return Ok(None) };
        let name = match argument {
            lexopt::Arg::Long("help") | lexopt::Arg::Short('h') => return Ok(Some(Argument::Help)),
            lexopt::Arg::Value(word) => return Ok(Some(Argument::Word(word))),
            lexopt::Arg::Long(name) => self.named(name).ok_or_else(|| self.unknown(&format!("--{name}"))),
            lexopt::Arg::Short(letter) => {
                self.lettered(letter).ok_or_else(|| self.unknown(&usage::after_one_dash(letter, parser)))
            }
        };
        Ok(Some(Argument::Option(name?)))
    }

    fn named(&self, name: &str) -> Option<&'static str> {
        self.names.iter().copied().find(|known| *known == name)
    }

    fn lettered(&self, letter: char) -> Option<&'static str> {
        self.letters.iter().find(|(known, _)| *known == letter).map(|(_, name)| *name)
    }

    /// The error for an option that the command does not have, as `written`.
    fn unknown(&self, written: &str) -> Usage {
        usage::unknown_among(written, self.names.iter().copied().chain(["help"]), self.help)
    }
}

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

#[cfg(test)]
mod tests {
    use super::super::{bench, handle, journal, names, send, watch};
    use std::ffi::OsString;

    #[test]
    fn every_option_of_a_command_is_set() {
        for (command, options) in [
            (names::BENCH_WORD, &bench::NAMES[..]),
            (names::HANDLE_WORD, &handle::NAMES),
            (names::JOURNAL_WORD, &journal::NAMES),
            (names::SEND_WORD, &send::NAMES),
            (names::WATCH_WORD, &watch::NAMES),
        ] {
            for option in options.iter().flat_map(|name| [format!("--{name}"), format!("--{name}=1")]) {
                let refused =
                    super::super::parse([command, &option].map(OsString::from).into_iter(), [].into_iter());
                let told = refused.err().map(|usage| usage.to_string()).unwrap_or_default();
                assert!(!told.contains("no such option"), "{command} {option}: {told}");
            }
        }
    }
}
