//! The file of the counters: where it is, and how it is replaced.

use super::cursor_file::with_suffix;
use std::env;
use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

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

/// Replaces the file. A power cut may lose it; a reader never sees a part.
///
/// # Errors
/// The system's.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let new = with_suffix(path, ".new");
    let mut file = File::create(&new)?;
    file.set_permissions(Permissions::from_mode(MODE))?;
    file.write_all(text.as_bytes())?;
    fs::rename(&new, path)
}
