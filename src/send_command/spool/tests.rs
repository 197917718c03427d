use super::*;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};

struct Place(PathBuf);

impl Place {
    fn new() -> (Self, Spool) {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("firstline-spool-{}-{count}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        let spool = Spool::open(&path).unwrap();
        (Self(path), spool)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn shown(names: &[Name]) -> Vec<String> {
    names.iter().map(|name| format!("{} {}", name.priority(), name.number)).collect()
}

#[test]
fn urgent_messages_come_first_and_older_ones_before_newer() {
    let (place, mut spool) = Place::new();
    for (priority, text) in [(4, "a"), (9, "b"), (4, "c"), (0, "d"), (9, "e")] {
        spool.keep(Priority::new(priority).unwrap(), text.as_bytes(), |_| true).unwrap();
    }
    let kept = spool.contents().unwrap().kept;
    assert_eq!(shown(&kept), ["p9 2", "p9 5", "p4 1", "p4 3", "p0 4"]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&place.0), mode(&place.0.join(kept[0].file(State::Kept)))), (0o700, 0o600));
}

#[test]
fn message_is_kept_until_it_is_removed() {
    let (_place, mut spool) = Place::new();
    spool.keep(Priority::NORMAL, b"smoke", |_| true).unwrap();
    let name = spool.contents().unwrap().kept[0];
    spool.begin(&name).unwrap();
    assert_eq!(
        (spool.text(&name, State::Sent).unwrap(), spool.contents().unwrap().sent),
        (b"smoke".to_vec(), vec![name])
    );
    spool.give_back(&name).unwrap();
    assert_eq!(spool.contents().unwrap().kept, [name]);
    spool.begin(&name).unwrap();
    spool.remove(&name).unwrap();
    assert_eq!(spool.contents().unwrap(), Contents::default());
    spool.keep(Priority::NORMAL, b"more", |_| true).unwrap();
}

#[test]
fn foreign_and_unfinished_files_are_no_messages() {
    let (place, mut spool) = Place::new();
    for file in ["new", "p4-1.kept", "p4-00000000000000000001.txt", "pX-00000000000000000001.kept", "notes"] {
        fs::write(place.0.join(file), "x").unwrap();
    }
    assert_eq!(spool.contents().unwrap(), Contents::default());
    spool.keep(Priority::NORMAL, b"y", |_| true).unwrap();
    assert!(!place.0.join("new").exists());
    assert!(Spool::open(&place.0.join("notes")).unwrap().contents().is_err(), "a file is no directory");
}

#[test]
fn number_of_messages_is_bounded() {
    let (place, mut spool) = Place::new();
    for number in 1..=KEPT_MAX {
        let name = Name::new(Priority::LOW, number);
        fs::write(place.0.join(name.file(State::Kept)), "x").unwrap();
    }
    let error = spool.keep(Priority::URGENT, b"y", |_| true).unwrap_err().to_string();
    assert_eq!(error, "10000 messages are kept already");
}

#[test]
fn one_process_at_a_time_sends() {
    let (place, spool) = Place::new();
    let lock = spool.lock_sending().unwrap().unwrap();
    let mut other = Spool::open(&place.0).unwrap();
    assert!(other.lock_sending().unwrap().is_none());
    other.keep(Priority::NORMAL, b"x", |_| true).unwrap();
    drop(lock);
    assert!(other.lock_sending().unwrap().is_some());
}

#[test]
fn numbers_rise_over_processes_and_the_directory_is_read_once() {
    let (place, mut spool) = Place::new();
    let mut other = Spool::open(&place.0).unwrap();
    for spool in [&mut spool, &mut other] {
        spool.keep(Priority::NORMAL, b"x", |_| true).unwrap();
    }
    // A process that read the directory again would count these.
    for number in 1_000..=1_000 + KEPT_MAX {
        let name = Name::new(Priority::LOW, number);
        fs::write(place.0.join(name.file(State::Sent)), "x").unwrap();
    }
    for round in 0..3 {
        for spool in [&mut spool, &mut other] {
            spool.keep(Priority::HIGH, format!("{round}").as_bytes(), |_| true).unwrap();
        }
    }
    let kept = spool.contents().unwrap().kept;
    assert_eq!(shown(&kept), ["p7 3", "p7 4", "p7 5", "p7 6", "p7 7", "p7 8", "p4 1", "p4 2"]);
}

#[test]
fn number_that_is_missing_or_taken_overwrites_no_message() {
    let (place, mut spool) = Place::new();
    for written in ["", "nonsense", "00000000000000000001\n", "\u{0}\u{0}"] {
        spool.keep(Priority::NORMAL, b"x", |_| true).unwrap();
        fs::write(place.0.join("lock"), written).unwrap();
        Spool::open(&place.0).unwrap().keep(Priority::NORMAL, b"y", |_| true).unwrap();
    }
    // An older version adds a message like this, without a number in the lock file.
    let name = Name::new(Priority::NORMAL, 9);
    fs::write(place.0.join(name.file(State::Sent)), "z").unwrap();
    spool.keep(Priority::NORMAL, b"x", |_| true).unwrap();
    let numbers: Vec<u64> = spool.contents().unwrap().kept.iter().map(|name| name.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 10]);
}
