//! The counter file: its path, and its replacement.

use super::cursor_file::with_suffix;
use super::limits::COUNT_UNCHANGED_MS;
use std::env;
use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// All users may read the counters, because `firstline-web` runs as another user. They contain no names and no texts.
const MODE: u32 = 0o644;

/// The path of the counter file. systemd provides a directory in memory for it, so that the counters do not wear out
/// the card. Without systemd, it is beside the cursor file.
pub fn path(cursors: &Path) -> PathBuf {
    // If there are several directories, systemd separates them by colons.
    let of_service = env::var("RUNTIME_DIRECTORY")
        .ok()
        .and_then(|list| list.rsplit(':').next().map(|last| Path::new(last).join("counters.json")));
    of_service.unwrap_or_else(|| with_suffix(cursors, ".json"))
}

/// The file and its content.
#[derive(Debug)]
pub struct CounterFile {
    path: PathBuf,
    written: Option<(String, Instant)>,
}

impl CounterFile {
    /// The file at a path. Nothing is written yet.
    pub fn at(path: PathBuf) -> Self {
        Self { path, written: None }
    }

    /// Replaces the file, unless it got the same text less than [`COUNT_UNCHANGED_MS`] ago. A power cut may lose the
    /// file, but a reader never sees a part of it.
    ///
    /// # Errors
    /// Those of the system.
    pub fn write(&mut self, text: String, now: Instant) -> io::Result<()> {
        let unchanged = Duration::from_millis(COUNT_UNCHANGED_MS);
        if self.written.as_ref().is_some_and(|(known, at)| *known == text && now < *at + unchanged) {
            return Ok(());
        }
        let new = with_suffix(&self.path, ".new");
        let mut file = File::create(&new)?;
        file.set_permissions(Permissions::from_mode(MODE))?;
        file.write_all(text.as_bytes())?;
        fs::rename(&new, &self.path)?;
        self.written = Some((text, now));
        Ok(())
    }
}
