//! The sink of `--print`: standard output. It may block for any time, and only the consumer waits for it.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::write;
use std::io::Stdout;
use std::os::fd::AsFd;

/// Writes lines to a file, a pipe or a terminal, and counts the written bytes.
pub struct StdoutSink<F = Stdout> {
    output: F,
    /// An error cut off the last line: the next line must not continue it.
    is_torn: bool,
    /// The last write failed, and that has been logged.
    is_failing: bool,
}

impl<F: AsFd> StdoutSink<F> {
    /// A sink that writes to `output`.
    pub fn new(output: F) -> Self {
        Self { output, is_torn: false, is_failing: false }
    }

    /// Writes whole lines, however long it takes, and returns how many bytes it has written: all, or fewer if the
    /// output failed. If a line was cut, the next call ends that line first.
    pub fn print(&mut self, lines: &[u8]) -> usize {
        if self.is_torn && self.write_all(b"\n") == 0 {
            return 0;
        }
        let written = self.write_all(lines);
        self.is_torn = written > 0 && lines[written - 1] != b'\n';
        if written == lines.len() {
            self.log_recovery();
        }
        written
    }

    /// Writes `bytes`, and returns how many were written: fewer if an error occurred.
    fn write_all(&mut self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while written < bytes.len() {
            match write(&self.output, &bytes[written..]) {
                Ok(count) => written += count,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => self.wait_writable(),
                Err(errno) => {
                    self.log_failure(errno);
                    return written;
                }
            }
        }
        written
    }

    /// Waits until the output is writable: another process has made it non-blocking.
    fn wait_writable(&self) {
        let mut fds = [PollFd::new(self.output.as_fd(), PollFlags::POLLOUT)];
        // An error here shows again at the next write.
        let _ = poll(&mut fds, PollTimeout::NONE);
    }

    fn log_failure(&mut self, errno: Errno) {
        if !self.is_failing {
            self.is_failing = true;
            log::error!(
                "--print: standard output: {}; messages get NAK print-failed until it works",
                errno.desc()
            );
        }
    }

    fn log_recovery(&mut self) {
        if self.is_failing {
            self.is_failing = false;
            log::warn!("--print: standard output works again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::{OFlag, open};
    use nix::sys::stat::Mode;
    use nix::unistd::{pipe2, read};
    use std::os::fd::OwnedFd;

    fn read_all(from: &OwnedFd, len: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < len {
            let mut part = [0; 4096];
            let count = read(from, &mut part).unwrap();
            all.extend_from_slice(&part[..count]);
        }
        all
    }

    #[test]
    fn sink_waits_for_a_full_non_blocking_pipe() {
        let (reader, writer) = pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).unwrap();
        nix::fcntl::fcntl(&reader, nix::fcntl::FcntlArg::F_SETFL(OFlag::empty())).unwrap();
        let lines = b"MSG 1 p4 alice hello\n".repeat(20_000);
        let expected = lines.clone();
        let printing = std::thread::spawn(move || StdoutSink::new(writer).print(&lines));
        assert!(read_all(&reader, expected.len()) == expected);
        assert_eq!(printing.join().unwrap(), expected.len());
    }

    #[test]
    fn full_disk_prints_nothing_and_is_no_panic() {
        let full = open("/dev/full", OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty()).unwrap();
        let mut stdout_sink = StdoutSink::new(full);
        assert_eq!(stdout_sink.print(b"one\n"), 0);
        assert_eq!(stdout_sink.print(b"two\n"), 0);
    }

    #[test]
    fn cut_line_is_ended_before_the_next() {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
        let mut stdout_sink = StdoutSink::new(writer);
        stdout_sink.is_torn = true;
        assert_eq!(stdout_sink.print(b"whole\n"), 6);
        assert_eq!(read_all(&reader, 7), b"\nwhole\n");
        drop(reader);
        assert_eq!(stdout_sink.print(b"nobody reads\n"), 0, "a broken pipe is an error, not a signal");
    }
}
