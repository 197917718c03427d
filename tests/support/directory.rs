//! A directory for one test.

use std::path::PathBuf;
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
