//! Clocks that a test sets for one program, by the library libfaketime. The machine's clocks stay as they are.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Makes the names unique within this process.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// The clocks of a program. It must be linked dynamically: the library is loaded before the system's.
pub struct FakeTime {
    file: PathBuf,
    settings: &'static [(&'static str, &'static str)],
}

impl FakeTime {
    /// A wall clock that can be set; what measures durations runs as usual.
    pub fn wall_clock() -> Self {
        Self::new("+0", &[("FAKETIME_NO_CACHE", "1"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")])
    }

    /// All clocks run that many times as fast, and waits are as much shorter.
    pub fn faster(times: u32) -> Self {
        // The library looks at the file once a second: each look costs as much as several system calls.
        Self::new(&format!("+0 x{times}"), &[("FAKETIME_CACHE_DURATION", "1")])
    }

    fn new(first: &str, settings: &'static [(&'static str, &'static str)]) -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("firstline-{}-{number}-time", std::process::id());
        let time = Self { file: std::env::temp_dir().join(name), settings };
        time.set(first);
        time
    }

    /// Preloads the library into the command.
    pub fn put_before(&self, command: &mut Command) {
        // Debian's name of this machine's directory.
        let directory = format!("/usr/lib/{}-linux-gnu/faketime", std::env::consts::ARCH);
        let library = Path::new(&directory).join("libfaketimeMT.so.1");
        assert!(library.exists(), "{} is missing; run: apt-get install libfaketime", library.display());
        command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", &self.file);
        command.env("FAKETIME_DONT_RESET", "1").envs(self.settings.iter().copied());
    }

    /// Sets the clock: `+OFFSET` or `-OFFSET` from the machine's clock, in seconds unless a unit follows, and ` xTIMES`
    /// for how fast it runs.
    pub fn set(&self, offset: &str) {
        let next = self.file.with_extension("next");
        std::fs::write(&next, format!("{offset}\n")).unwrap();
        std::fs::rename(&next, &self.file).unwrap();
    }
}

impl Drop for FakeTime {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}
