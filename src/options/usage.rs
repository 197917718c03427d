//! Error messages about wrong options. Each is one line.

use super::names::{BENCH_WORD, COMPANIONS, HANDLE_WORD, JOURNAL_WORD, PREFIX, SEND_WORD, WATCH_WORD};
use super::page::PAGES;
use super::table::{Dependency, NAMES_ELSEWHERE, settings};
use crate::limits::USAGE_GIVEN_BYTES_MAX;
use crate::nearest::nearest;
use std::ffi::OsStr;
use std::fmt::{self, Display};
use std::os::unix::ffi::OsStrExt;

/// An error in the command line or the environment: one line with the option, the given value, and what is allowed. The
/// given value is escaped and cut, so that it adds no line break and no control character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage(String);

impl Usage {
    /// The option of this name (without its dashes) does not allow the given value. `allowed` must be one line.
    pub fn option(name: &str, given: &OsStr, allowed: impl Display) -> Self {
        Self(format!("--{name} {}: {allowed}", shown(given)))
    }

    /// The given argument is not allowed in its place.
    pub fn given(given: &OsStr, allowed: impl Display) -> Self {
        Self(format!("{}: {allowed}", shown(given)))
    }

    /// The environment variable of this name does not allow its value. `allowed` must be one line.
    pub fn variable(name: &str, given: &OsStr, allowed: impl Display) -> Self {
        Self(format!("{name}={}: {allowed}", shown(given)))
    }
}

impl Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// The option is the last argument, so its value is missing.
pub(super) fn missing(name: &str, allowed: String) -> Usage {
    Usage(format!("--{name} without a value: {allowed}"))
}

/// The option has no effect with the values of the others.
pub(super) fn without_effect(dependency: &Dependency) -> Usage {
    Usage(format!("--{}: does nothing {}", dependency.name, dependency.otherwise))
}

/// The argument is not an option. The user may have meant a command, which must come before the options, or an option
/// without its dashes.
pub(super) fn positional(given: &OsStr) -> Usage {
    let advice = match nearest(
        given.as_bytes(),
        known().chain([JOURNAL_WORD, SEND_WORD, WATCH_WORD, HANDLE_WORD, BENCH_WORD]).chain(COMPANIONS),
    ) {
        Some(near) if near == JOURNAL_WORD => format!("did you mean firstline {near} DIR?"),
        Some(near) if near == SEND_WORD => format!("did you mean firstline {near} HOST TEXT?"),
        Some(near) if near == WATCH_WORD => format!("did you mean firstline {near} HOST?"),
        Some(near) if near == HANDLE_WORD => {
            format!("did you mean firstline {near} HOST -- PROGRAM?")
        }
        Some(near) if near == BENCH_WORD || COMPANIONS.contains(&near) => {
            format!("did you mean firstline {near}?")
        }
        Some(near) => format!("did you mean --{near}?"),
        None => "--listen says where to listen, --help the rest".to_string(),
    };
    Usage(format!("{}: not an option; {advice}", shown(given)))
}

/// The names of all options.
fn known() -> impl Iterator<Item = &'static str> + Clone {
    settings().iter().map(|setting| setting.name).chain(PAGES.iter().map(|page| page.name))
}

/// No option has that name. `given` includes the dashes.
pub(super) fn unknown_option(given: &str) -> Usage {
    let names = known().chain(NAMES_ELSEWHERE.iter().map(|(name, _)| *name));
    unknown(given, near(given, names).map(own_name), "--help")
}

/// Translates a name from another program into the name of the option here. A name of an option here stays as it is.
fn own_name(name: &'static str) -> &'static str {
    NAMES_ELSEWHERE.iter().find(|(other, _)| *other == name).map_or(name, |(_, ours)| *ours)
}

/// None of the `known` options has that name. `help` is the command that lists them.
pub(super) fn unknown_among(
    given: &str,
    known: impl Iterator<Item = &'static str> + Clone,
    help: &str,
) -> Usage {
    unknown(given, near(given, known), help)
}

/// Restores an argument with one dash as the user wrote it, without a value. The parser has just read its first letter.
pub(super) fn after_one_dash(letter: char, parser: &mut lexopt::Parser) -> String {
    let rest = parser.optional_value().unwrap_or_default();
    let rest = rest.to_string_lossy();
    format!("-{letter}{}", rest.split('=').next().unwrap_or_default())
}

/// The known name that is nearest to the given one, which includes its dashes. After a single dash, the user may have
/// written a whole name, or a letter and its value.
fn near(given: &str, known: impl Iterator<Item = &'static str> + Clone) -> Option<&'static str> {
    let name = given.trim_start_matches('-').as_bytes();
    let letter = || if given.starts_with("--") { None } else { name.get(..1) };
    nearest(name, known.clone()).or_else(|| nearest(letter()?, known))
}

fn unknown(given: &str, near: Option<&str>, help: &str) -> Usage {
    let advice = match near {
        Some(near) => format!("did you mean --{near}?"),
        None => format!("see {help}"),
    };
    Usage(format!("{}: no such option; {advice}", shown(OsStr::new(given))))
}

/// No setting has that variable, although its name has the prefix of the settings.
pub(super) fn unknown_variable(name: &OsStr) -> Usage {
    let known = || settings().iter().map(|setting| &setting.variable[PREFIX.len()..]);
    let given = name.as_bytes()[PREFIX.len()..].to_ascii_uppercase();
    let advice = match nearest(&given, known()) {
        Some(near) => format!("did you mean {PREFIX}{near}?"),
        None => format!("there are: {PREFIX}{}", known().collect::<Vec<_>>().join(&format!(", {PREFIX}"))),
    };
    Usage(format!("{}: no such setting in the environment; {advice}", shown(name)))
}

/// An option has a value after its `=` or its letter, but takes none. The text is lexopt's.
pub(super) fn unexpected(error: lexopt::Error) -> Usage {
    let error = error.to_string();
    Usage(format!("{}: not understood; see --help", shown(OsStr::new(&error))))
}

/// A value as an error message shows it: plain text unchanged, any other text quoted and escaped. A long value is cut.
fn shown(given: &OsStr) -> String {
    let bytes = given.as_bytes();
    let cut = &bytes[..bytes.len().min(USAGE_GIVEN_BYTES_MAX)];
    let more = if cut.len() < bytes.len() { "..." } else { "" };
    match str::from_utf8(cut) {
        Ok(plain) if !plain.is_empty() && cut.iter().all(u8::is_ascii_graphic) => format!("{plain}{more}"),
        _ => format!("{:?}{more}", OsStr::from_bytes(cut)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::NAME_BYTES_MAX;

    #[test]
    fn every_name_is_short_enough_for_a_comparison() {
        assert!(known().all(|name| name.len() <= NAME_BYTES_MAX));
    }

    #[test]
    fn positional_argument_suggests_the_nearest_name() {
        for (given, advice) in [
            ("journl", "did you mean firstline journal DIR?"),
            ("journal", "did you mean firstline journal DIR?"),
            ("sned", "did you mean firstline send HOST TEXT?"),
            ("wacth", "did you mean firstline watch HOST?"),
            ("handl", "did you mean firstline handle HOST -- PROGRAM?"),
            ("listen", "did you mean --listen?"),
            ("halp", "did you mean --help?"),
            ("9090", "--listen says where to listen, --help the rest"),
        ] {
            assert_eq!(positional(given.as_ref()).to_string(), format!("{given}: not an option; {advice}"));
        }
    }

    #[test]
    fn names_elsewhere_are_not_names_of_options_here_but_stand_for_one() {
        let is_ours = |name: &str| settings().iter().any(|setting| setting.name == name);
        for (other, ours) in NAMES_ELSEWHERE {
            assert!(is_ours(ours) && !is_ours(other) && other.len() <= NAME_BYTES_MAX, "{other}");
        }
    }

    #[test]
    fn plain_values_are_shown_as_they_are_and_others_quoted() {
        for (given, expected) in [
            (&b"0"[..], "0"),
            (b"", r#""""#),
            (b"a b", r#""a b""#),
            (b"a\nb\x1b", r#""a\nb\u{1b}""#),
            (b"\xff", r#""\xFF""#),
            ("\u{202e}x".as_bytes(), r#""\u{202e}x""#),
        ] {
            assert_eq!(shown(OsStr::from_bytes(given)), expected);
        }
        assert_eq!(shown(OsStr::new(&"x".repeat(100))), "x".repeat(USAGE_GIVEN_BYTES_MAX) + "...");
    }
}
