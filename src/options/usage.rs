//! What is said when an option is wrong: one line.

use super::table::{Detail, ELSEWHERE, PAGES, settings};
use super::{JOURNAL_WORD, PREFIX};
use crate::limits::USAGE_GIVEN_BYTES_MAX;
use crate::nearest::nearest;
use std::ffi::OsStr;
use std::fmt::{self, Display};
use std::os::unix::ffi::OsStrExt;

/// A wrong use of the command line or the environment: one line that names the option, what was given, and
/// what is allowed. What was given is escaped and cut, so it can bring in no line break and no control character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage(String);

impl Usage {
    /// The option of this name (without its dashes) does not allow the value it was given. `allowed` must be
    /// one line.
    pub fn option(name: &str, given: &OsStr, allowed: impl Display) -> Self {
        Self(format!("--{name} {}: {allowed}", shown(given)))
    }

    /// What was given is not allowed where it stands.
    pub(super) fn given(given: &OsStr, allowed: impl Display) -> Self {
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

/// The option ends the command line, and lacks its value.
pub(super) fn missing(name: &str, allowed: String) -> Usage {
    Usage(format!("--{name} without a value: {allowed}"))
}

/// The option does nothing beside what else was asked for.
pub(super) fn detail_of_nothing(detail: &Detail) -> Usage {
    Usage(format!("--{}: does nothing {}", detail.name, detail.otherwise))
}

/// The argument is no option; the word before the options may be meant, or an option without its dashes.
pub(super) fn positional(given: &OsStr) -> Usage {
    let advice = match nearest(given.as_bytes(), known().chain([JOURNAL_WORD])) {
        Some(near) if near == JOURNAL_WORD => format!("did you mean firstline {near} DIR?"),
        Some(near) => format!("did you mean --{near}?"),
        None => "--listen says where to listen, --help the rest".to_string(),
    };
    Usage(format!("{}: not an option; {advice}", shown(given)))
}

/// The names of all options.
fn known() -> impl Iterator<Item = &'static str> + Clone {
    settings().iter().map(|setting| setting.name).chain(PAGES.iter().map(|page| page.name))
}

/// No option is called so; its name comes with its dashes.
pub(super) fn unknown_option(given: &str) -> Usage {
    let names = known().chain(ELSEWHERE.iter().map(|(name, _)| *name));
    unknown(given, near(given, names).map(here), "--help")
}

/// What an option is called here that has that name here or elsewhere.
fn here(name: &'static str) -> &'static str {
    ELSEWHERE.iter().find(|(other, _)| *other == name).map_or(name, |(_, ours)| *ours)
}

/// None of the known options is called so; `help` tells of those.
pub(super) fn unknown_among(
    given: &str,
    known: impl Iterator<Item = &'static str> + Clone,
    help: &str,
) -> Usage {
    unknown(given, near(given, known), help)
}

/// An argument with one dash as it was written, without a value: its first letter was just read.
pub(super) fn after_one_dash(letter: char, parser: &mut lexopt::Parser) -> String {
    let rest = parser.optional_value().unwrap_or_default();
    let rest = rest.to_string_lossy();
    format!("-{letter}{}", rest.split('=').next().unwrap_or_default())
}

/// The name that the given one, which comes with its dashes, is near to. Behind a single dash may stand a whole name, or a letter and
/// its value.
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

/// No variable is called so, which has our prefix.
pub(super) fn unknown_variable(name: &OsStr) -> Usage {
    let known = || settings().iter().map(|setting| &setting.variable[PREFIX.len()..]);
    let given = name.as_bytes()[PREFIX.len()..].to_ascii_uppercase();
    let advice = match nearest(&given, known()) {
        Some(near) => format!("did you mean {PREFIX}{near}?"),
        None => format!("there are: {PREFIX}{}", known().collect::<Vec<_>>().join(&format!(", {PREFIX}"))),
    };
    Usage(format!("{}: no such setting in the environment; {advice}", shown(name)))
}

/// What stands behind an option's `=` or letter where nothing may, in lexopt's words.
pub(super) fn unexpected(error: lexopt::Error) -> Usage {
    let error = error.to_string();
    Usage(format!("{}: not understood; see --help", shown(OsStr::new(&error))))
}

/// A value as it is shown: as it is where it is plain, else quoted and escaped; cut where it is long.
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
    fn every_name_can_be_compared_with_a_misspelt_one() {
        assert!(known().all(|name| name.len() <= NAME_BYTES_MAX));
    }

    #[test]
    fn a_word_that_is_no_option_names_what_is_near() {
        for (given, advice) in [
            ("journl", "did you mean firstline journal DIR?"),
            ("journal", "did you mean firstline journal DIR?"),
            ("listen", "did you mean --listen?"),
            ("halp", "did you mean --help?"),
            ("9090", "--listen says where to listen, --help the rest"),
        ] {
            assert_eq!(positional(given.as_ref()).to_string(), format!("{given}: not an option; {advice}"));
        }
    }

    #[test]
    fn what_is_called_otherwise_elsewhere_is_an_option_here_and_no_name_of_one() {
        let is_ours = |name: &str| settings().iter().any(|setting| setting.name == name);
        for (other, ours) in ELSEWHERE {
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
