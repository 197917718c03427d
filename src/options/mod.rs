//! Arguments and environment in, a plain [`Options`] out.
//!
//! One table says what options there are; the command line, the environment and `--help` are all
//! read from it, so that none of them can forget one. The command line wins over the environment: a variable
//! whose option was given is not looked at. An empty variable counts as not set, as in the environment files
//! of systemd. Given twice, an option has its last value; only `--listen` and `--allow`
//! add up.
//!
//! This module must not know the process: it is handed the arguments and the environment, opens nothing, and
//! prints nothing. It runs before "ready", so it may allocate.

mod containers;
mod help;
mod interface;
mod journal;
mod table;
mod usage;
mod values;

pub use help::{help, version};
pub use interface::Interface;
pub use journal::{JournalOptions, JournalTask, Printing, help as journal_help};
pub use usage::Usage;

use crate::journal::policy::Sync;
use crate::limits;
use ipnet::{IpNet, Ipv6Net};
use std::ffi::{OsStr, OsString};
use std::net::{SocketAddr, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;
use table::{DETAILS, PAGES, PageOption, Setting, settings};

/// The first argument that asks for the arguments of `firstline journal` instead of options.
const JOURNAL_WORD: &str = "journal";

/// What the names of our environment variables begin with.
const PREFIX: &str = "FIRSTLINE_";

/// The variable that chose the board when this was built. Whoever builds and runs has it set; it says nothing
/// to the server.
const BOARD_VARIABLE: &str = "FIRSTLINE_BOARD";

/// What the variables of the test harness begin with. They are not settings.
const TEST_PREFIX: &str = "FIRSTLINE_TEST_";

/// Where to listen: one `--listen`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// On all addresses: IPv6 and IPv4, or IPv4 alone on a system without IPv6. Port 0 is any free one.
    Everywhere {
        /// The TCP port.
        port: u16,
    },
    /// On this address alone. Port 0 is any free one.
    At(SocketAddr),
    /// On this address of that interface alone. Port 0 is any free one.
    On {
        /// The address, without the interface's number: only the system knows it.
        address: SocketAddrV6,
        /// The interface.
        interface: Interface,
    },
}

/// Who may connect: one `--allow`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allow {
    /// Everybody.
    Any,
    /// Who is near: addresses that are loopback, private, shared (RFC 6598), link-local or unique-local, and those of the networks of
    /// this machine's own interfaces.
    Local,
    /// Who has an address in that network.
    Network(IpNet),
    /// Who has an address in that link-local network, on that interface.
    NetworkOn {
        /// The network.
        network: Ipv6Net,
        /// The interface.
        interface: Interface,
    },
}

/// How the server is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where to listen, [`limits::LISTENERS_MAX`] at most. Empty when nothing was said: then it is
    /// [`Listen::Everywhere`] on [`limits::PORT_DEFAULT`].
    pub listen: Vec<Listen>,
    /// Who may connect, [`limits::ALLOWED_MAX`] at most. Empty when nothing was said: then it is [`Allow::Local`].
    pub allow: Vec<Allow>,
    /// The file with the tokens, or none: no token is asked for.
    pub auth_file: Option<PathBuf>,
    /// Worker threads, 1 to [`limits::CLIENTS`].
    pub workers: usize,
    /// Whether every message goes to standard output.
    pub print: bool,
    /// The wait that counts as one step of priority, or none: who waits gains nothing.
    pub aging: Option<Duration>,
    /// The directory of the journal, or none: there is none.
    pub journal: Option<PathBuf>,
    /// The bytes that the journal takes in all.
    pub journal_size: u64,
    /// Which messages are on the disk before their ACK.
    pub sync: Sync,
    /// Within which time the others are.
    pub sync_interval: Duration,
    /// The real-time priority of the consumer, or none: it is a thread like others.
    pub realtime: Option<u32>,
    /// How many clients may be connected from one address, or none: as many as there may be at all.
    pub per_address: Option<usize>,
    /// Lines a second of one client, or none: as fast as it can. It is slowed down, and nothing is refused.
    pub rate: Option<usize>,
    /// Messages a minute of one client that keep a priority of 7 and above, or none: all of them.
    pub urgent_rate: Option<usize>,
    /// How long a client says nothing before it gives way to another when all seats are taken, or none: it does not.
    pub idle_grace: Option<Duration>,
    /// How long a client may take for a line once its first byte came, or none: for ever.
    pub line_timeout: Option<Duration>,
    /// How long a client may send nothing, or none: for ever.
    pub idle_timeout: Option<Duration>,
    /// How long a client may read nothing that waits for it, or none: for ever.
    pub write_timeout: Option<Duration>,
    /// How long the end may take.
    pub drain_timeout: Duration,
    /// What to log, as it was given: [`crate::logger`] knows what it means.
    pub log_level: String,
    /// The log file, or none: standard error.
    pub log_file: Option<PathBuf>,
    /// The bytes of the log file and the old one together.
    pub log_size: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            allow: Vec::new(),
            auth_file: None,
            workers: limits::WORKERS,
            print: false,
            aging: None,
            journal: None,
            journal_size: limits::JOURNAL_BYTES_DEFAULT,
            sync: Sync::All,
            sync_interval: Duration::from_millis(limits::SYNC_INTERVAL_MS_DEFAULT),
            realtime: None,
            per_address: Some(limits::PER_ADDRESS_DEFAULT),
            rate: None,
            urgent_rate: None,
            idle_grace: Some(Duration::from_millis(limits::IDLE_GRACE_MS_DEFAULT)),
            line_timeout: Some(Duration::from_millis(limits::LINE_TIMEOUT_MS_DEFAULT)),
            idle_timeout: Some(Duration::from_millis(limits::IDLE_TIMEOUT_MS_DEFAULT)),
            write_timeout: Some(Duration::from_millis(limits::WRITE_TIMEOUT_MS_DEFAULT)),
            drain_timeout: Duration::from_millis(limits::DRAIN_TIMEOUT_MS_DEFAULT),
            log_level: "info".to_string(),
            log_file: None,
            log_size: limits::LOG_FILE_BYTES_DEFAULT,
        }
    }
}

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// To run the server.
    Serve(Box<Options>),
    /// To read a journal.
    Journal(JournalOptions),
    /// To print something and end.
    Print(Page),
}

/// What can be printed instead of running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// `--help`: [`help`].
    Help,
    /// `journal --help`: [`journal_help`].
    JournalHelp,
    /// `--version`: [`version`].
    Version,
    /// `--sizes`: the memory budget, [`crate::budget`].
    Sizes,
}

/// Reads the command line (without the program's name) and the environment.
///
/// If the first argument is [`journal`](JournalOptions), the others are its own, and the environment says nothing to it. Else the
/// first `--help`, `--version` or `--sizes` ends the reading: nothing behind it is looked at, and nothing
/// in the environment.
///
/// # Errors
/// The first thing that is wrong, in one line: an unknown option, a value that is missing or not allowed, an
/// argument that is no option, an option that does nothing beside the others, and a variable called
/// `FIRSTLINE_…` that is not known, lest a misspelt one be ignored; but for those that a container system sets for a service of that
/// name.
pub fn parse(
    args: impl Iterator<Item = OsString>,
    env: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Action, Usage> {
    let mut options = Options::default();
    let mut given = Vec::new();
    let mut args = args.peekable();
    if args.next_if(|argument| argument == JOURNAL_WORD).is_some() {
        return journal::parse(lexopt::Parser::from_args(args));
    }
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(found) = find_next(&mut parser)? {
        match found {
            Found::Page(page) => {
                no_value(page, &mut parser)?;
                return Ok(Action::Print(page.page));
            }
            Found::Setting(setting) => {
                read_option(setting, &mut parser, &mut options)?;
                given.push(setting.name);
            }
        }
    }
    for (name, value) in env {
        read_variable(&name, &value, &given, &mut options)?;
    }
    expect_all_to_work(&given, &options)?;
    Ok(Action::Serve(Box::new(options)))
}

/// Refuses an option that does nothing without another one, or beside it: who asks for `--sync all` and no journal believes that an
/// ACK means more than it does. In the environment it may stand there, so that one line of its file turns the journal off.
fn expect_all_to_work(given: &[&str], options: &Options) -> Result<(), Usage> {
    let mut idle = DETAILS.iter().filter(|detail| given.contains(&detail.name) && !(detail.works)(options));
    idle.next().map_or(Ok(()), |detail| Err(usage::detail_of_nothing(detail)))
}

/// What an argument turned out to be.
enum Found {
    Setting(&'static Setting),
    Page(&'static PageOption),
}

/// Looks the next argument up in the tables; none: there are no more.
fn find_next(parser: &mut lexopt::Parser) -> Result<Option<Found>, Usage> {
    let letter = match parser.next().map_err(usage::unexpected)? {
        None => return Ok(None),
        Some(lexopt::Arg::Long(name)) => {
            return find_long(name).map(Some).ok_or_else(|| usage::unknown_option(&format!("--{name}")));
        }
        Some(lexopt::Arg::Value(value)) => return Err(usage::positional(&value)),
        Some(lexopt::Arg::Short(letter)) => letter,
    };
    match PAGES.iter().find(|page| page.short == Some(letter)) {
        Some(page) => Ok(Some(Found::Page(page))),
        None => Err(usage::unknown_option(&usage::after_one_dash(letter, parser))),
    }
}

fn find_long(name: &str) -> Option<Found> {
    let setting = settings().iter().find(|setting| setting.name == name).map(Found::Setting);
    setting.or_else(|| PAGES.iter().find(|page| page.name == name).map(Found::Page))
}

/// Refuses `--help=VALUE` and its like.
fn no_value(page: &PageOption, parser: &mut lexopt::Parser) -> Result<(), Usage> {
    match parser.optional_value() {
        Some(value) => Err(Usage::option(page.name, &value, "takes no value")),
        None => Ok(()),
    }
}

/// Reads one option whose name was just read.
fn read_option(setting: &Setting, parser: &mut lexopt::Parser, options: &mut Options) -> Result<(), Usage> {
    let value = match setting.word {
        Some(_) => parser.value().ok(),
        None => Some(parser.optional_value().unwrap_or("on".into())),
    };
    match value {
        Some(value) => {
            set(setting, options, &value).map_err(|allowed| Usage::option(setting.name, &value, allowed))
        }
        // An empty value is never allowed, so it tells what is.
        None => {
            set(setting, options, OsStr::new("")).map_err(|allowed| usage::missing(setting.name, allowed))
        }
    }
}

/// Reads one variable of the environment, if it is one of ours.
fn read_variable(name: &OsStr, value: &OsStr, given: &[&str], options: &mut Options) -> Result<(), Usage> {
    if !is_ours(name) || value.is_empty() {
        return Ok(());
    }
    match settings().iter().find(|setting| name == setting.variable) {
        Some(setting) if given.contains(&setting.name) => Ok(()),
        Some(setting) => {
            set(setting, options, value).map_err(|allowed| Usage::variable(setting.variable, value, allowed))
        }
        None if containers::set_by_them(&name.as_bytes()[PREFIX.len()..], value.as_bytes()) => Ok(()),
        None => Err(usage::unknown_variable(name)),
    }
}

/// Whether a variable of this name should be a setting.
fn is_ours(name: &OsStr) -> bool {
    let begins_with = |prefix: &str| name.as_bytes().starts_with(prefix.as_bytes());
    begins_with(PREFIX) && !begins_with(TEST_PREFIX) && name != BOARD_VARIABLE
}

/// Sets one option; else says what it allows.
fn set(setting: &Setting, options: &mut Options, value: &OsStr) -> Result<(), String> {
    let text = value.to_str().ok_or("takes text in UTF-8")?;
    (setting.set)(options, text)
}

#[cfg(test)]
mod tests;
