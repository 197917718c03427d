//! The log: writes the records of the [`log`] crate's macros as lines to standard error or a file.
//!
//! ```text
//! log::info!() ─> filter ─> record (stack) ─> ring (static) ─> writer (thread) ─> stream or file
//! ```
//!
//! A logging thread only formats a text of fixed size and puts it into a ring of fixed size: it allocates nothing, and
//! a slow terminal or SD card never slows it. Records that do not fit are lost and counted, and the log reports the
//! loss where it happened: `12.345678 WARN  37 log records lost: the log is written too slowly`.
//!
//! A line is `12.345678 INFO  text`: it begins with the seconds since the start. In a file, which is read later, it
//! begins with the date, as `2026-11-28T16:41:31.123Z`. If the filter lets `debug` of a module through, all lines of
//! that module end in module and line: `text  (hub::workers::worker:123)`.
//!
//! - [`Filter`]: which records are logged.
//! - `record`: the format of a line, always a single line.
//! - `times`: the time at the beginning of a line.
//! - `ring`: the records that wait for the writer.
//! - `writer`: the writer's thread, its batches, and the records that it could not write.
//! - `stream`, `file`: write a whole batch to a descriptor; keep a file within its size.
//! - [`throttle`]: keeps repeated records about addresses from filling the log.
//!
//! This module does not know the server.

mod file;
mod filter;
mod record;
mod ring;
mod stream;
pub mod throttle;
mod times;
mod writer;

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;
use std::{fmt, io, thread};

use nix::errno::Errno;
use nix::sys::signal::SigSet;

use crate::limits::{LOG_DRAIN_MS_MAX, LOG_FILE_BYTES_MIN, LOGGER_STACK_BYTES};
use file::LogFile;
use record::{Origin, Record};
use ring::Ring;
use stream::Stream;
use writer::{Output, Writer};

pub use filter::{Filter, FilterError, MODULES};

/// The size of the ring, in bytes.
pub const RING_BYTES: usize = size_of::<Ring>();

static RING: Ring = Ring::new();
static LOGGER: OnceLock<Logger> = OnceLock::new();

/// The configuration of the log.
#[derive(Clone, Debug)]
pub struct Config {
    /// What to log.
    pub filter: Filter,
    /// The file to append to; none: standard error.
    pub file: Option<PathBuf>,
    /// The largest size of the file and of its predecessor together, in bytes; at least [`LOG_FILE_BYTES_MIN`].
    pub size_bytes_max: u64,
}

/// Why logging cannot start.
#[derive(Debug)]
pub enum Error {
    /// The log file cannot be opened.
    File(PathBuf, Errno),
    /// The log file would be too small.
    Size(u64),
    /// The process has no more descriptors or threads.
    System(io::Error),
    /// The log of this process is started already.
    Twice,
}

/// Opens the output, starts the writer, and logs from now on. It returns once the writer runs. It allocates before
/// that; nothing in the log allocates afterwards.
///
/// # Errors
/// See [`Error`].
pub fn init(config: Config) -> Result<(), Error> {
    crate::clock::start();
    let output = open_output(&config)?;
    let logger = Logger { filter: config.filter, ring: &RING, has_file: config.file.is_some() };
    LOGGER.set(logger).map_err(|_| Error::Twice)?;
    let logger = LOGGER.get().expect("it was just set");
    start_writer(Writer::new(logger.ring, output)).map_err(Error::System)?;
    logger.ring.wait_for_writer();
    log::set_logger(logger).map_err(|_| Error::Twice)?;
    log::set_max_level(logger.filter.max());
    Ok(())
}

/// Makes the writer close the log file and open its path again, after another process has renamed it. False: there is
/// no file, because the log goes to standard error.
pub fn reopen() -> bool {
    let has_file = LOGGER.get().is_some_and(|logger| logger.has_file);
    if has_file {
        RING.request_reopen();
    }
    has_file
}

/// Waits until every record that was logged before this call is written or counted as lost, or until the time-out has
/// passed; `true` if all are.
pub fn flush(timeout: Duration) -> bool {
    RING.flush(timeout)
}

/// How many records were lost since the start, because the ring was full or they could not be written.
pub fn lost() -> u64 {
    RING.lost()
}

fn open_output(config: &Config) -> Result<Output, Error> {
    let Some(path) = &config.file else {
        let stderr = io::stderr().as_fd().try_clone_to_owned().map_err(Error::System)?;
        return Ok(Output::Stream(Stream::new(stderr, 0)));
    };
    if config.size_bytes_max < LOG_FILE_BYTES_MIN {
        return Err(Error::Size(config.size_bytes_max));
    }
    let file = LogFile::new(path, config.size_bytes_max);
    file.map(Output::File).map_err(|errno| Error::File(path.clone(), errno))
}

fn start_writer(writer: Writer<'static>) -> io::Result<()> {
    let run = move || {
        // Other threads handle signals. This cannot fail with a full set.
        let _ = SigSet::all().thread_block();
        writer.run()
    };
    thread::Builder::new().name("log".to_string()).stack_size(LOGGER_STACK_BYTES).spawn(run)?;
    Ok(())
}

/// The callers' end of the log: a filter and a ring.
struct Logger {
    filter: Filter,
    ring: &'static Ring,
    /// Whether it writes to a file, and not to standard error.
    has_file: bool,
}

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        self.filter.enabled(metadata)
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let origin = Origin { module: filter::short_target(record.target()), line: record.line() };
        let origin = self.filter.shows_origin(record.target()).then_some(origin);
        self.ring.put(Record::new(record.level(), *record.args(), origin));
    }

    fn flush(&self) {
        self.ring.flush(Duration::from_millis(LOG_DRAIN_MS_MAX));
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, errno) => write!(
                f,
                "--log-file {}: {}; give a file in a directory that the server may write to",
                path.display(),
                errno.desc()
            ),
            Self::Size(bytes) => {
                write!(f, "a log of {bytes} bytes; it must have {LOG_FILE_BYTES_MIN} at least")
            }
            Self::System(error) => write!(f, "the log cannot be started: {error}"),
            Self::Twice => write!(f, "the log was started twice"),
        }
    }
}

impl std::error::Error for Error {}
