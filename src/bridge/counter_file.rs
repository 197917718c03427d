//! The file of the counters: where it is, and how it is replaced.

use super::cursor_file::with_suffix;
use super::limits::COUNT_UNCHANGED_MS;
use std::env;
use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Everybody may read the counters, such as `firstline-web`, which runs as another user. They have no names and texts.
const MODE: u32 = 0o644;

/// The file of the counters. systemd makes a directory in memory for it, so that the counters wear no card; without
/// systemd, it is beside the file of the cursors.
pub fn path(cursors: &Path) -> PathBuf {
    // systemd separates several directories by colons.
    let of_service = env::var("RUNTIME_DIRECTORY")
        .ok()
        .and_then(|list| list.rsplit(':').next().map(|last| Path::new(last).join("counters.json")));
    of_service.unwrap_or_else(|| with_suffix(cursors, ".json"))
}

/// The file, and what is in it.
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

    /// Replaces the file, unless it has had the same text for less than [`COUNT_UNCHANGED_MS`]. A power cut may lose
    /// it; a reader never sees a part.
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
