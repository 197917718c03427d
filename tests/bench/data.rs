//! Directories for the files of servers.

use std::path::{Path, PathBuf};

/// A directory for a server's files, on the disk of the target directory; it is removed when this is dropped.
pub struct DataDirectory(PathBuf);

impl DataDirectory {
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for DataDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An empty directory.
pub fn data_directory() -> DataDirectory {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).expect("the directory can be created");
    DataDirectory(path)
}
