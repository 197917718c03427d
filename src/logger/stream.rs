//! An open descriptor to which whole lines are written. A write waits as long as the descriptor accepts nothing, and
//! ends early only after an error.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::write;

/// A descriptor, its size, and whether its last line is whole.
pub struct Stream {
    fd: OwnedFd,
    /// The size: the bytes at the start and those written since.
    bytes: u64,
    /// Whether an error has cut the last line.
    is_torn: bool,
}

impl Stream {
    /// A stream that already holds that many bytes of whole lines.
    pub fn new(fd: OwnedFd, bytes: u64) -> Self {
        Self { fd, bytes, is_torn: false }
    }

    /// How many bytes it would hold with these lines.
    pub fn bytes_with(&self, lines: &[u8]) -> u64 {
        self.bytes + u64::from(self.is_torn) + lines.len() as u64
    }

    /// Whether it holds nothing yet.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Writes whole lines, with one system call if the descriptor accepts them at once. If the last line was cut, it
    /// ends that line first. It sleeps while the descriptor accepts nothing.
    ///
    /// # Errors
    /// Errors of write(2). A part of the lines may be written then.
    pub fn write_lines(&mut self, lines: &[u8]) -> Result<(), Errno> {
        if self.is_torn {
            self.write_all(b"\n")?;
        }
        self.write_all(lines)
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), Errno> {
        while !bytes.is_empty() {
            match write(&self.fd, bytes) {
                Ok(0) => return Err(Errno::EIO),
                Ok(count) => {
                    self.is_torn = bytes[count - 1] != b'\n';
                    self.bytes += count as u64;
                    bytes = &bytes[count..];
                }
                Err(Errno::EINTR) => {}
                // Another process that shares the terminal or the pipe has made it non-blocking.
                Err(Errno::EAGAIN) => self.wait_writable()?,
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    fn wait_writable(&self) -> Result<(), Errno> {
        let mut fds = [PollFd::new(self.fd.as_fd(), PollFlags::POLLOUT)];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    use nix::sys::stat::Mode;
    use nix::unistd::{pipe2, read};
    use std::thread;

    #[test]
    fn closed_pipe_is_an_error_and_does_not_end_the_process() {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
        drop(reader);
        let mut stream = Stream::new(writer, 0);
        assert_eq!(stream.write_lines(b"hello\n"), Err(Errno::EPIPE));
        assert_eq!(stream.write_lines(b"hello\n"), Err(Errno::EPIPE));
    }

    #[test]
    fn full_device_is_an_error_each_time() {
        let full = nix::fcntl::open(c"/dev/full", OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty()).unwrap();
        let mut stream = Stream::new(full, 0);
        assert_eq!(stream.write_lines(b"hello\n"), Err(Errno::ENOSPC));
        assert_eq!(stream.write_lines(b"hello\n"), Err(Errno::ENOSPC));
        assert!(stream.is_empty());
    }

    #[test]
    fn cut_line_is_ended_before_the_next() {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
        let mut stream = Stream::new(writer, 0);
        stream.write_all(b"one\ntw").unwrap();
        assert_eq!(stream.bytes_with(b"three\n"), 6 + 1 + 6);
        stream.write_lines(b"three\n").unwrap();
        stream.write_lines(b"four\n").unwrap();
        let mut bytes = [0; 64];
        let count = read(&reader, &mut bytes).unwrap();
        assert_eq!(&bytes[..count], b"one\ntw\nthree\nfour\n");
        assert_eq!(stream.bytes_with(b""), count as u64);
    }

    #[test]
    fn non_blocking_pipe_gets_everything() {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
        fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        let mut lines = b"a line\n".repeat(100_000);
        let total = lines.len();
        let sender =
            thread::spawn(move || Stream::new(writer, 0).write_lines(&lines).map(|()| lines.clear()));
        let mut got = Vec::new();
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = read(&reader, &mut bytes) {
            got.extend_from_slice(&bytes[..count]);
        }
        sender.join().unwrap().unwrap();
        assert_eq!(got.len(), total);
        assert!(got.chunks(7).all(|line| line == b"a line\n"));
    }
}
