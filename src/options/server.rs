//! The options of the server.

use super::addresses::{Allow, Listen};
use crate::journal::policy::Sync;
use crate::limits;
use crate::protocol::Priority;
use std::path::PathBuf;
use std::time::Duration;

/// The options of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where to listen: at most [`limits::LISTENERS_MAX`] addresses. Empty means [`Listen::Everywhere`] on
    /// [`limits::PORT_DEFAULT`].
    pub listen: Vec<Listen>,
    /// Which clients may connect, at most [`limits::ALLOWED_MAX`] entries. Empty means [`Allow::Local`].
    pub allow: Vec<Allow>,
    /// The file with the tokens. `None`: clients need no token.
    pub auth_file: Option<PathBuf>,
    /// The number of worker threads, 1 to [`limits::CLIENTS`].
    pub workers: usize,
    /// Whether the server writes every message to standard output.
    pub print: bool,
    /// The waiting time that counts as one step of priority. `None`: waiting does not raise the priority.
    pub aging: Option<Duration>,
    /// Handlers process the messages of this priority and above. `None`: the server itself processes all.
    pub handle: Option<Priority>,
    /// How long a message waits for a handler.
    pub handle_wait: Duration,
    /// How long a handler may have a message in all.
    pub handle_limit: Duration,
    /// How many handlers may lose a message before its sender is told.
    pub attempts: u8,
    /// The directory of the journal. `None`: there is no journal.
    pub journal: Option<PathBuf>,
    /// The size of the journal, in bytes.
    pub journal_size: u64,
    /// Which messages are synced to the disk before their ACK.
    pub sync: Sync,
    /// How long the other messages may stay unsynced.
    pub sync_interval: Duration,
    /// The real-time priority of the consumer. `None`: it is a normal thread.
    pub realtime: Option<u32>,
    /// How many clients may be connected from one address. `None`: no limit.
    pub per_address: Option<usize>,
    /// How many lines per second the server reads from one client. Further lines are delayed, not refused. `None`: no
    /// limit.
    pub rate: Option<usize>,
    /// How many messages per minute of one client keep a priority of 7 and above. `None`: no limit.
    pub urgent_rate: Option<usize>,
    /// If all connections are in use, a client that has been idle for this time is evicted for a new one. `None`: no
    /// client is evicted.
    pub idle_grace: Option<Duration>,
    /// How long a client may take from the first byte of a line to its end. `None`: no limit.
    pub line_timeout: Option<Duration>,
    /// How long a client may send nothing. `None`: no limit.
    pub idle_timeout: Option<Duration>,
    /// How long a client may read nothing while output waits for it. `None`: no limit.
    pub write_timeout: Option<Duration>,
    /// How long the shutdown may take.
    pub drain_timeout: Duration,
    /// The log filter, as given: [`crate::logger`] parses it.
    pub log_level: String,
    /// The log file. `None`: standard error.
    pub log_file: Option<PathBuf>,
    /// The maximum size of the log file and the previous one together, in bytes.
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
            handle: None,
            handle_wait: Duration::from_millis(limits::HANDLE_WAIT_MS_DEFAULT),
            handle_limit: Duration::from_millis(limits::HANDLE_LIMIT_MS_DEFAULT),
            attempts: 1,
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
