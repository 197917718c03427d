//! A directory of a test's own.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many there were: no two tests have the same.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// One that is not there yet; it is removed when this is dropped.
pub struct Directory(pub PathBuf);

impl Directory {
    /// With that in its name, for who finds it.
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
