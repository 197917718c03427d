//! The log of a whole process: through the macros, into a file, with an allocator that counts.
//!
//! The program has no harness: a process has one log, and the threads of a harness allocate at any time.

#![expect(unsafe_code, reason = "an allocator is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use firstline::limits::LOG_FILE_BYTES_MIN;
use firstline::logger::{self, Config, Error, Filter};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The system's allocator. While COUNTS is set, it counts allocations.
struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(usize::from(COUNTS.load(Ordering::Relaxed)), Ordering::Relaxed);
        // SAFETY: the caller gives the guarantees that the system's allocator requires.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller gives the guarantees that the system's allocator requires.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Longer than any write here takes.
const LONG: Duration = Duration::from_secs(60);

fn main() {
    the_log_of_a_process();
    println!("logger: 1 passed, 0 failed");
}

fn the_log_of_a_process() {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("logger");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir(&directory).unwrap();
    let path = directory.join("log");
    let moved = directory.join("moved");

    errors_say_what_is_wrong(&directory);
    logger::init(config(Some(path.clone()))).unwrap();

    COUNTS.store(true, Ordering::Relaxed);
    log_more_than_both_files_hold();
    COUNTS.store(false, Ordering::Relaxed);
    lines_are_as_the_filter_says(&path);

    fs::rename(&path, &moved).unwrap();
    COUNTS.store(true, Ordering::Relaxed);
    logger::reopen();
    log::info!(target: "firstline::net", "reopened");
    assert!(logger::flush(LONG));
    COUNTS.store(false, Ordering::Relaxed);
    assert!(fs::read_to_string(&path).unwrap().ends_with(" INFO  reopened\n"));

    assert_eq!(logger::lost(), 0);
    a_disk_that_is_full_tears_one_line_and_its_losses_are_told(&path);
    assert_eq!(COUNT.load(Ordering::Relaxed), 0, "logging allocated");
}

fn config(file: Option<PathBuf>) -> Config {
    let filter = Filter::parse("info,hub=debug").unwrap();
    Config { filter, file, size_bytes_max: LOG_FILE_BYTES_MIN }
}

fn errors_say_what_is_wrong(directory: &Path) {
    let error = logger::init(config(Some(directory.join("no/log")))).unwrap_err();
    assert!(matches!(error, Error::File(..)));
    let said = error.to_string();
    assert!(said.contains("/no/log: No such file or directory; give a file in a directory"), "{said}");
    let small = Config { size_bytes_max: LOG_FILE_BYTES_MIN - 1, ..config(Some(directory.join("log"))) };
    assert!(matches!(logger::init(small), Err(Error::Size(_))));
}

fn log_more_than_both_files_hold() {
    for number in 0..1_000 {
        log::info!(target: "firstline::net", "line {number} of net");
        log::debug!(target: "firstline::net", "never seen");
        log::debug!(target: "firstline::hub::workers::worker", "line {number} of hub\n");
        // Flushed each time, so that the ring is never full.
        assert!(logger::flush(LONG));
    }
}

fn lines_are_as_the_filter_says(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines().rev().map(|line| line.split_once(' ').unwrap().1);
    let hub = lines.next().unwrap();
    assert!(
        hub.starts_with(r"DEBUG line 999 of hub\x0a  (hub::workers::worker:") && hub.ends_with(')'),
        "{hub}"
    );
    assert_eq!(lines.next().unwrap(), "INFO  line 999 of net");
    let old = fs::metadata(path.with_extension("1")).unwrap().len();
    assert!(old > 0 && old + text.len() as u64 <= LOG_FILE_BYTES_MIN);
}

/// A limit on the size of files stands for a full disk: the write that reaches it is cut short, and the next
/// one fails.
fn a_disk_that_is_full_tears_one_line_and_its_losses_are_told(path: &Path) {
    let (soft, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    let full = fs::metadata(path).unwrap().len() + 10;
    COUNTS.store(true, Ordering::Relaxed);
    setrlimit(Resource::RLIMIT_FSIZE, full, hard).unwrap();
    for number in 0..5 {
        log::info!(target: "firstline::net", "lost {number}");
        assert!(logger::flush(LONG));
    }
    setrlimit(Resource::RLIMIT_FSIZE, soft, hard).unwrap();
    log::info!(target: "firstline::net", "found");
    assert!(logger::flush(LONG));
    COUNTS.store(false, Ordering::Relaxed);

    let text = fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let [.., reopened, torn, loss, after] = lines[..] else { panic!("{text}") };
    assert!(reopened.ends_with("reopened"));
    assert_eq!(torn.len(), 10);
    assert!(loss.ends_with(" WARN  5 log records lost: File too large"), "{loss}");
    assert!(after.ends_with(" INFO  found"));
    assert_eq!(logger::lost(), 5);
}
