//! The limit of a server that waits for the disk: a loop that writes messages and syncs them, and does nothing else.

use crate::data::data_directory;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// The length of the file, which is preallocated like a segment of the journal.
const FILE_BYTES: u64 = 8 << 20;

/// A record of the journal with a text of 64 bytes.
const RECORD_BYTES: usize = 112;

/// The most messages that are written at once.
const MESSAGES_MAX: usize = 4096;

/// A file to which records are written, one after the other, and from the start again when it is full.
pub struct Log {
    file: File,
    offset: u64,
    /// How many messages the next sync writes.
    messages: usize,
    records: Vec<u8>,
}

impl Log {
    pub fn new(directory: &Path) -> Self {
        let path = directory.join("bare");
        std::fs::write(&path, vec![0; FILE_BYTES as usize]).expect("the file can be created");
        let file = OpenOptions::new().write(true).open(&path).expect("the file was just made");
        file.sync_all().expect("the file can be synced");
        Self { file, offset: 0, messages: 0, records: vec![b'x'; MESSAGES_MAX * RECORD_BYTES] }
    }

    pub fn append(&mut self, messages: usize) {
        self.messages = MESSAGES_MAX.min(self.messages + messages);
    }

    /// Writes and syncs what was appended.
    pub fn sync(&mut self) {
        let records = &self.records[..std::mem::take(&mut self.messages) * RECORD_BYTES];
        if records.is_empty() {
            return;
        }
        if self.offset + records.len() as u64 > FILE_BYTES {
            self.offset = 0;
        }
        self.file.write_all_at(records, self.offset).expect("the file is preallocated");
        self.offset += records.len() as u64;
        self.file.sync_data().expect("the file can be synced");
    }
}

/// How often a second `messages` messages can be written and synced.
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
