//! The limit of one who waits for the disk: a loop that writes messages and syncs them, and does nothing else.

use crate::server::data_directory;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// The length of the file, which is there before, as a segment of the journal is.
const FILE_BYTES: u64 = 8 << 20;

/// A record of the journal with a text of 64 bytes.
const RECORD_BYTES: usize = 112;

/// How often a second it can be done with so many messages at a time.
pub fn syncs_per_second(messages: usize, duration: Duration) -> f64 {
    let records = vec![b'x'; messages * RECORD_BYTES];
    let bytes = records.len() as u64;
    let directory = data_directory();
    let path = directory.path().join("bare");
    std::fs::write(&path, vec![0; FILE_BYTES as usize]).expect("a file can be made");
    let file = OpenOptions::new().write(true).open(&path).expect("it was just made");
    file.sync_all().expect("a file can be synced");
    let (start, mut syncs) = (Instant::now(), 0);
    while start.elapsed() < duration {
        let offset = syncs * bytes % (FILE_BYTES - bytes);
        file.write_all_at(&records, offset).expect("it has its length");
        file.sync_data().expect("a file can be synced");
        syncs += 1;
    }
    syncs as f64 / start.elapsed().as_secs_f64()
}
