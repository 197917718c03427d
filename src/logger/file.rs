//! The log file: it is rotated to stay within its size, and reopened on request.
//!
//! The writer appends to `PATH` until the next lines would make it larger than half of the size for both files. Then
//! it renames the file to `PATH.1`, which replaces the former one, and begins a new file. So at least the latest half
//! is always there. All paths are prepared at the start; nothing allocates later.

use core::fmt::Write;
use std::ffi::CString;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, open, renameat};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use nix::unistd::write;

use super::stream::Stream;
use crate::limits::{LOG_BATCH_BYTES, LOG_COMPLAINT_BYTES_MAX, LOG_REOPEN_MS};

/// A log file and its predecessor.
pub struct LogFile {
    path: CString,
    /// The path to which a full file is renamed.
    path_old: CString,
    /// The largest size of one of the two files, in bytes.
    half_bytes_max: u64,
    /// The open file; none: it could not be opened.
    open: Option<Open>,
    /// When to open the path again, in nanoseconds, if that was requested or has failed.
    open_at_ns: Option<u64>,
    /// Why it could not be opened.
    open_error: Errno,
    /// Whether standard error has got a line about the current error.
    has_complained: bool,
}

struct Open {
    stream: Stream,
    /// Whether it is a regular file. A device or a pipe has no size, and must not be renamed.
    is_regular: bool,
}

impl LogFile {
    /// Opens the file for appending. The file and its `.1` together take at most `bytes_max`; if an earlier run left a
    /// larger one, that holds only after two rotations.
    ///
    /// # Errors
    /// Errors of open(2); EINVAL if the path has a zero byte.
    pub fn new(path: &Path, bytes_max: u64) -> Result<Self, Errno> {
        debug_assert!(bytes_max / 2 >= LOG_BATCH_BYTES as u64, "a batch must fit a file");
        let path = path.as_os_str().as_bytes();
        let path_old = CString::new([path, b".1"].concat()).map_err(|_| Errno::EINVAL)?;
        let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
        let open = Some(Open::new(&path)?);
        let half_bytes_max = bytes_max / 2;
        Ok(Self {
            path,
            path_old,
            half_bytes_max,
            open,
            open_at_ns: None,
            open_error: Errno::ENOENT,
            has_complained: false,
        })
    }

    /// Opens the path again, after another process has renamed the file. If that fails, the open file stays in use,
    /// and the next lines after [`LOG_REOPEN_MS`] make another attempt.
    pub fn reopen(&mut self, now_ns: u64) {
        self.open_at_ns = Some(now_ns);
        self.open_if_due(now_ns);
    }

    /// Writes whole lines, at most [`LOG_BATCH_BYTES`], to one file. The first of several errors in a row is also
    /// written to standard error.
    ///
    /// # Errors
    /// The error of the failed system call. A part of the lines may be written then.
    pub fn write_lines(&mut self, lines: &[u8], now_ns: u64) -> Result<(), Errno> {
        let result = self.try_write_lines(lines, now_ns);
        match result {
            Err(errno) => self.complain(errno),
            Ok(()) if self.open_at_ns.is_none() => self.has_complained = false,
            Ok(()) => {}
        }
        result
    }

    fn try_write_lines(&mut self, lines: &[u8], now_ns: u64) -> Result<(), Errno> {
        self.open_if_due(now_ns);
        if self.open.as_ref().is_some_and(|open| open.would_exceed(self.half_bytes_max, lines)) {
            self.rotate(now_ns)?;
        }
        let open = self.open.as_mut().ok_or(self.open_error)?;
        open.stream.write_lines(lines)
    }

    fn rotate(&mut self, now_ns: u64) -> Result<(), Errno> {
        match renameat(AT_FDCWD, self.path.as_c_str(), AT_FDCWD, self.path_old.as_c_str()) {
            // ENOENT: another process has renamed or removed the file.
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
        self.open = None;
        self.reopen(now_ns);
        Ok(())
    }

    fn open_if_due(&mut self, now_ns: u64) {
        if self.open_at_ns.is_none_or(|at_ns| now_ns < at_ns) {
            return;
        }
        match Open::new(&self.path) {
            Ok(open) => {
                self.open = Some(open);
                self.open_at_ns = None;
            }
            Err(errno) => {
                self.open_error = errno;
                self.open_at_ns = Some(now_ns + LOG_REOPEN_MS * 1_000_000);
                self.complain(errno);
            }
        }
    }

    /// Writes a line about an error to standard error, once, and only if that does not block: a stuck terminal must
    /// not delay the log file.
    fn complain(&mut self, errno: Errno) {
        if self.has_complained {
            return;
        }
        self.has_complained = true;
        let stderr = std::io::stderr();
        let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
        let ready = poll(&mut fds, PollTimeout::ZERO).is_ok_and(|count| count > 0);
        let mut line = heapless::String::<LOG_COMPLAINT_BYTES_MAX>::new();
        let reason = errno.desc();
        let fits =
            writeln!(line, "firstline: log file: {reason}; what it does not take is counted as lost").is_ok();
        if ready && fits {
            // If this fails, there is no place left to report it.
            let _ = write(stderr.as_fd(), line.as_bytes());
        }
    }
}

impl Open {
    fn new(path: &CString) -> Result<Self, Errno> {
        // Non-blocking: a FIFO without a reader is an error, and must not block the start.
        let flags = OFlag::O_WRONLY
            | OFlag::O_CREAT
            | OFlag::O_APPEND
            | OFlag::O_CLOEXEC
            | OFlag::O_NOCTTY
            | OFlag::O_NONBLOCK;
        let fd = open(path.as_c_str(), flags, Mode::from_bits_truncate(0o640))?;
        let stat = fstat(&fd)?;
        let is_regular = is_regular(&stat);
        let bytes = if is_regular { stat.st_size as u64 } else { 0 };
        Ok(Self { stream: Stream::new(fd, bytes), is_regular })
    }

    fn would_exceed(&self, bytes_max: u64, lines: &[u8]) -> bool {
        self.is_regular && !self.stream.is_empty() && self.stream.bytes_with(lines) > bytes_max
    }
}

fn is_regular(stat: &FileStat) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const SIZE: u64 = 4 * LOG_BATCH_BYTES as u64;
    const REOPEN_NS: u64 = LOG_REOPEN_MS * 1_000_000;

    /// A directory that is removed at the end of the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            static NEXT: AtomicUsize = AtomicUsize::new(0);
            let name = format!("firstline-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        fn text(&self, name: &str) -> String {
            fs::read_to_string(self.path(name)).unwrap_or_default()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn numbers(text: &str) -> Vec<usize> {
        assert!(text.is_empty() || text.ends_with('\n'), "a torn line");
        text.lines().map(|line| line.strip_prefix("line ").unwrap().parse().unwrap()).collect()
    }

    #[test]
    fn both_files_stay_within_the_size_and_hold_the_latest_lines() {
        let scratch = Scratch::new();
        let mut file = LogFile::new(&scratch.path("log"), SIZE).unwrap();
        let mut next = 0;
        for batch in 0..2_000 {
            let count = 1 + batch * 7 % 300;
            let lines: String = (next..next + count).map(|number| format!("line {number}\n")).collect();
            let lines = &lines.as_bytes()[..lines.len().min(LOG_BATCH_BYTES)];
            let lines = &lines[..=lines.iter().rposition(|&byte| byte == b'\n').unwrap()];
            file.write_lines(lines, 0).unwrap();
            next += lines.iter().filter(|&&byte| byte == b'\n').count();
            let size = |name| fs::metadata(scratch.path(name)).map_or(0, |data| data.len());
            assert!(size("log") > 0 && size("log") + size("log.1") <= SIZE);
        }
        let mut kept = numbers(&scratch.text("log.1"));
        kept.extend(numbers(&scratch.text("log")));
        assert_eq!(kept, (next - kept.len()..next).collect::<Vec<_>>());
        assert!(scratch.text("log.1").len() as u64 > SIZE / 2 - LOG_BATCH_BYTES as u64);
    }

    #[test]
    fn earlier_lines_are_kept_and_count() {
        let scratch = Scratch::new();
        let before = "line 0\n".repeat(SIZE as usize / 2 / 7);
        fs::write(scratch.path("log"), &before).unwrap();
        let mut file = LogFile::new(&scratch.path("log"), SIZE).unwrap();
        assert_eq!(scratch.text("log"), before);
        file.write_lines(b"line 1\n", 0).unwrap();
        assert_eq!(scratch.text("log.1"), before);
        assert_eq!(scratch.text("log"), "line 1\n");
    }

    #[test]
    fn new_file_is_writable_by_its_owner_and_readable_by_its_group() {
        let scratch = Scratch::new();
        let _file = LogFile::new(&scratch.path("log"), SIZE).unwrap();
        assert_eq!(fs::metadata(scratch.path("log")).unwrap().mode() & 0o777 & !0o640, 0);
    }

    #[test]
    fn renamed_file_is_left_on_request() {
        let scratch = Scratch::new();
        let mut file = LogFile::new(&scratch.path("log"), SIZE).unwrap();
        file.write_lines(b"line 0\n", 0).unwrap();
        fs::rename(scratch.path("log"), scratch.path("moved")).unwrap();
        file.write_lines(b"line 1\n", 0).unwrap();
        file.reopen(0);
        file.write_lines(b"line 2\n", 0).unwrap();
        assert_eq!(scratch.text("moved"), "line 0\nline 1\n");
        assert_eq!(scratch.text("log"), "line 2\n");
    }

    #[test]
    fn removed_file_is_replaced_when_it_is_full() {
        let scratch = Scratch::new();
        let mut file = LogFile::new(&scratch.path("log"), SIZE).unwrap();
        fs::remove_file(scratch.path("log")).unwrap();
        let batch = "line 0\n".repeat(LOG_BATCH_BYTES / 7);
        for _ in 0..3 {
            file.write_lines(batch.as_bytes(), 0).unwrap();
        }
        assert_eq!(scratch.text("log"), batch);
        assert_eq!(scratch.text("log.1"), "");
    }

    #[test]
    fn failed_reopening_is_retried_after_a_pause() {
        let scratch = Scratch::new();
        fs::create_dir(scratch.path("there")).unwrap();
        let mut file = LogFile::new(&scratch.path("there/log"), SIZE).unwrap();
        fs::rename(scratch.path("there"), scratch.path("away")).unwrap();
        file.reopen(0);
        file.write_lines(b"line 0\n", 0).unwrap();
        assert_eq!(scratch.text("away/log"), "line 0\n", "the old file is better than none");

        fs::create_dir(scratch.path("there")).unwrap();
        file.write_lines(b"line 1\n", REOPEN_NS - 1).unwrap();
        file.write_lines(b"line 2\n", REOPEN_NS).unwrap();
        assert_eq!(scratch.text("away/log"), "line 0\nline 1\n");
        assert_eq!(scratch.text("there/log"), "line 2\n");
    }

    #[test]
    fn full_file_that_cannot_be_rotated_stops_growing() {
        let scratch = Scratch::new();
        fs::create_dir(scratch.path("there")).unwrap();
        let mut file = LogFile::new(&scratch.path("there/log"), SIZE).unwrap();
        let batch = "line 0\n".repeat(LOG_BATCH_BYTES / 7);
        file.write_lines(batch.as_bytes(), 0).unwrap();
        file.write_lines(batch.as_bytes(), 0).unwrap();
        fs::rename(scratch.path("there"), scratch.path("away")).unwrap();
        assert_eq!(file.write_lines(batch.as_bytes(), 0), Err(Errno::ENOENT));
        assert_eq!(file.write_lines(batch.as_bytes(), REOPEN_NS - 1), Err(Errno::ENOENT));
        assert_eq!(scratch.text("away/log"), batch.repeat(2));

        fs::create_dir(scratch.path("there")).unwrap();
        file.write_lines(b"line 1\n", REOPEN_NS).unwrap();
        assert_eq!(scratch.text("there/log"), "line 1\n");
    }

    #[test]
    fn device_has_no_size_and_keeps_its_name() {
        let scratch = Scratch::new();
        symlink("/dev/null", scratch.path("log")).unwrap();
        let mut file = LogFile::new(&scratch.path("log"), SIZE).unwrap();
        for _ in 0..10 {
            file.write_lines(&[b'\n'; LOG_BATCH_BYTES], 0).unwrap();
        }
        assert!(scratch.path("log").is_symlink());
        assert!(!scratch.path("log.1").is_symlink());
    }

    #[test]
    fn path_that_cannot_be_opened_is_an_error() {
        let scratch = Scratch::new();
        let open = |path: &Path| LogFile::new(path, SIZE).err();
        assert_eq!(open(&scratch.path("no/log")), Some(Errno::ENOENT));
        assert_eq!(open(&scratch.0), Some(Errno::EISDIR));
        assert_eq!(open(Path::new("a\0b")), Some(Errno::EINVAL));
        nix::unistd::mkfifo(&scratch.path("fifo"), Mode::S_IRWXU).unwrap();
        assert_eq!(open(&scratch.path("fifo")), Some(Errno::ENXIO), "nothing reads it");
    }
}
