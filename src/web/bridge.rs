//! The counters of `firstline-bridge`, which it writes to a file. A file that is not replaced for
//! [`BRIDGE_SILENCE_MS_MAX`] belongs to a bridge that has ended.

use crate::limits::{BRIDGE_BYTES_MAX, BRIDGE_SILENCE_MS_MAX};
use firstline::client::shown::described;
use firstline::process_io::regular_file::open_regular;
use serde::{Deserialize, Serialize};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

const SILENCE_MAX: Duration = Duration::from_millis(BRIDGE_SILENCE_MS_MAX);

/// The counters. A newer bridge may have more.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Counters {
    /// Whether the broker takes messages now.
    pub connected: bool,
    /// Connections that the broker accepted.
    pub connections: u64,
    /// Urgent messages that the broker acknowledged.
    pub acknowledged_urgent: u64,
    /// Other messages that the broker acknowledged.
    pub acknowledged_rest: u64,
    /// Messages that the journal overwrote before they were sent.
    pub lost_overwritten: u64,
    /// Messages that the journal does not have, such as damaged ones.
    pub lost_missing: u64,
    /// Messages that were too old.
    pub lost_expired: u64,
    /// Messages that were too large for the broker.
    pub lost_too_large: u64,
    /// Messages that the broker refused.
    pub lost_refused: u64,
    /// Messages in memory that the broker has not acknowledged.
    pub waiting_in_memory: u64,
    /// How long until the journal overwrites a message that is not sent, or `None` if that is not known or nothing
    /// waits.
    pub headroom_seconds: Option<u64>,
    /// Commands that the hub acknowledged.
    pub commands_done: u64,
    /// Commands that the hub refused, or that are not a valid line.
    pub commands_refused: u64,
}

/// The file, and when it last changed.
#[derive(Debug)]
pub struct CounterFile {
    path: PathBuf,
    /// The version of the file at the last reading, and when that version was first read, or `None` if it was old then.
    last: Option<(Version, Option<Instant>)>,
}

/// The properties that change when the bridge replaces the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    inode: u64,
    modified: SystemTime,
}

impl CounterFile {
    /// That file. It need not exist yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, last: None }
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The counters now.
    ///
    /// # Errors
    /// Why there are none, for viewers. The text does not contain the path.
    pub fn read(&mut self, now: Instant) -> Result<Counters, String> {
        let (text, version) = self.text()?;
        let counters = serde_json::from_slice(&text)
            .map_err(|_| "its file has no counters of firstline-bridge".to_string())?;
        if self.is_old(version, now) {
            return Err("it no longer writes its counters".to_string());
        }
        Ok(counters)
    }

    /// The content of the file.
    fn text(&self) -> Result<(Vec<u8>, Version), String> {
        let failed = |error: std::io::Error| format!("its counters cannot be read: {}", described(&error));
        let file = open_regular(&self.path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let mut text = Vec::new();
        file.take(BRIDGE_BYTES_MAX).read_to_end(&mut text).map_err(failed)?;
        Ok((text, Version { inode: metadata.ino(), modified: metadata.modified().map_err(failed)? }))
    }

    /// Whether the file has not changed for too long. Only the first reading compares the file's time with the wall
    /// clock; later readings do not depend on that clock, because boards set it after the start.
    fn is_old(&mut self, version: Version, now: Instant) -> bool {
        let since = match self.last {
            Some((last, since)) if last == version => since,
            Some(_) => Some(now),
            None => {
                let age = version.modified.elapsed().unwrap_or_else(|ahead| ahead.duration());
                (age <= SILENCE_MAX).then_some(now)
            }
        };
        self.last = Some((version, since));
        since.is_none_or(|since| now.duration_since(since) > SILENCE_MAX)
    }
}

impl Counters {
    /// The lost messages by reason.
    pub fn lost(&self) -> [(&'static str, u64); 5] {
        [
            ("overwritten", self.lost_overwritten),
            ("missing", self.lost_missing),
            ("expired", self.lost_expired),
            ("too-large", self.lost_too_large),
            ("refused", self.lost_refused),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    const TEXT: &str = r#"{"connected":true,"connections":2,"acknowledged_urgent":3,"acknowledged_rest":4,
        "lost_overwritten":5,"lost_missing":0,"lost_expired":0,"lost_too_large":0,"lost_refused":0,
        "waiting_in_memory":6,"next_urgent":7,"next_rest":8,"headroom_seconds":null,"commands_done":9,
        "commands_refused":0,"new":[1]}"#;

    /// A directory that is removed when this is dropped.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("firstline-web-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn write(path: &PathBuf, text: &str) {
        let new = path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(&new, path).unwrap();
    }

    #[test]
    fn counters_are_shown_while_the_file_changes() {
        let directory = Directory::new("bridge-changes");
        let path = directory.0.join("counters.json");
        let (mut file, start) = (CounterFile::new(path.clone()), Instant::now());
        assert!(file.read(start).unwrap_err().contains("cannot be read"));
        write(&path, TEXT);
        let counters = file.read(start).unwrap();
        assert_eq!((counters.acknowledged_urgent, counters.headroom_seconds), (3, None));
        assert_eq!(counters.lost()[0], ("overwritten", 5));
        let late = start + 2 * SILENCE_MAX;
        assert!(file.read(late).unwrap_err().contains("no longer"));
        write(&path, TEXT);
        assert!(file.read(late).is_ok() && file.read(late + SILENCE_MAX).is_ok());
        assert!(file.read(late + 2 * SILENCE_MAX).is_err());
    }

    #[test]
    fn old_file_is_not_shown_after_the_start() {
        let directory = Directory::new("bridge-old");
        let path = directory.0.join("counters.json");
        write(&path, TEXT);
        let file = File::options().write(true).open(&path).unwrap();
        for modified in [SystemTime::UNIX_EPOCH, SystemTime::now() + 10 * SILENCE_MAX] {
            file.set_modified(modified).unwrap();
            let (mut file, now) = (CounterFile::new(path.clone()), Instant::now());
            assert!(file.read(now).is_err() && file.read(now).is_err(), "{modified:?}");
        }
    }

    #[test]
    fn other_files_are_refused_within_the_bound() {
        let directory = Directory::new("bridge-other");
        let path = directory.0.join("counters.json");
        let mut file = CounterFile::new(path.clone());
        let long = format!("{{\"x\":\"{}\",{}", "x".repeat(BRIDGE_BYTES_MAX as usize), &TEXT[1..]);
        for text in [&long, "", "{}", "[1", "\0\u{ff}", &TEXT.replace("3,", "-3,"), &"[".repeat(100_000)] {
            write(&path, text);
            assert!(file.read(Instant::now()).unwrap_err().contains("has no counters"), "{text:.40}");
        }
        let pipe = directory.0.join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in ["/dev/zero".into(), "/proc/self".into(), pipe] {
            let error = CounterFile::new(path).read(Instant::now()).unwrap_err();
            assert!(error.ends_with("it is not a regular file"), "{error}");
        }
    }
}
