//! Which messages the reader passes on from a journal that is being written.

use super::*;
use crate::bridge::item::Content;
use crate::bridge::limits::INCOMPLETE_MS;
use crate::journal::headers::FIRST_OFFSET;
use crate::journal::segment::{Header, Origin, SegmentKey};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

const KEY: SegmentKey = SegmentKey { tag: 3, salt: 4 };
const SEGMENT_BYTES: u32 = 128 * 1024;

/// A journal of one segment.
struct Journal {
    directory: PathBuf,
    file: File,
    end: u64,
}

impl Journal {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("firstline-reader-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join(NAMES[0]);
        let file = OpenOptions::new().write(true).create_new(true).open(path).unwrap();
        file.set_len(SEGMENT_BYTES.into()).unwrap();
        let origin = Origin { identity: Identity(8), is_unsynced: false, oldest: 1, attempt: 0 };
        let header = Header {
            segment_bytes: SEGMENT_BYTES,
            sequence: 1,
            key: KEY,
            previous_end: FIRST_OFFSET,
            first_id: 1,
            origin: Some(origin),
        };
        file.write_all_at(&header.to_page(), 0).unwrap();
        Self { directory, file, end: FIRST_OFFSET.into() }
    }

    /// The record of that message, and an offset that is reserved for it.
    fn reserve(&mut self, id: u64) -> (Vec<u8>, u64) {
        let mut bytes = vec![0; 1_000];
        let record = Record { id, time_ms: 1, priority: Priority::NORMAL, from: b"a", text: &[b'x'; 200] };
        let length = record.write(&KEY, &mut bytes).unwrap();
        bytes.truncate(length);
        let at = self.end;
        self.end += length as u64;
        (bytes, at)
    }

    fn write(&mut self, id: u64) {
        let (bytes, at) = self.reserve(id);
        self.file.write_all_at(&bytes, at).unwrap();
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Takes all ready items, as IDs; a loss has the ID 0.
fn ready(stream: &mut Stream) -> Vec<u64> {
    let id = |item: Item| if matches!(item.content, Content::Loss(_)) { 0 } else { item.first };
    std::iter::from_fn(|| stream.pop_ready()).map(id).collect()
}

fn reader_and_streams(journal: &Journal) -> (Reader, PerClass<Stream>) {
    let selection = Selection { urgent_from: Priority::HIGH, max_age_ms: None };
    let reader = Reader::open(&journal.directory, selection).unwrap();
    (reader, PerClass::new(|class| Stream::new(class, 1, 20)))
}

#[test]
fn record_that_is_being_written_is_waited_for() {
    let mut journal = Journal::new("written");
    journal.write(1);
    let (bytes, at) = journal.reserve(2);
    // A part of the record, as a reader sees it while the system copies the rest.
    journal.file.write_all_at(&bytes[..100], at).unwrap();
    let ((mut reader, mut streams), start) = (reader_and_streams(&journal), Instant::now());
    let held = Duration::from_millis(INCOMPLETE_MS);
    for now in [start, start, start + held / 2] {
        reader.look(&mut streams, 0, now).unwrap();
    }
    assert_eq!(ready(&mut streams[Class::Rest]), [1]);
    journal.file.write_all_at(&bytes, at).unwrap();
    journal.write(3);
    reader.look(&mut streams, 0, start + held).unwrap();
    assert_eq!(ready(&mut streams[Class::Rest]), [2, 3]);
}

#[test]
fn record_that_never_becomes_whole_is_a_loss() {
    let mut journal = Journal::new("damaged");
    journal.write(1);
    let (bytes, at) = journal.reserve(2);
    journal.file.write_all_at(&bytes[..100], at).unwrap();
    journal.write(3);
    let ((mut reader, mut streams), start) = (reader_and_streams(&journal), Instant::now());
    reader.look(&mut streams, 0, start).unwrap();
    reader.look(&mut streams, 0, start + Duration::from_millis(INCOMPLETE_MS)).unwrap();
    let of_both = [Class::Urgent, Class::Rest].map(|class| ready(&mut streams[class]));
    assert_eq!(of_both, [vec![0], vec![1, 3]], "one class tells the loss");
}
