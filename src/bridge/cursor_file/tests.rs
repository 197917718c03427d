//! The cursors survive a kill and a power cut at every write.

use super::*;
use crate::bridge::class::{Class, PerClass};
use crate::journal::segment::Identity;
use crate::protocol::Priority;
use proptest::prelude::*;
use std::cell::RefCell;
use std::rc::Rc;

/// A disk that loses its power during a write. Of the bytes that the write should change, the first `kept` are new; the
/// rest are the old bytes or garbage.
#[derive(Clone)]
struct Disk(Rc<RefCell<State>>);

struct State {
    bytes: Vec<u8>,
    /// The power fails after this many writes.
    writes_left: usize,
    kept: usize,
    garbage: Option<u8>,
    /// Whether the bytes of the cut write are all there nevertheless: the old ones or the garbage may be the same.
    is_whole: bool,
}

impl Disk {
    fn new(writes_left: usize, kept: usize, garbage: Option<u8>) -> Self {
        let bytes = vec![0; 2 * PAGE_BYTES as usize];
        Self(Rc::new(RefCell::new(State { bytes, writes_left, kept, garbage, is_whole: false })))
    }
}

impl Storage for Disk {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let offset = offset as usize;
        bytes.copy_from_slice(&self.0.borrow().bytes[offset..offset + bytes.len()]);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        let offset = offset as usize;
        if state.writes_left > 0 {
            state.writes_left -= 1;
            state.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
            return Ok(());
        }
        let kept = state.kept.min(bytes.len());
        state.bytes[offset..offset + kept].copy_from_slice(&bytes[..kept]);
        if let Some(garbage) = state.garbage {
            state.bytes[offset + kept..offset + bytes.len()].fill(garbage);
        }
        state.is_whole = state.bytes[offset..offset + bytes.len()] == *bytes;
        Err(io::Error::other("no power"))
    }
}

fn cursors(next: u64) -> Cursors {
    Cursors { identity: Identity(8), urgent_from: Priority::HIGH, next: PerClass::new(|_| next) }
}

proptest! {
    #[test]
    fn cut_at_any_byte_of_any_write_leaves_the_last_cursors_or_the_new_ones(
        writes in 1..20_usize,
        kept in 0..=SLOT_BYTES,
        garbage in prop::option::of(any::<u8>()),
    ) {
        let disk = Disk::new(writes, kept, garbage);
        let mut slots = Slots::read(disk.clone()).unwrap();
        for next in 1..=writes as u64 {
            slots.save(cursors(next)).unwrap();
        }
        prop_assert!(slots.save(cursors(1_000)).is_err());
        prop_assert_eq!(slots.saved(), Some(cursors(writes as u64)), "it does not believe in what failed");
        let after = Slots::read(disk.clone()).unwrap().saved().unwrap();
        let expected = if disk.0.borrow().is_whole { 1_000 } else { writes as u64 };
        prop_assert_eq!(after, cursors(expected));
        // The power is back, and the bridge continues.
        disk.0.borrow_mut().writes_left = 3;
        let mut slots = Slots::read(disk.clone()).unwrap();
        for next in 2_000..2_003 {
            slots.save(cursors(next)).unwrap();
            prop_assert_eq!(Slots::read(disk.clone()).unwrap().saved(), Some(cursors(next)));
        }
    }
}

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("firstline-cursors-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("below/cursors")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn file_is_made_once_and_locked() {
    let place = Place::new("locked");
    let path = place.file();
    assert!(CursorFile::open(&path).unwrap().is_none());
    let mut file = CursorFile::create(&path, cursors(1)).unwrap();
    assert!(matches!(CursorFile::open(&path), Err(Unusable::InUse(_))));
    file.save(cursors(2)).unwrap();
    file.save(cursors(3)).unwrap();
    drop(file);
    let saved = CursorFile::open(&path).unwrap().unwrap().saved().unwrap();
    assert_eq!(saved.next[Class::Rest], 3);
}

#[test]
fn damaged_file_is_never_taken_for_a_new_one() {
    let place = Place::new("damaged");
    let path = place.file();
    drop(CursorFile::create(&path, cursors(1)).unwrap());
    for bytes in [&b""[..], &[0; 100], &[0; 2 * PAGE_BYTES as usize]] {
        std::fs::write(&path, bytes).unwrap();
        let error = CursorFile::open(&path).unwrap_err();
        assert!(matches!(error, Unusable::Damaged(_)), "{error}");
        assert!(error.to_string().contains("move it away"));
    }
}

#[test]
fn of_many_that_make_the_file_at_once_one_has_it() {
    for round in 0..20 {
        let place = Place::new(&format!("at-once-{round}"));
        let path = &place.file();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        // A file that a killed bridge has left.
        std::fs::write(with_suffix(path, ".new"), "part").unwrap();
        let start = &std::sync::Barrier::new(8);
        let make = || {
            start.wait();
            CursorFile::create(path, cursors(round)).ok()
        };
        let made: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert!(made.len() <= 1, "{} have it", made.len());
        let is_in_use = matches!(CursorFile::open(path), Err(Unusable::InUse(_)));
        assert_eq!(is_in_use, made.len() == 1, "the one that made it has the file with the name");
    }
}

#[test]
fn symbolic_links_are_not_followed() {
    let place = Place::new("link");
    let path = place.file();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let target = place.0.join("target");
    std::fs::write(&target, "precious").unwrap();
    std::os::unix::fs::symlink(&target, &path).unwrap();
    assert!(matches!(CursorFile::open(&path), Err(Unusable::Link(_))));
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&target, with_suffix(&path, ".new")).unwrap();
    assert!(matches!(CursorFile::create(&path, cursors(1)), Err(Unusable::Link(_))));
    assert_eq!(std::fs::read(&target).unwrap(), b"precious");
}
