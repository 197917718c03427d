//! Reads the arguments and the environment, and returns plain [`Options`].
//!
//! One table defines all options of the server. The command line, the environment and `--help` all use it, so that none
//! of them can omit one. The command line takes precedence over the environment: if an option is given, the value of
//! its variable is not checked. An empty variable counts as not set, as in the environment files of systemd. If an
//! option is given several times, the last value counts; only the values of `--listen` and `--allow` accumulate.
//!
//! This module does not access the process: the caller passes the arguments and the environment. It opens nothing and
//! prints nothing. It runs before the server logs "ready", so it may allocate.

mod addresses;
mod arguments;
mod bench;
mod containers;
mod handle;
mod help;
mod interface;
mod journal;
mod journal_help;
mod names;
mod page;
mod send;
mod server;
mod table;
mod usage;
mod values;
mod watch;

pub use addresses::{Allow, Listen, words};
pub use bench::{BenchOptions, help as bench_help};
pub use handle::{HandleOptions, help as handle_help};
pub use help::{help, version};
pub use interface::Interface;
pub use journal::{JournalOptions, JournalTask, Printing};
pub use journal_help::help as journal_help;
pub use page::Page;
pub use send::{Content, SendOptions, help as send_help};
pub use server::Options;
pub use usage::Usage;
pub use watch::{Since, WatchOptions, help as watch_help};

use names::{
    BENCH_WORD, BOARD_VARIABLE, COMPANIONS, HANDLE_WORD, JOURNAL_WORD, PREFIX, SEND_WORD, TEST_PREFIX,
    WATCH_WORD,
};
use page::{PAGES, PageOption};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use table::{DEPENDENCIES, Setting, settings};

/// What the command line requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Run the server.
    Serve(Box<Options>),
    /// Run `firstline journal`.
    Journal(JournalOptions),
    /// Run `firstline send`.
    Send(SendOptions),
    /// Run `firstline watch`.
    Watch(WatchOptions),
    /// Run `firstline handle`.
    Handle(HandleOptions),
    /// Run `firstline bench`.
    Bench(BenchOptions),
    /// Run the companion program of that name, with these arguments.
    Companion(&'static str, Vec<OsString>),
    /// Print something and exit.
    Print(Page),
}

/// Reads the command line (without the program's name) and the environment.
///
/// If the first argument is `journal`, `send`, `watch`, `handle` or `bench`, the others belong to that command
/// ([`JournalOptions`], [`SendOptions`], [`WatchOptions`], [`HandleOptions`], [`BenchOptions`]), and the environment is
/// ignored. A companion program parses its own arguments. Otherwise the first `--help`, `--version` or `--sizes` ends
/// the parsing: the arguments after it and the environment are not checked.
///
/// # Errors
/// The first error, in one line: an unknown option; a value that is missing or not allowed; an argument that is not an
/// option; an option that has no effect together with the others; an unknown variable whose name begins with
/// `FIRSTLINE_`, because it may be misspelt. Variables that a container system sets for a service called firstline are
/// not errors.
pub fn parse(
    args: impl Iterator<Item = OsString>,
    env: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Action, Usage> {
    let mut options = Options::default();
    let mut given = Vec::new();
    let mut args = args.peekable();
    if args.next_if(|argument| argument == JOURNAL_WORD).is_some() {
        let options = journal::parse(lexopt::Parser::from_args(args))?;
        return Ok(options.map_or(Action::Print(Page::JournalHelp), Action::Journal));
    }
    if args.next_if(|argument| argument == SEND_WORD).is_some() {
        let options = send::parse(lexopt::Parser::from_args(args))?;
        return Ok(options.map_or(Action::Print(Page::SendHelp), Action::Send));
    }
    if args.next_if(|argument| argument == WATCH_WORD).is_some() {
        let options = watch::parse(lexopt::Parser::from_args(args))?;
        return Ok(options.map_or(Action::Print(Page::WatchHelp), Action::Watch));
    }
    if args.next_if(|argument| argument == HANDLE_WORD).is_some() {
        let options = handle::parse(lexopt::Parser::from_args(args))?;
        return Ok(options.map_or(Action::Print(Page::HandleHelp), Action::Handle));
    }
    if args.next_if(|argument| argument == BENCH_WORD).is_some() {
        let options = bench::parse(lexopt::Parser::from_args(args))?;
        return Ok(options.map_or(Action::Print(Page::BenchHelp), Action::Bench));
    }
    let companion = COMPANIONS.into_iter().find(|name| args.next_if(|argument| argument == name).is_some());
    if let Some(name) = companion {
        return Ok(Action::Companion(name, args.collect()));
    }
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(argument) = next_argument(&mut parser)? {
        match argument {
            Argument::Page(page) => {
                refuse_value(page, &mut parser)?;
                return Ok(Action::Print(page.page));
            }
            Argument::Setting(setting) => {
                read_option(setting, &mut parser, &mut options)?;
                given.push(setting.name);
            }
        }
    }
    for (name, value) in env {
        read_variable(&name, &value, &given, &mut options)?;
    }
    refuse_options_without_effect(&given, &options)?;
    Ok(Action::Serve(Box::new(options)))
}

/// Refuses an option that has no effect with the values of the others. For example, a user who gives `--sync all`
/// without a journal would expect too much of an ACK. In the environment, such an option is allowed, so that one line
/// of an environment file can turn the journal off.
fn refuse_options_without_effect(given: &[&str], options: &Options) -> Result<(), Usage> {
    let is_violated = |dependency: &&table::Dependency| {
        given.contains(&dependency.name) && !(dependency.has_effect)(options)
    };
    match DEPENDENCIES.iter().find(is_violated) {
        Some(dependency) => Err(usage::without_effect(dependency)),
        None => Ok(()),
    }
}

/// An argument that is in one of the tables.
enum Argument {
    Setting(&'static Setting),
    Page(&'static PageOption),
}

/// Looks up the next argument in the tables; `None`: no argument is left.
fn next_argument(parser: &mut lexopt::Parser) -> Result<Option<Argument>, Usage> {
    let letter = match parser.next().map_err(usage::unexpected)? {
        None => return Ok(None),
        Some(lexopt::Arg::Long(name)) => {
            return find_long(name).map(Some).ok_or_else(|| usage::unknown_option(&format!("--{name}")));
        }
        Some(lexopt::Arg::Value(value)) => return Err(usage::positional(&value)),
        Some(lexopt::Arg::Short(letter)) => letter,
    };
    match PAGES.iter().find(|page| page.short == Some(letter)) {
        Some(page) => Ok(Some(Argument::Page(page))),
        None => Err(usage::unknown_option(&usage::after_one_dash(letter, parser))),
    }
}

fn find_long(name: &str) -> Option<Argument> {
    let setting = settings().iter().find(|setting| setting.name == name).map(Argument::Setting);
    setting.or_else(|| PAGES.iter().find(|page| page.name == name).map(Argument::Page))
}

/// Refuses a value of an option that takes none, such as `--help=VALUE`.
fn refuse_value(page: &PageOption, parser: &mut lexopt::Parser) -> Result<(), Usage> {
    match parser.optional_value() {
        Some(value) => Err(Usage::option(page.name, &value, "takes no value")),
        None => Ok(()),
    }
}

/// Reads the value of the option whose name the parser has just read.
fn read_option(setting: &Setting, parser: &mut lexopt::Parser, options: &mut Options) -> Result<(), Usage> {
    let value = match setting.value_name {
        Some(_) => parser.value().ok(),
        None => Some(parser.optional_value().unwrap_or("on".into())),
    };
    match value {
        Some(value) => {
            set(setting, options, &value).map_err(|allowed| Usage::option(setting.name, &value, allowed))
        }
        // No option allows an empty value, so this produces the error that says what the option allows.
        None => {
            set(setting, options, OsStr::new("")).map_err(|allowed| usage::missing(setting.name, allowed))
        }
    }
}

/// Reads an environment variable, if its name is that of a setting.
fn read_variable(name: &OsStr, value: &OsStr, given: &[&str], options: &mut Options) -> Result<(), Usage> {
    if !has_setting_name(name) || value.is_empty() {
        return Ok(());
    }
    match settings().iter().find(|setting| name == setting.variable) {
        Some(setting) if given.contains(&setting.name) => Ok(()),
        Some(setting) => {
            set(setting, options, value).map_err(|allowed| Usage::variable(setting.variable, value, allowed))
        }
        None if containers::is_service_variable(&name.as_bytes()[PREFIX.len()..], value.as_bytes()) => Ok(()),
        None => Err(usage::unknown_variable(name)),
    }
}

/// Whether a variable of this name must be a setting.
fn has_setting_name(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    let is_of_companion = COMPANIONS
        .iter()
        .any(|companion| name.starts_with(format!("{PREFIX}{}_", companion.to_ascii_uppercase()).as_bytes()));
    let is_of_others =
        is_of_companion || name.starts_with(TEST_PREFIX.as_bytes()) || name == BOARD_VARIABLE.as_bytes();
    name.starts_with(PREFIX.as_bytes()) && !is_of_others
}

/// Sets one option. The error says what the option allows.
fn set(setting: &Setting, options: &mut Options, value: &OsStr) -> Result<(), String> {
    let text = value.to_str().ok_or("takes text in UTF-8")?;
    (setting.set)(options, text)
}

#[cfg(test)]
mod tests;
