//! A buffer of lines for standard output or standard error. The caller writes when the descriptor is writable, so that
//! it never blocks on a slow reader.

use memchr::memrchr;
use nix::poll::{PollFd, PollFlags};
use std::collections::VecDeque;
use std::fmt::{self, Display, Write as _};
use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd, AsRawFd as _};

/// The largest write, in bytes. A pipe that poll(2) reports as writable takes this many bytes without blocking
/// (`PIPE_BUF`, pipe(7)).
const WRITE_BYTES: usize = 4096;

/// At this number of waiting bytes, the caller takes no more messages. More bytes can wait than this: the messages that
/// the caller has already taken still add their lines, at most one for each message in the client, which holds a small
/// multiple of [`IN_FLIGHT`](crate::client::limits::IN_FLIGHT) messages.
const WAITING_BYTES_MAX: usize = 64 * 1024;

/// Lines that wait to be written.
#[derive(Debug)]
pub struct Output {
    to: File,
    waiting: VecDeque<u8>,
    /// How many bytes were pushed, and how many of them were written.
    taken: u64,
    written: u64,
    /// The reader is gone, or writing has failed.
    is_closed: bool,
}

impl Output {
    /// An output to that descriptor.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new(to: &impl AsFd) -> io::Result<Self> {
        let to = File::from(to.as_fd().try_clone_to_owned()?);
        Ok(Self { to, waiting: VecDeque::new(), taken: 0, written: 0, is_closed: false })
    }

    /// Whether the output goes to a file that ends with an incomplete line. A process that was killed, or a full disk,
    /// can leave one.
    pub fn follows_a_part(&self) -> bool {
        let is_file = self.to.metadata().is_ok_and(|metadata| metadata.is_file());
        is_file && last_byte(&self.to).is_ok_and(|byte| byte != b'\n')
    }

    /// Whether there is room for the output of another message.
    pub fn has_room(&self) -> bool {
        self.waiting.len() < WAITING_BYTES_MAX
    }

    /// Whether everything is written.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether the reader is gone, or writing has failed.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Drops the lines that wait and all later ones.
    pub fn close(&mut self) {
        self.is_closed = true;
        self.waiting = VecDeque::new();
    }

    /// How many bytes were pushed so far. They are all written once [`written`](Self::written) is as high.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// How many bytes were written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Queues a line, to which it appends the LF.
    pub fn push(&mut self, line: impl Display) {
        // Writing into memory does not fail.
        let _ = writeln!(self, "{line}");
    }

    /// Queues a part of a line.
    pub fn push_part(&mut self, part: &str) {
        if !self.is_closed {
            self.waiting.extend(part.as_bytes());
            self.taken += part.len() as u64;
        }
    }

    /// What to poll for the end of the reader: poll(2) reports that for a pipe even if no event is requested.
    pub fn end_of_reader(&self) -> PollFd<'_> {
        PollFd::new(self.to.as_fd(), PollFlags::empty())
    }

    /// What to poll before [`write`](Self::write); `None`: no bytes wait.
    pub fn interest(&self) -> Option<PollFd<'_>> {
        (!self.is_empty()).then(|| PollFd::new(self.to.as_fd(), PollFlags::POLLOUT))
    }

    /// Writes once. Call it when the descriptor is writable; otherwise it may block.
    ///
    /// # Errors
    /// The first failure of a write; it also closes the output. If the reader is gone, this closes the output without
    /// an error.
    pub fn write(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let waiting = self.waiting.make_contiguous();
        let part = &waiting[..waiting.len().min(WRITE_BYTES)];
        // Writes whole lines if at least one fits, so that a kill between two writes leaves no incomplete line.
        let bytes = memrchr(b'\n', part).map_or(part.len(), |lf| lf + 1);
        match self.to.write(&part[..bytes]) {
            Ok(bytes) => {
                self.waiting.drain(..bytes);
                self.written += bytes as u64;
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => {
                self.close();
                return if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(error) };
            }
        }
        Ok(())
    }
}

impl fmt::Write for Output {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.push_part(part);
        Ok(())
    }
}

/// The last byte of a file. Reopens the file, because the descriptor may be write-only and must keep its position.
fn last_byte(file: &File) -> io::Result<u8> {
    let mut file = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    file.seek(SeekFrom::End(-1))?;
    let mut byte = [0];
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::pipe;

    #[test]
    fn all_lines_arrive_in_order() {
        let (mut reader, writer) = pipe().unwrap();
        let mut output = Output::new(&writer).unwrap();
        drop(writer);
        let lines: Vec<String> = (0..1_500).map(|number| format!("line {number}")).collect();
        lines.iter().for_each(|line| output.push(line));
        while !output.is_empty() {
            output.write().unwrap();
        }
        drop(output);
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        assert!(read.lines().eq(lines.iter().map(String::as_str)));
    }

    #[test]
    fn closed_output_keeps_nothing() {
        let (reader, writer) = pipe().unwrap();
        let mut output = Output::new(&writer).unwrap();
        drop(reader);
        output.push("one");
        output.write().unwrap();
        output.push("two");
        assert!(output.is_empty());
        let mut full = Output::new(&File::options().write(true).open("/dev/full").unwrap()).unwrap();
        full.push("one");
        assert_eq!(full.write().unwrap_err().kind(), ErrorKind::StorageFull);
        assert!(full.is_empty());
    }
}
