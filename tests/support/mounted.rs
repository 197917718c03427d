//! File systems for one test. Mounting them needs root.

use std::path::PathBuf;
use std::process::{Command, Output};

/// A directory on which something is mounted; it is unmounted and removed when this is dropped.
pub struct Mounted(pub PathBuf);

impl Mounted {
    /// The directory, with nothing mounted yet.
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("firstline-disks-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A tmpfs of `kib` KiB.
    pub fn tmpfs(name: &str, kib: usize) -> Self {
        let mounted = Self::new(name);
        run("mount", &["-t", "tmpfs", "-o", &format!("size={kib}k"), "none", mounted.path()]);
        mounted
    }

    pub fn path(&self) -> &str {
        self.0.to_str().expect("the temporary directory has a plain name")
    }

    /// Takes all free space.
    pub fn fill(&self) {
        let all = std::fs::File::create(self.0.join("fill"))
            .and_then(|mut file| std::io::copy(&mut std::io::repeat(b'x'), &mut file));
        assert_eq!(all.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    }

    pub fn free(&self) {
        std::fs::remove_file(self.0.join("fill")).unwrap();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        while Command::new("umount").args(["-l", self.path()]).output().is_ok_and(|out| out.status.success())
        {
        }
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a command that must succeed, and returns its output.
pub fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output();
    let output =
        output.unwrap_or_else(|_| panic!("{program} is missing: tests/run installs it and runs the tests"));
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}; these tests need to run as root");
    output
}
