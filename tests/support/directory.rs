//! Directories of tests.

use super::eventually;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Makes the names unique within this process.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// A directory that does not exist yet; it is removed when this is dropped.
pub struct Directory(pub PathBuf);

impl Directory {
    /// `name` becomes part of the directory's name, which helps if one is left over.
    pub fn new(name: &str) -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("firstline-{}-{number}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    pub fn path(&self) -> &str {
        self.0.to_str().expect("the temporary directory has a plain name")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Removes a directory in which a running program may be making files at this moment. `remove_dir_all` alone fails if a
/// file appears between its steps, so the directory gets another name first, and the program finds nothing any more.
pub fn take_away(directory: &Path) {
    let elsewhere = directory.with_extension("taken-away");
    std::fs::rename(directory, &elsewhere).unwrap();
    eventually("it is removed", || std::fs::remove_dir_all(&elsewhere).is_ok());
}
