//! The limit of one who waits for the disk: a loop that writes a message and syncs it, and does nothing else.

use crate::server::data_directory;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// The length of the file, which is there before, as a segment of the journal is.
const FILE_BYTES: u64 = 8 << 20;

/// A record of the journal with a text of 64 bytes.
const RECORD_BYTES: u64 = 112;

/// How often a second it can be done.
pub fn syncs_per_second(duration: Duration) -> f64 {
    let directory = data_directory();
    let path = directory.path().join("bare");
    std::fs::write(&path, vec![0; FILE_BYTES as usize]).expect("a file can be made");
    let file = OpenOptions::new().write(true).open(&path).expect("it was just made");
    file.sync_all().expect("a file can be synced");
    let (start, mut syncs) = (Instant::now(), 0);
    while start.elapsed() < duration {
        let offset = syncs * RECORD_BYTES % (FILE_BYTES - RECORD_BYTES);
        file.write_all_at(&[b'x'; RECORD_BYTES as usize], offset).expect("it has its length");
        file.sync_data().expect("a file can be synced");
        syncs += 1;
    }
    syncs as f64 / start.elapsed().as_secs_f64()
}
