//! The table of all settings: their names, their values, and what they do.

use super::addresses::{self, Allow};
use super::server::Options;
use super::values;
use crate::counted::Size;
use crate::journal::policy::Sync;
use crate::limits;
use crate::protocol::Priority;

/// An option that the command line or the environment can set.
pub(super) struct Setting {
    /// Its name without the dashes.
    pub name: &'static str,
    /// Its environment variable: `FIRSTLINE_` and the name in capitals. `--log-level` is the exception: its variable is
    /// `FIRSTLINE_LOG`.
    pub variable: &'static str,
    /// The name of its value in `--help`. `None`: it is a switch, which its name alone turns on.
    pub value_name: Option<&'static str>,
    /// What it does, for `--help`.
    pub help: &'static str,
    /// Its default value, in the form that `set` parses.
    pub default: fn() -> String,
    /// Parses a value and sets the option. The error says what the option allows. No option allows an empty value.
    pub set: fn(&mut Options, &str) -> Result<(), String>,
}

/// An option that has no effect with some values of other options.
pub(super) struct Dependency {
    /// Its name without the dashes.
    pub name: &'static str,
    /// Whether the option has an effect.
    pub has_effect: fn(&Options) -> bool,
    /// The end of the error message, after "does nothing": when the option has no effect, and what to do.
    pub otherwise: &'static str,
}

/// All settings, in the order of `--help`. `black_box` hides their number from the compiler. Otherwise it would unroll
/// each search for a name, and take minutes to compile the comparisons.
pub(super) fn settings() -> &'static [Setting] {
    core::hint::black_box(&SETTINGS)
}

/// See [`settings`].
static SETTINGS: [Setting; 26] = [
    Setting {
        name: "listen",
        variable: "FIRSTLINE_LISTEN",
        value_name: Some("ADDR"),
        help: "address, port or both; may be repeated",
        default: || limits::PORT_DEFAULT.to_string(),
        set: |options, text| addresses::parse_listen(text, &mut options.listen),
    },
    Setting {
        name: "allow",
        variable: "FIRSTLINE_ALLOW",
        value_name: Some("CIDR"),
        help: "networks to let in, or any; may be repeated",
        default: || "local".to_string(),
        set: |options, text| addresses::parse_allow(text, &mut options.allow),
    },
    Setting {
        name: "auth-file",
        variable: "FIRSTLINE_AUTH_FILE",
        value_name: Some("FILE"),
        help: "ask clients for a token; FILE has names and tokens",
        default: || "off".to_string(),
        set: |options, text| values::file_or_off(text).map(|path| options.auth_file = path),
    },
    Setting {
        name: "workers",
        variable: "FIRSTLINE_WORKERS",
        value_name: Some("N"),
        help: "threads that serve clients",
        default: || limits::WORKERS.to_string(),
        set: |options, text| values::count(text, 1..=limits::CLIENTS).map(|count| options.workers = count),
    },
    Setting {
        name: "print",
        variable: "FIRSTLINE_PRINT",
        value_name: None,
        help: "write every message to standard output",
        default: || "off".to_string(),
        set: |options, text| values::switch(text).map(|on| options.print = on),
    },
    Setting {
        name: "journal",
        variable: "FIRSTLINE_JOURNAL",
        value_name: Some("DIR"),
        help: "keep every message in DIR before its ACK",
        default: || "off".to_string(),
        set: |options, text| values::directory_or_off(text).map(|path| options.journal = path),
    },
    Setting {
        name: "journal-size",
        variable: "FIRSTLINE_JOURNAL_SIZE",
        value_name: Some("BYTES"),
        help: "what the journal takes on the disk",
        default: || Size(limits::JOURNAL_BYTES_DEFAULT).to_string(),
        set: |options, text| {
            values::bytes(text, limits::JOURNAL_BYTES_MIN..=limits::JOURNAL_BYTES_MAX)
                .map(|bytes| options.journal_size = bytes)
        },
    },
    Setting {
        name: "sync",
        variable: "FIRSTLINE_SYNC",
        value_name: Some("WHICH"),
        help: "sync before ACK: all, none, or priority N to 9",
        default: || "all".to_string(),
        set: |options, text| values::sync(text).map(|sync| options.sync = sync),
    },
    Setting {
        name: "sync-interval",
        variable: "FIRSTLINE_SYNC_INTERVAL",
        value_name: Some("S"),
        help: "sync the others within S seconds; never off",
        default: || values::show_seconds(limits::SYNC_INTERVAL_MS_DEFAULT),
        set: |options, text| {
            values::seconds(text, limits::SYNC_INTERVAL_MS_MIN..=limits::SYNC_INTERVAL_MS_MAX)
                .map(|time| options.sync_interval = time)
        },
    },
    Setting {
        name: "aging",
        variable: "FIRSTLINE_AGING",
        value_name: Some("MS"),
        help: "each MS ms of waiting count as one priority higher",
        default: || "off".to_string(),
        set: |options, text| {
            values::milliseconds_or_off(text, 1..=limits::AGING_MS_MAX).map(|step| options.aging = step)
        },
    },
    Setting {
        name: "handle",
        variable: "FIRSTLINE_HANDLE",
        value_name: Some("MIN"),
        help: "clients that /handle process priority MIN to 9",
        default: || "off".to_string(),
        set: |options, text| values::priority_or_off(text).map(|min| options.handle = min),
    },
    Setting {
        name: "handle-wait",
        variable: "FIRSTLINE_HANDLE_WAIT",
        value_name: Some("S"),
        help: "refuse what no handler takes in S seconds; never off",
        default: || values::show_seconds(limits::HANDLE_WAIT_MS_DEFAULT),
        set: |options, text| {
            values::seconds(text, limits::TIMEOUT_MS_MIN..=limits::HANDLE_WAIT_MS_MAX)
                .map(|time| options.handle_wait = time)
        },
    },
    Setting {
        name: "handle-limit",
        variable: "FIRSTLINE_HANDLE_LIMIT",
        value_name: Some("S"),
        help: "a handler has S seconds at most; never off",
        default: || values::show_seconds(limits::HANDLE_LIMIT_MS_DEFAULT),
        set: |options, text| {
            values::seconds(text, limits::TIMEOUT_MS_MIN..=limits::HANDLE_LIMIT_MS_MAX)
                .map(|time| options.handle_limit = time)
        },
    },
    Setting {
        name: "attempts",
        variable: "FIRSTLINE_ATTEMPTS",
        value_name: Some("N"),
        help: "handlers that may lose a message; 1: no second one",
        default: || "1".to_string(),
        set: |options, text| {
            values::count(text, 1..=limits::ATTEMPTS_MAX).map(|count| options.attempts = count as u8)
        },
    },
    Setting {
        name: "realtime",
        variable: "FIRSTLINE_REALTIME",
        value_name: Some("PRIO"),
        help: "process under SCHED_FIFO, with memory locked",
        default: || "off".to_string(),
        set: |options, text| {
            values::count_or_off(text, 1..=limits::REALTIME_PRIORITY_MAX as usize)
                .map(|priority| options.realtime = priority.map(|priority| priority as u32))
        },
    },
    Setting {
        name: "per-address",
        variable: "FIRSTLINE_PER_ADDRESS",
        value_name: Some("N"),
        help: "connections from one address",
        default: || limits::PER_ADDRESS_DEFAULT.to_string(),
        set: |options, text| {
            values::count_or_off(text, 1..=limits::CLIENTS).map(|count| options.per_address = count)
        },
    },
    Setting {
        name: "rate",
        variable: "FIRSTLINE_RATE",
        value_name: Some("N"),
        help: "lines a second per client; faster ones must wait",
        default: || "off".to_string(),
        set: |options, text| {
            values::count_or_off(text, 1..=limits::RATE_MAX).map(|count| options.rate = count)
        },
    },
    Setting {
        name: "urgent-rate",
        variable: "FIRSTLINE_URGENT_RATE",
        value_name: Some("N"),
        help: "priority 7-9 a minute per client; more become 4",
        default: || "off".to_string(),
        set: |options, text| {
            values::count_or_off(text, 1..=limits::URGENT_RATE_MAX).map(|count| options.urgent_rate = count)
        },
    },
    Setting {
        name: "idle-grace",
        variable: "FIRSTLINE_IDLE_GRACE",
        value_name: Some("S"),
        help: "if full, evict a client idle for S seconds",
        default: || values::show_seconds(limits::IDLE_GRACE_MS_DEFAULT),
        set: |options, text| {
            values::seconds_or_off(text, limits::TIMEOUT_MS_MIN..=limits::IDLE_GRACE_MS_MAX)
                .map(|time| options.idle_grace = time)
        },
    },
    Setting {
        name: "line-timeout",
        variable: "FIRSTLINE_LINE_TIMEOUT",
        value_name: Some("S"),
        help: "close clients that take S seconds for a line",
        default: || values::show_seconds(limits::LINE_TIMEOUT_MS_DEFAULT),
        set: |options, text| {
            values::seconds_or_off(text, limits::TIMEOUT_MS_MIN..=limits::LINE_TIMEOUT_MS_MAX)
                .map(|time| options.line_timeout = time)
        },
    },
    Setting {
        name: "idle-timeout",
        variable: "FIRSTLINE_IDLE_TIMEOUT",
        value_name: Some("S"),
        help: "close clients that send nothing for S seconds",
        default: || values::show_seconds(limits::IDLE_TIMEOUT_MS_DEFAULT),
        set: |options, text| {
            values::seconds_or_off(text, limits::TIMEOUT_MS_MIN..=limits::IDLE_TIMEOUT_MS_MAX)
                .map(|time| options.idle_timeout = time)
        },
    },
    Setting {
        name: "write-timeout",
        variable: "FIRSTLINE_WRITE_TIMEOUT",
        value_name: Some("S"),
        help: "close clients that read nothing for S seconds",
        default: || values::show_seconds(limits::WRITE_TIMEOUT_MS_DEFAULT),
        set: |options, text| {
            values::seconds_or_off(text, limits::TIMEOUT_MS_MIN..=limits::WRITE_TIMEOUT_MS_MAX)
                .map(|time| options.write_timeout = time)
        },
    },
    Setting {
        name: "drain-timeout",
        variable: "FIRSTLINE_DRAIN_TIMEOUT",
        value_name: Some("S"),
        help: "seconds to answer what is left at the end; never off",
        default: || values::show_seconds(limits::DRAIN_TIMEOUT_MS_DEFAULT),
        set: |options, text| {
            values::seconds(text, limits::TIMEOUT_MS_MIN..=limits::DRAIN_TIMEOUT_MS_MAX)
                .map(|time| options.drain_timeout = time)
        },
    },
    Setting {
        name: "log-level",
        variable: "FIRSTLINE_LOG",
        value_name: Some("FILTER"),
        help: "e.g. debug; hub::dispatch=trace shows messages",
        default: || Options::default().log_level,
        set: |options, text| values::log_level(text).map(|filter| options.log_level = filter),
    },
    Setting {
        name: "log-file",
        variable: "FIRSTLINE_LOG_FILE",
        value_name: Some("PATH"),
        help: "where to log; - is standard error",
        default: || "-".to_string(),
        set: |options, text| values::log_file(text).map(|path| options.log_file = path),
    },
    Setting {
        name: "log-size",
        variable: "FIRSTLINE_LOG_SIZE",
        value_name: Some("BYTES"),
        help: "the log file and the old one together, such as 1M",
        default: || Size(limits::LOG_FILE_BYTES_DEFAULT).to_string(),
        set: |options, text| {
            values::bytes(text, limits::LOG_FILE_BYTES_MIN..=limits::LOG_FILE_BYTES_MAX)
                .map(|bytes| options.log_size = bytes)
        },
    },
];

const WITHOUT_HANDLE: &str = "without --handle MIN; give that too";
const WITHOUT_JOURNAL: &str = "without --journal DIR; give that too";

/// All options that have no effect with some values of other options.
pub(super) static DEPENDENCIES: [Dependency; 12] = [
    Dependency {
        name: "journal-size",
        has_effect: |options| options.journal.is_some(),
        otherwise: WITHOUT_JOURNAL,
    },
    Dependency { name: "sync", has_effect: |options| options.journal.is_some(), otherwise: WITHOUT_JOURNAL },
    Dependency {
        name: "sync-interval",
        has_effect: |options| options.journal.is_some(),
        otherwise: WITHOUT_JOURNAL,
    },
    Dependency {
        name: "sync-interval",
        has_effect: |options| matches!(options.sync, Sync::From(least) if least > Priority::MIN),
        otherwise: "unless --sync is a priority from 1 to 9, which lets less urgent messages wait for it; give \
                    --sync 7, for example",
    },
    Dependency {
        name: "handle-wait",
        has_effect: |options| options.handle.is_some(),
        otherwise: WITHOUT_HANDLE,
    },
    Dependency {
        name: "handle-limit",
        has_effect: |options| options.handle.is_some(),
        otherwise: WITHOUT_HANDLE,
    },
    Dependency {
        name: "attempts",
        has_effect: |options| options.handle.is_some(),
        otherwise: WITHOUT_HANDLE,
    },
    Dependency {
        name: "log-size",
        has_effect: |options| options.log_file.is_some(),
        otherwise: "without --log-file PATH; give that too",
    },
    Dependency {
        name: "log-file",
        has_effect: |options| !options.log_level.eq_ignore_ascii_case("off"),
        otherwise: "with --log-level off; leave one of them out",
    },
    Dependency {
        name: "allow",
        has_effect: |options| options.allow.len() == 1 || !options.allow.contains(&Allow::Any),
        otherwise: "beside any, which allows all; leave one of them out",
    },
    Dependency {
        name: "idle-grace",
        has_effect: |options| match (options.idle_grace, options.idle_timeout) {
            (Some(grace), Some(timeout)) => grace < timeout,
            _ => true,
        },
        otherwise: "unless it is shorter than --idle-timeout; give less, or --idle-timeout off",
    },
    Dependency {
        name: "urgent-rate",
        has_effect: |options| match (options.urgent_rate, options.rate) {
            (Some(a_minute), Some(a_second)) => a_minute < 60 * a_second,
            _ => true,
        },
        otherwise: "unless it is less than --rate lets through, 60 times that a minute; give less",
    },
];

/// Names of options in other programs, without the dashes, and the names of the same options here.
pub(super) const NAMES_ELSEWHERE: [(&str, &str); 7] = [
    ("port", "listen"),
    ("p", "listen"),
    ("bind", "listen"),
    ("address", "listen"),
    ("host", "listen"),
    ("verbose", "log-level"),
    ("v", "log-level"),
];
