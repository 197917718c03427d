//! The filter of the log: the text of `--log-level`, parsed once at the start.
//!
//! The syntax is that of `RUST_LOG`, without what would hide a mistake. A word that is no level is an error, not a
//! module. A module that never logs is an error, too. There are no regular expressions.

use core::fmt;

use env_filter::Builder;
use log::{Level, LevelFilter, Metadata};

use crate::nearest::nearest;

mod generated {
    include!(concat!(env!("OUT_DIR"), "/log_modules.rs"));
}

/// The modules of this crate that log, and their parents, as the build script finds them in the source: sorted paths
/// without the name of the crate.
pub use generated::MODULES;

/// The name of this crate: every target of it begins with this.
const CRATE: &str = env!("CARGO_CRATE_NAME");

/// The level of each module.
///
/// Parsing allocates; [`enabled`](Self::enabled) does not.
#[derive(Clone, Debug)]
pub struct Filter(env_filter::Filter);

impl Filter {
    /// Parses parts that are separated by commas. Each is a `LEVEL` for all modules, or `MODULE=LEVEL`. If two parts
    /// name the same module, the last one applies. Without a level for all modules, that is `info`.
    ///
    /// LEVEL is `off`, `error`, `warn`, `info`, `debug` or `trace`. MODULE is one of [`MODULES`], with or without
    /// `firstline::` before it, or `firstline`. It includes all modules in it; the longest matching MODULE applies.
    ///
    /// ```
    /// use firstline::logger::Filter;
    ///
    /// assert!(Filter::parse("warn,hub::workers=trace").is_ok());
    /// assert!(Filter::parse("wran").is_err());
    /// ```
    ///
    /// # Errors
    /// The first part that has neither form, or that names a module that never logs.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let mut builder = Builder::new();
        builder.filter_level(LevelFilter::Info);
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (module, level) = parse_part(part)?;
            builder.filter(module.as_deref(), level);
        }
        Ok(Self(builder.build()))
    }

    /// The most detailed level of any module.
    pub fn max(&self) -> LevelFilter {
        self.0.filter()
    }

    /// Whether such a record is logged.
    pub fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    /// Whether log lines of this target show their module and its source line. They do if debug is enabled for the
    /// target: then the reader wants to find the place in the source.
    pub fn shows_origin(&self, target: &str) -> bool {
        self.enabled(&Metadata::builder().level(Level::Debug).target(target).build())
    }
}

impl Default for Filter {
    /// `info` for all modules.
    fn default() -> Self {
        Self(Builder::new().filter_level(LevelFilter::Info).build())
    }
}

/// One part of a filter, its module as a whole path.
fn parse_part(part: &str) -> Result<(Option<String>, LevelFilter), FilterError> {
    let syntax = || FilterError::Syntax(part.to_string());
    let (module, level) = match part.split_once('=') {
        None => (None, part),
        Some((module, level)) => (Some(module.trim()), level.trim()),
    };
    let level = level.parse().map_err(|_| syntax())?;
    let Some(module) = module else { return Ok((None, level)) };
    if !is_path(module) {
        return Err(syntax());
    }
    let short = short_target(module);
    if short == CRATE {
        return Ok((Some(CRATE.to_string()), level));
    }
    match MODULES.contains(&short) {
        true => Ok((Some(format!("{CRATE}::{short}")), level)),
        false => Err(FilterError::Module(module.to_string())),
    }
}

/// Whether the text has the form of a module's path.
fn is_path(module: &str) -> bool {
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    module.split("::").all(is_name)
}

/// The module that the path probably means: one with a similar path, or with the same last name.
fn meant(path: &str) -> Option<&'static str> {
    let is_end = |module: &&&str| module.rsplit("::").next() == path.rsplit("::").next();
    nearest(path.as_bytes(), MODULES.iter().copied()).or_else(|| MODULES.iter().find(is_end).copied())
}

/// The target without the name of the crate: `hub::workers::worker` for `firstline::hub::workers::worker`.
pub fn short_target(target: &str) -> &str {
    target.strip_prefix(CRATE).and_then(|rest| rest.strip_prefix("::")).unwrap_or(target)
}

/// A part of a filter that is wrong. Its text is one line, and says what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterError {
    /// This part is neither `LEVEL` nor `MODULE=LEVEL`.
    Syntax(String),
    /// This module never logs.
    Module(String),
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(part) => write!(
                f,
                "{part:?} is not LEVEL or MODULE=LEVEL; LEVEL is off, error, warn, info, debug or trace"
            ),
            Self::Module(path) => {
                write!(f, "no module {path} logs; ")?;
                if let Some(meant) = meant(short_target(path)) {
                    write!(f, "did you mean {meant}? ")?;
                }
                write!(f, "there are: {}", MODULES.join(", "))
            }
        }
    }
}

impl std::error::Error for FilterError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn enabled(filter: &str, level: Level, target: &str) -> bool {
        Filter::parse(filter).unwrap().enabled(&Metadata::builder().level(level).target(target).build())
    }

    #[test]
    fn single_level_applies_to_all_modules() {
        assert!(enabled("warn", Level::Warn, "firstline::hub"));
        assert!(!enabled("warn", Level::Info, "firstline::hub"));
        assert!(!enabled("off", Level::Error, "firstline"));
        assert!(enabled("TRACE", Level::Trace, "firstline"));
    }

    #[test]
    fn longest_module_applies_with_or_without_the_name_of_the_crate() {
        for filter in
            ["info,hub=error,hub::workers=trace", "firstline::hub::workers=trace,firstline::hub=error"]
        {
            assert!(enabled(filter, Level::Trace, "firstline::hub::workers::worker"));
            assert!(!enabled(filter, Level::Warn, "firstline::hub"));
            assert!(enabled(filter, Level::Info, "firstline::journal"));
            assert!(!enabled(filter, Level::Debug, "firstline::journal"));
        }
        assert!(enabled("error,firstline=debug", Level::Debug, "firstline::journal"));
    }

    #[test]
    fn default_level_is_info() {
        for filter in ["", "hub=debug", " , "] {
            assert!(enabled(filter, Level::Info, "firstline::journal"));
            assert!(!enabled(filter, Level::Debug, "firstline::journal"));
        }
        assert_eq!(Filter::default().max(), LevelFilter::Info);
    }

    #[test]
    fn maximum_is_that_of_the_most_detailed_module() {
        assert_eq!(Filter::parse("off").unwrap().max(), LevelFilter::Off);
        assert_eq!(Filter::parse("off,hub=debug").unwrap().max(), LevelFilter::Debug);
    }

    #[test]
    fn origin_is_shown_where_debug_is_enabled() {
        let filter = Filter::parse("info,hub=debug").unwrap();
        assert!(filter.shows_origin("firstline::hub::workers::worker"));
        assert!(!filter.shows_origin("firstline::journal"));
    }

    #[test]
    fn mistakes_are_refused_with_what_is_allowed() {
        for wrong in
            ["wran", "hub", "hub=", "=info", "hub=loud", "info/text", "a=b=info", "hub:=info", "a b=info"]
        {
            let error = Filter::parse(&format!("info,{wrong}")).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "{wrong:?} is not LEVEL or MODULE=LEVEL; LEVEL is off, error, warn, info, debug or trace"
                )
            );
        }
    }

    #[test]
    fn module_that_never_logs_is_refused_with_a_list_of_those_that_do() {
        for (wrong, meant) in [
            ("firstline::hubb", "did you mean hub? "),
            ("hub::connection::sesion", "did you mean hub::connection::session? "),
            ("session", "did you mean hub::connection::session? "),
            ("net::session", "did you mean hub::connection::session? "),
            ("hu", "did you mean hub? "),
            ("hub::session::x", ""),
            ("kitchen", ""),
            ("wire", ""),
            ("mod", ""),
        ] {
            let error = Filter::parse(&format!("info,{wrong}=debug")).unwrap_err();
            let (said, there_are) = (error.to_string(), MODULES.join(", "));
            assert_eq!(said, format!("no module {wrong} logs; {meant}there are: {there_are}"));
        }
    }

    #[test]
    fn modules_that_log_are_found_in_the_source() {
        for module in ["hub", "hub::connection::session", "hub::dispatch::commit_group", "hub::startup"] {
            assert!(MODULES.contains(&module), "{module}: {MODULES:?}");
            assert!(Filter::parse(&format!("{module}=debug,firstline::{module}=trace")).is_ok());
        }
        assert!(
            !MODULES.iter().any(|module| module.contains("mod") || module.starts_with("logger")),
            "{MODULES:?}"
        );
        assert!(MODULES.is_sorted());
    }

    #[test]
    fn name_of_the_crate_is_left_out_of_targets() {
        assert_eq!(short_target("firstline::hub::workers::worker"), "hub::workers::worker");
        assert_eq!(short_target("firstline"), "firstline");
        assert_eq!(short_target("firstlines::hub"), "firstlines::hub");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = Filter::parse(&text);
        }
    }
}
