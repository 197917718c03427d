//! What waits to be written to standard output or standard error. It is written when that takes it, so that nothing waits for whoever
//! reads it.

use memchr::memrchr;
use nix::poll::{PollFd, PollFlags};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd, AsRawFd as _};

/// What is written at a time, in bytes: a pipe that is writable takes as much without waiting (`PIPE_BUF`, pipe(7)).
const WRITE_BYTES: usize = 4096;

/// With this much waiting, no more lines are taken from the input. What is on its way then adds less than that again.
const WAITING_BYTES_MAX: usize = 64 * 1024;

/// Lines on their way to whoever reads them.
#[derive(Debug)]
pub struct Output {
    to: File,
    waiting: VecDeque<u8>,
    /// How many bytes were taken, and how many of them were written.
    taken: u64,
    written: u64,
    /// Nobody will read what is written.
    is_closed: bool,
}

impl Output {
    /// To that descriptor.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn new(to: &impl AsFd) -> io::Result<Self> {
        let to = File::from(to.as_fd().try_clone_to_owned()?);
        Ok(Self { to, waiting: VecDeque::new(), taken: 0, written: 0, is_closed: false })
    }

    /// Whether what is written goes behind a part of a line: a call that was killed, or a full disk, has left it at the end
    /// of the file.
    pub fn follows_a_part(&self) -> bool {
        let is_file = self.to.metadata().is_ok_and(|metadata| metadata.is_file());
        is_file && last_byte(&self.to).is_ok_and(|byte| byte != b'\n')
    }

    /// Whether what may still come has room.
    pub fn has_room(&self) -> bool {
        self.waiting.len() < WAITING_BYTES_MAX
    }

    /// Whether everything is written.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether nobody will read what is written.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Whoever reads this is gone: nothing is written any more.
    pub fn close(&mut self) {
        self.is_closed = true;
        self.waiting = VecDeque::new();
    }

    /// How many bytes were taken so far: what was taken up to now is written once [`written`](Self::written) is as high.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// How many bytes were written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Takes a line, without its LF.
    pub fn push(&mut self, line: &str) {
        self.push_part(line);
        self.push_part("\n");
    }

    /// Takes a part of a line.
    pub fn push_part(&mut self, part: &str) {
        if !self.is_closed {
            self.waiting.extend(part.as_bytes());
            self.taken += part.len() as u64;
        }
    }

    /// To wait for the end of whoever reads this: poll(2) tells that of a pipe though it is asked for nothing.
    pub fn end_of_reader(&self) -> PollFd<'_> {
        PollFd::new(self.to.as_fd(), PollFlags::empty())
    }

    /// What to wait for, if something waits.
    pub fn interest(&self) -> Option<PollFd<'_>> {
        (!self.is_empty()).then(|| PollFd::new(self.to.as_fd(), PollFlags::POLLOUT))
    }

    /// Writes once. To be called when it is writable, or else this waits.
    ///
    /// # Errors
    /// Those of the system, once; nothing is written any more then. A reader that has gone is none: it has seen enough.
    pub fn write(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let waiting = self.waiting.make_contiguous();
        let part = &waiting[..waiting.len().min(WRITE_BYTES)];
        // Whole lines, if one fits: a kill between two writes then leaves no part of a line.
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

/// The last byte of a file. Opens it anew, because the descriptor may permit only writing, and keeps its position.
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
    fn all_of_it_arrives_in_order() {
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
    fn without_a_reader_nothing_is_kept() {
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
