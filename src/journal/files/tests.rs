use super::*;
use crate::journal::file_state::Loss;
use crate::journal::headers::{FIRST_OFFSET, FIRST_PAGES, read_headers};
use crate::journal::names::NAMES;
use crate::journal::per_segment::try_per_segment;
use crate::journal::read_only::ReadOnly;
use crate::journal::record::Record;
use crate::journal::recovery::Recovery;
use crate::journal::scan::{Scan, Step};
use crate::journal::segment::HEADER_BYTES;
use crate::journal::segment_file::SegmentFile;
use crate::journal::writer::{Buffers, Writer};
use crate::limits::{JOURNAL_READ_BYTES, SEGMENT_HEADER_BYTES};
use crate::protocol::Priority;
use nix::sys::stat::Mode;

const SEGMENT_BYTES: u32 = 128 * 1024;

/// A directory for one test. It does not exist at first.
struct TestDirectory(PathBuf);

impl TestDirectory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("firstline-files-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for TestDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn record(id: u64, text: &[u8]) -> Record<'_> {
    Record { id, time_ms: 5, priority: Priority::NORMAL, from: b"test", text }
}

/// Writes messages with these IDs, each in its own commit. Returns the next ID after the recovery.
fn write(place: &TestDirectory, ids: core::ops::Range<u64>) -> u64 {
    let files = Files::open(&place.0, SEGMENT_BYTES).unwrap();
    let mut buffers = Buffers::new();
    let (mut writer, recovery) = Writer::open(files, SEGMENT_BYTES, &mut buffers).unwrap();
    for id in ids {
        writer.begin_group(true);
        writer.append(&record(id, &[b'x'; 500]));
        writer.commit(true).unwrap();
    }
    recovery.next_id
}

/// The IDs of all messages, in the order of the segments.
fn ids(place: &TestDirectory) -> Vec<u64> {
    let files = ReadOnly::open(&place.0).unwrap();
    let mut headers = read_headers(&files, files.segment_bytes()).unwrap().map(|header| header);
    let (mut ids, mut window) = (Vec::new(), [0; JOURNAL_READ_BYTES]);
    let mut order: Vec<usize> = (0..JOURNAL_SEGMENTS).filter(|segment| headers[*segment].is_some()).collect();
    order.sort_by_key(|segment| headers[*segment].unwrap().sequence);
    for segment in order {
        let key = headers[segment].take().unwrap().key;
        let mut scan = Scan::new(segment, key, FIRST_OFFSET..SEGMENT_BYTES, &mut window);
        while let Step::Record(record) = scan.next(&files).unwrap() {
            ids.push(record.id);
        }
    }
    ids
}

#[test]
fn messages_survive_a_restart_and_the_oldest_are_overwritten_first() {
    let place = TestDirectory::new("restart");
    assert_eq!(write(&place, 1..11), 1);
    assert_eq!(ids(&place), (1..11).collect::<Vec<_>>());
    assert_eq!(write(&place, 11..5_001), 11);
    let kept = ids(&place);
    assert!(kept.len() > 1_000 && kept.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{kept:?}");
    assert_eq!(kept.last(), Some(&5_000));
    let lengths = NAMES.map(|name| std::fs::metadata(place.0.join(name)).unwrap().len());
    assert_eq!(lengths, [u64::from(SEGMENT_BYTES); JOURNAL_SEGMENTS]);
    assert_eq!(std::fs::read_dir(&place.0).unwrap().count(), JOURNAL_SEGMENTS);
}

#[test]
fn second_writer_and_another_size_are_refused() {
    let place = TestDirectory::new("second");
    let files = Files::open(&place.0, SEGMENT_BYTES).unwrap();
    let second = Files::open(&place.0, SEGMENT_BYTES).err();
    assert_eq!(second, Some(Error::InUse(Some(std::process::id()))));
    drop(files);
    write(&place, 1..2);
    for other in [SEGMENT_BYTES / 2, SEGMENT_BYTES * 2] {
        let refused = Files::open(&place.0, other).err();
        assert_eq!(refused, Some(other_size(SEGMENT_BYTES, other)));
    }
}

fn other_size(is: u32, asked: u32) -> Error {
    let all = |segment_bytes: u32| u64::from(segment_bytes) * JOURNAL_SEGMENTS as u64;
    Error::OtherSize { is: all(is), asked: all(asked) }
}

#[test]
fn empty_files_take_another_size() {
    let place = TestDirectory::new("nothing");
    for bytes in [SEGMENT_BYTES, 2 * SEGMENT_BYTES, SEGMENT_BYTES / 2, SEGMENT_BYTES] {
        drop(Files::open(&place.0, bytes).unwrap());
        let lengths = NAMES.map(|name| std::fs::metadata(place.0.join(name)).unwrap().len());
        assert_eq!(lengths, [u64::from(bytes); JOURNAL_SEGMENTS]);
    }
    // A file that only lost its header is not empty.
    write(&place, 1..2);
    let file = std::fs::OpenOptions::new().write(true).open(place.0.join(NAMES[0])).unwrap();
    nix::sys::uio::pwrite(&file, &[0; SEGMENT_HEADER_BYTES], 0).unwrap();
    let refused = Files::open(&place.0, SEGMENT_BYTES / 2).err();
    assert_eq!(refused, Some(other_size(SEGMENT_BYTES, SEGMENT_BYTES / 2)));
}

#[test]
fn failed_start_removes_what_it_created_and_keeps_messages() {
    let place = TestDirectory::new("vain");
    // A directory in place of the last file.
    let in_the_way = place.0.join(NAMES[7]);
    std::fs::create_dir_all(&in_the_way).unwrap();
    assert!(Files::open(&place.0, SEGMENT_BYTES).is_err());
    assert_eq!(std::fs::read_dir(&place.0).unwrap().count(), 1);
    std::fs::remove_dir(&in_the_way).unwrap();
    write(&place, 1..11);
    let short = std::fs::OpenOptions::new().write(true).open(place.0.join(NAMES[6])).unwrap();
    short.set_len(5_000).unwrap();
    std::fs::remove_file(&in_the_way).unwrap();
    let directory = std::fs::File::open(&place.0).unwrap().into();
    let mut former = try_per_segment(|segment| SegmentFile::open(&directory, segment)).unwrap();
    former.iter_mut().enumerate().for_each(|(segment, former)| {
        former.bring_to(&directory, segment, SEGMENT_BYTES, None).unwrap();
        former.restore(&directory, segment);
    });
    assert_eq!(short.metadata().unwrap().len(), 5_000);
    assert!(!in_the_way.exists());
    assert_eq!(ids(&place), (1..11).collect::<Vec<_>>());
}

#[test]
fn missing_file_may_have_been_the_newest() {
    let place = TestDirectory::new("gone");
    write(&place, 1..400);
    std::fs::remove_file(place.0.join(NAMES[2])).unwrap();
    let files = Files::open(&place.0, SEGMENT_BYTES).unwrap();
    let mut buffers = Buffers::new();
    let (_, recovery) = Writer::open(files, SEGMENT_BYTES, &mut buffers).unwrap();
    assert!(
        recovery.segments == 2
            && recovery.next_id >= 400
            && recovery.skipped > 0
            && recovery.lost_segments == 1,
        "{recovery:?}"
    );
}

#[test]
fn what_is_not_a_regular_file_is_refused_without_blocking() {
    let place = TestDirectory::new("no-file");
    std::fs::create_dir(&place.0).unwrap();
    let path = place.0.join(NAMES[3]);
    nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
    assert_eq!(ReadOnly::open(&place.0).err(), Some(Error::NotAFile(NAMES[3])));
    assert_eq!(Files::open(&place.0, SEGMENT_BYTES).err(), Some(Error::NotAFile(NAMES[3])));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert_eq!(ReadOnly::open(&place.0).err(), Some(Error::NotAFile(NAMES[3])));
    assert_eq!(Files::open(&place.0, SEGMENT_BYTES).err(), Some(Error::NotAFile(NAMES[3])));
}

#[test]
fn next_start_completes_an_interrupted_one() {
    let place = TestDirectory::new("cut");
    std::fs::create_dir(&place.0).unwrap();
    std::fs::write(place.0.join(NAMES[0]), [0; 5_000]).unwrap();
    std::fs::write(place.0.join(NAMES[1]), []).unwrap();
    assert_eq!(write(&place, 1..3), 1);
    assert_eq!(ids(&place), [1, 2]);
}

#[test]
fn truncated_segment_keeps_its_beginning_and_no_id_is_issued_twice() {
    let place = TestDirectory::new("short");
    write(&place, 1..11);
    let file = std::fs::OpenOptions::new().write(true).open(place.0.join(NAMES[0])).unwrap();
    file.set_len(FIRST_OFFSET as u64 + 3_000).unwrap();
    // A start without any message keeps the trace.
    drop(Files::open(&place.0, SEGMENT_BYTES).unwrap());
    assert_eq!(std::fs::metadata(place.0.join(NAMES[0])).unwrap().len(), u64::from(SEGMENT_BYTES));
    let next_id = write(&place, 5_000..5_001);
    assert!((11..5_000).contains(&next_id), "{next_id}");
    assert_eq!(ids(&place), [1, 2, 3, 4, 5, 5_000]);
    // The next start skips no more IDs.
    assert_eq!(write(&place, 5_001..5_001), 5_001);
}

/// The recovery of the next start after `harm` changed the newest file of a journal with messages up to 400.
fn recover_after(name: &str, harm: impl Fn(&std::fs::File)) -> Recovery {
    let place = TestDirectory::new(name);
    write(&place, 1..401);
    let newest = std::fs::OpenOptions::new().write(true).open(place.0.join(NAMES[2])).unwrap();
    harm(&newest);
    let open = || {
        let files = Files::open(&place.0, SEGMENT_BYTES).unwrap();
        Writer::open(files, SEGMENT_BYTES, &mut Buffers::new()).unwrap().1
    };
    let recovery = open();
    assert!(recovery.next_id > 400, "{name}: {recovery:?}");
    assert_eq!(open().next_id, recovery.next_id, "{name}: the second start skips no more");
    recovery
}

#[test]
fn truncated_or_emptied_newest_file_does_not_repeat_an_id() {
    let whole = recover_after("whole", |_| {});
    assert_eq!((whole.next_id, whole.skipped, whole.lost_segments), (401, 0, 0));
    for length in [0, 1, 100, 1_050, 1_100, 4_000] {
        let recovery = recover_after("emptied", |file| file.set_len(length).unwrap());
        let lost = u64::from(length < 1_024 + HEADER_BYTES as u64);
        assert_eq!(recovery.lost_segments, lost, "{length} bytes: {recovery:?}");
        assert!(recovery.skipped > 0, "{length} bytes: {recovery:?}");
    }
    let last_page = u64::from(SEGMENT_BYTES) - PAGE_BYTES as u64;
    for length in [4_096, 4_100, 10_000, last_page - 5_000, last_page - 1, last_page, last_page + 31] {
        let recovery = recover_after("cut", |file| file.set_len(length).unwrap());
        assert!(recovery.skipped > 0 && recovery.lost_segments == 0, "{length} bytes: {recovery:?}");
    }
    // Only zeroes were cut off.
    let recovery = recover_after("padding", |file| file.set_len(last_page + 32).unwrap());
    assert_eq!(recovery, whole);
}

#[test]
fn file_of_another_length_among_used_ones_is_refused_and_nothing_changes() {
    let place = TestDirectory::new("other-length");
    write(&place, 1..11);
    for length in [SEGMENT_BYTES + 1, 2 * SEGMENT_BYTES] {
        std::fs::File::create(place.0.join(NAMES[3])).unwrap().set_len(length.into()).unwrap();
        assert_eq!(Files::open(&place.0, SEGMENT_BYTES).err(), Some(Error::Foreign(NAMES[3])));
        assert_eq!(Files::open(&place.0, length).err(), Some(other_size(SEGMENT_BYTES, length)));
        let losses = ReadOnly::open(&place.0).unwrap().losses().unwrap();
        assert_eq!(losses, core::array::from_fn(|segment| (segment == 3).then_some(Loss::All)));
        assert_eq!(ids(&place), (1..11).collect::<Vec<_>>());
    }
    std::fs::remove_file(place.0.join(NAMES[3])).unwrap();
    // Bytes that somebody appended to a used segment stay, and cost no message.
    let used = std::fs::OpenOptions::new().append(true).open(place.0.join(NAMES[0])).unwrap();
    std::io::Write::write_all(&mut &used, b"of somebody else").unwrap();
    let length = used.metadata().unwrap().len();
    assert!(write(&place, 20_000..20_001) < 20_000);
    assert_eq!(used.metadata().unwrap().len(), length);
    assert_eq!(ids(&place), (1..11).chain([20_000]).collect::<Vec<_>>());
}

/// Opens the journal and writes messages. Returns their IDs and what the writer recovered.
fn open_and_write(place: &TestDirectory, count: u64) -> (core::ops::Range<u64>, Recovery) {
    let files = Files::open(&place.0, SEGMENT_BYTES).unwrap();
    let mut buffers = Buffers::new();
    let (mut writer, recovery) = Writer::open(files, SEGMENT_BYTES, &mut buffers).unwrap();
    for id in recovery.next_id..recovery.next_id + count {
        writer.begin_group(true);
        writer.append(&record(id, &[b'x'; 200]));
        writer.commit(true).unwrap();
    }
    writer.close().unwrap();
    (recovery.next_id..recovery.next_id + count, recovery)
}

fn newest_file(place: &TestDirectory) -> PathBuf {
    let files = ReadOnly::open(&place.0).unwrap();
    let headers = read_headers(&files, files.segment_bytes()).unwrap();
    let newest = (0..JOURNAL_SEGMENTS).max_by_key(|segment| headers[*segment].map(|header| header.sequence));
    place.0.join(NAMES[newest.unwrap()])
}

#[test]
fn no_id_is_issued_twice_if_the_newest_file_is_lost_repeatedly() {
    let empty = |path: &Path| std::fs::write(path, []).unwrap();
    let zero_header = |path: &Path| {
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        nix::sys::uio::pwrite(&file, &[0; SEGMENT_HEADER_BYTES], 0).unwrap();
    };
    for (name, harm) in [
        ("again-removed", None),
        ("again-emptied", Some(&empty as &dyn Fn(&Path))),
        ("again-headless", Some(&zero_header)),
    ] {
        let place = TestDirectory::new(name);
        write(&place, 1..401);
        let mut next = 401;
        for round in 0..4 {
            let newest = newest_file(&place);
            harm.map_or_else(|| std::fs::remove_file(&newest).unwrap(), |harm| harm(&newest));
            let (issued, recovery) = open_and_write(&place, 3);
            assert!(
                issued.start >= next && recovery.lost_segments == 1,
                "{name} {round}: {issued:?} {recovery:?}"
            );
            next = issued.end;
        }
    }
}

#[test]
fn copy_of_a_file_over_another_is_reported_and_costs_no_later_message() {
    for (from, to) in (0..4).flat_map(|from| (0..5).map(move |to| (from, to))).filter(|(from, to)| from != to)
    {
        let place = TestDirectory::new(&format!("copy-{from}-{to}"));
        write(&place, 1..801);
        std::fs::copy(place.0.join(NAMES[from]), place.0.join(NAMES[to])).unwrap();
        let before = ids(&place);
        assert!(before.windows(2).all(|pair| pair[0] < pair[1]), "{from} over {to}: nothing is read twice");
        let (issued, recovery) = open_and_write(&place, 50);
        assert!(issued.start > 800 && recovery.unreadable_segments == 1, "{from} over {to}: {recovery:?}");
        let after = ids(&place);
        assert!(
            after.starts_with(&before) && after[before.len()..].iter().copied().eq(issued.clone()),
            "{from} over {to}"
        );
        assert!(open_and_write(&place, 1).0.start >= issued.end);
    }
}

#[test]
fn journal_that_loses_its_only_used_file_issues_no_id_twice() {
    for (name, length) in [("young-gone", None), ("young-emptied", Some(0)), ("young-cut", Some(500))] {
        let place = TestDirectory::new(name);
        write(&place, 1..11);
        let used = place.0.join(NAMES[0]);
        match length {
            None => std::fs::remove_file(&used).unwrap(),
            Some(length) => std::fs::File::create(&used).unwrap().set_len(length).unwrap(),
        }
        let losses = ReadOnly::open(&place.0).unwrap().losses().unwrap();
        assert_eq!(losses[0], Some(Loss::All), "{name}");
        let files = Files::open(&place.0, SEGMENT_BYTES).unwrap();
        let mut buffers = Buffers::new();
        let (_, recovery) = Writer::open(files, SEGMENT_BYTES, &mut buffers).unwrap();
        assert!(
            recovery.next_id > 10 && recovery.lost_segments == 1 && !recovery.is_new(),
            "{name}: {recovery:?}"
        );
    }
}

#[test]
fn damaged_message_after_skipped_ids_keeps_its_id() {
    let place = TestDirectory::new("after-skipped");
    let commit = |text: &[u8], is_synced| {
        let files = Files::open(&place.0, SEGMENT_BYTES).unwrap();
        let mut buffers = Buffers::new();
        let (mut writer, recovery) = Writer::open(files, SEGMENT_BYTES, &mut buffers).unwrap();
        writer.begin_group(is_synced);
        writer.append(&record(recovery.next_id, text));
        writer.commit(is_synced).unwrap();
        recovery.next_id
    };
    commit(b"acknowledged before a sync", false);
    let newest = commit(b"the first one after the skipped IDs", true);
    assert!(newest > 2, "IDs are skipped");
    let file = place.0.join(NAMES[0]);
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.windows(9).position(|part| part == b"the first").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    assert!(commit(b"the next", true) > newest);
}

#[test]
fn journal_without_its_first_pages_issues_no_id_twice() {
    let place = TestDirectory::new("zeroed");
    write(&place, 1..401);
    for name in NAMES {
        let file = std::fs::OpenOptions::new().write(true).open(place.0.join(name)).unwrap();
        nix::sys::uio::pwrite(&file, &[0; FIRST_PAGES as usize], 0).unwrap();
    }
    // A smaller journal would cut off what is in them.
    let half = SEGMENT_BYTES / 2;
    assert_eq!(Files::open(&place.0, half).err(), Some(other_size(SEGMENT_BYTES, half)));
    let (issued, recovery) = open_and_write(&place, 1);
    assert!(issued.start > 400 && recovery.unreadable_segments == 3 && !recovery.is_new(), "{recovery:?}");
}

/// Removes something under a writer. The commit that notices it fails; after a reopening, the next one succeeds.
fn expect_recovery_from(name: &str, stays_writable: bool, remove: impl Fn(&Path) -> std::io::Result<()>) {
    let place = TestDirectory::new(name);
    let files = Files::open(&place.0, SEGMENT_BYTES).unwrap();
    let mut buffers = Buffers::new();
    let (mut writer, _) = Writer::open(files, SEGMENT_BYTES, &mut buffers).unwrap();
    remove(&place.0).unwrap();
    writer.begin_group(true);
    writer.append(&record(1, b"lost"));
    assert_eq!(writer.commit(true), Err(Errno::ENOENT));
    assert_eq!(writer.is_writable(), stays_writable);
    writer.reopen_segment().unwrap();
    writer.begin_group(true);
    writer.append(&record(1, b"kept"));
    writer.commit(true).unwrap();
    drop(writer);
    assert_eq!(ids(&place), [1]);
}

#[test]
fn removed_segment_is_created_again() {
    expect_recovery_from("one", true, |directory| std::fs::remove_file(directory.join(NAMES[0])));
}

#[test]
fn removed_directory_is_detected_and_created_again() {
    expect_recovery_from("vanish", false, |directory| std::fs::remove_dir_all(directory));
}

#[test]
fn nothing_is_written_to_another_journal_in_the_same_place() {
    let place = TestDirectory::new("foreign");
    let files = Files::open(&place.0, SEGMENT_BYTES).unwrap();
    let mut buffers = Buffers::new();
    let (mut writer, _) = Writer::open(files, SEGMENT_BYTES, &mut buffers).unwrap();
    std::fs::remove_dir_all(&place.0).unwrap();
    assert_eq!(write(&place, 1..4), 1);
    writer.begin_group(true);
    writer.append(&record(1, b"lost"));
    assert_eq!(writer.commit(true), Err(Errno::ENOENT));
    for _ in 0..3 {
        assert_eq!(writer.reopen_segment(), Err(Errno::EMEDIUMTYPE));
        assert!(!writer.is_writable());
        writer.begin_group(true);
        writer.append(&record(1, b"lost"));
        assert!(writer.commit(true).is_err());
        assert!(!writer.is_writable());
    }
    // Readers must reopen the files too, though no segment could begin.
    assert_eq!(writer.reopenings(), 3);
    assert_eq!(ids(&place), [1, 2, 3]);
}
