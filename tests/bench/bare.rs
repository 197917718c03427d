//! The limit of one who waits for the disk: a loop that writes messages and syncs them, and does nothing else.

use crate::server::data_directory;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// The length of the file, which is there before, as a segment of the journal is.
const FILE_BYTES: u64 = 8 << 20;

/// A record of the journal with a text of 64 bytes.
const RECORD_BYTES: usize = 112;

/// As many messages as are written at once.
const MESSAGES_MAX: usize = 4096;

/// A file that records of messages are written to, one after the other, and over the first again once it is full.
pub struct Log {
    file: File,
    offset: u64,
    /// What is written with the next sync.
    messages: usize,
    records: Vec<u8>,
}

impl Log {
    pub fn new(directory: &Path) -> Self {
        let path = directory.join("bare");
        std::fs::write(&path, vec![0; FILE_BYTES as usize]).expect("a file can be made");
        let file = OpenOptions::new().write(true).open(&path).expect("it was just made");
        file.sync_all().expect("a file can be synced");
        Self { file, offset: 0, messages: 0, records: vec![b'x'; MESSAGES_MAX * RECORD_BYTES] }
    }

    pub fn append(&mut self, messages: usize) {
        self.messages = MESSAGES_MAX.min(self.messages + messages);
    }

    /// Has on the disk what was appended.
    pub fn sync(&mut self) {
        let records = &self.records[..std::mem::take(&mut self.messages) * RECORD_BYTES];
        if records.is_empty() {
            return;
        }
        if self.offset + records.len() as u64 > FILE_BYTES {
            self.offset = 0;
        }
        self.file.write_all_at(records, self.offset).expect("it has its length");
        self.offset += records.len() as u64;
        self.file.sync_data().expect("a file can be synced");
    }
}

/// How often a second it can be done with so many messages at a time.
pub fn syncs_per_second(messages: usize, duration: Duration) -> f64 {
    let directory = data_directory();
    let mut log = Log::new(directory.path());
    let (start, mut syncs) = (Instant::now(), 0);
    while start.elapsed() < duration {
        log.append(messages);
        log.sync();
        syncs += 1;
    }
    f64::from(syncs) / start.elapsed().as_secs_f64()
}
