//! Notices by inotify when the server writes to the journal, so that a new message does not wait for the next poll. If
//! the system refuses that, the bridge only polls. Knows no journal.

use super::limits::LOOK_PAUSE_MS;
use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// How many bytes of events are read at a time. Their content does not matter.
const EVENT_BYTES: usize = 4096;

/// How many reads are done before other work continues.
const READS_MAX: usize = 16;

/// A watched directory.
#[derive(Debug)]
pub struct Changes {
    events: Option<OwnedFd>,
    /// When the journal was last read.
    looked: Instant,
}

impl Changes {
    /// Watches nothing yet.
    pub fn new(now: Instant) -> Self {
        Self { events: init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok(), looked: now }
    }

    /// Watches the directory that has this path now. If another directory was watched before, watches both.
    pub fn watch(&self, directory: &Path) {
        if let Some(events) = &self.events {
            // If this fails, polling finds new messages.
            let _ = add_watch(events, directory, WatchFlags::MODIFY);
        }
    }

    /// Records that the journal was read at `now`.
    pub fn looked(&mut self, now: Instant) {
        self.looked = now;
    }

    /// From when on a change makes the bridge read the journal. The pause bounds the reads if the server writes all the
    /// time.
    pub fn from(&self) -> Instant {
        self.looked + Duration::from_millis(LOOK_PAUSE_MS)
    }

    /// The descriptor to wait for.
    pub fn interest(&self) -> Option<BorrowedFd<'_>> {
        self.events.as_ref().map(|events| events.as_fd())
    }

    /// Discards the pending events. Returns true if there were any: something was written.
    pub fn take(&self) -> bool {
        let Some(events) = &self.events else { return false };
        let mut bytes = [0; EVENT_BYTES];
        let read = (0..READS_MAX)
            .take_while(|_| rustix::io::read(events, &mut bytes[..]).is_ok_and(|count| count > 0));
        read.count() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn write_in_the_directory_is_told_once() {
        let directory = std::env::temp_dir().join(format!("firstline-changes-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("a"), "1").unwrap();
        let changes = Changes::new(Instant::now());
        changes.watch(&directory);
        changes.watch(&directory);
        assert!(!changes.take());
        for _ in 0..3 {
            fs::write(directory.join("a"), "2").unwrap();
        }
        assert!(changes.take() && !changes.take());
        assert!(fs::read(directory.join("a")).is_ok() && !changes.take(), "a reader changes nothing");
        fs::remove_dir_all(&directory).unwrap();
        changes.watch(&directory);
    }
}
