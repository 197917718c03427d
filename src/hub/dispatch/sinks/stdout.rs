//! The sink behind `--print`: standard output. The one sink that may block, and only the consumer waits for it.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::write;
use std::io::Stdout;
use std::os::fd::AsFd;

/// Writes lines to a file, a pipe or a terminal, and knows how far it came.
pub struct StdoutSink<F = Stdout> {
    output: F,
    /// The last line was cut by an error: the next must not begin behind it.
    torn: bool,
    /// The last write failed, and that was told.
    failing: bool,
}

impl<F: AsFd> StdoutSink<F> {
    /// A stdout_sink to that output.
    pub fn new(output: F) -> Self {
        Self { output, torn: false, failing: false }
    }

    /// Writes whole lines, however long it takes, and returns how many bytes of them were written: all, or
    /// fewer if the output failed. A line that was not written whole is ended before the next one.
    pub fn print(&mut self, lines: &[u8]) -> usize {
        if self.torn && self.write_all(b"\n") == 0 {
            return 0;
        }
        let written = self.write_all(lines);
        self.torn = written > 0 && lines[written - 1] != b'\n';
        if written == lines.len() {
            self.recover();
        }
        written
    }

    /// How many bytes were written before an error, if one came.
    fn write_all(&mut self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while written < bytes.len() {
            match write(&self.output, &bytes[written..]) {
                Ok(count) => written += count,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => self.wait(),
                Err(errno) => {
                    self.tell(errno);
                    return written;
                }
            }
        }
        written
    }

    /// Waits until the output takes more: somebody else made it non-blocking.
    fn wait(&self) {
        let mut fds = [PollFd::new(self.output.as_fd(), PollFlags::POLLOUT)];
        // An error here would show itself at the next write.
        let _ = poll(&mut fds, PollTimeout::NONE);
    }

    fn tell(&mut self, errno: Errno) {
        if !self.failing {
            self.failing = true;
            log::error!(
                "--print: standard output: {}; messages get NAK print-failed until it works",
                errno.desc()
            );
        }
    }

    fn recover(&mut self) {
        if self.failing {
            self.failing = false;
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
    fn a_non_blocking_pipe_that_is_full_is_waited_for() {
        let (reader, writer) = pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).unwrap();
        nix::fcntl::fcntl(&reader, nix::fcntl::FcntlArg::F_SETFL(OFlag::empty())).unwrap();
        let lines = b"MSG 1 p4 alice hello\n".repeat(20_000);
        let expected = lines.clone();
        let printing = std::thread::spawn(move || StdoutSink::new(writer).print(&lines));
        assert!(read_all(&reader, expected.len()) == expected);
        assert_eq!(printing.join().unwrap(), expected.len());
    }

    #[test]
    fn a_full_disk_prints_nothing_and_does_not_end_it() {
        let full = open("/dev/full", OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty()).unwrap();
        let mut stdout_sink = StdoutSink::new(full);
        assert_eq!(stdout_sink.print(b"one\n"), 0);
        assert_eq!(stdout_sink.print(b"two\n"), 0);
    }

    #[test]
    fn a_line_that_was_cut_is_ended_before_the_next() {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
        let mut stdout_sink = StdoutSink::new(writer);
        stdout_sink.torn = true;
        assert_eq!(stdout_sink.print(b"whole\n"), 6);
        assert_eq!(read_all(&reader, 7), b"\nwhole\n");
        drop(reader);
        assert_eq!(stdout_sink.print(b"nobody reads\n"), 0, "a broken pipe is an error, not a signal");
    }
}
