//! The reader of `--print`: a pipe that the test controls, so that the test decides when the consumer continues.

use super::{Client, LIMIT, Server, command};
use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;

/// A server whose consumer is blocked: it has picked one message, `plug` from `first`, and cannot print it.
/// Every message that is admitted now stays queued until [`Printed::unplug`].
pub struct StuckServer {
    pub server: Server,
    pub printed: Printed,
    pub first: Client,
}

impl StuckServer {
    /// Starts a server with these further arguments, and blocks its consumer.
    pub fn start(args: &[&str]) -> Self {
        let (printed, writer) = Printed::full_pipe();
        Self::start_on(printed, writer, args)
    }

    /// As [`StuckServer::start`], with a full pipe.
    pub fn start_on(printed: Printed, writer: PipeWriter, args: &[&str]) -> Self {
        let mut command = command();
        command.args(["--listen", "127.0.0.1:0", "--print"]).args(args).stdout(writer);
        let server = Server::start_command(command);
        let mut first = server.connect();
        first.send("plug\n");
        server.wait_for_stats("the plug is picked", |stats| stats["admitted"] == 1 && stats["waiting"] == 0);
        Self { server, printed, first }
    }

    /// Waits until `count` messages are queued behind the batch that is picked.
    pub fn wait_for_waiting(&self, count: usize) {
        self.server.wait_for_stats(&format!("{count} wait"), |stats| stats["waiting"] == count as u64);
    }

    /// Unblocks the consumer, and takes the line of the plug.
    pub fn unplug(&mut self) {
        self.printed.unplug();
        let plug = self.printed.msg();
        assert_eq!((plug.id, plug.priority, plug.text.as_str()), (1, 4, "plug"));
    }
}

/// What a server prints, read line by line from a pipe of the smallest size.
pub struct Printed {
    reader: BufReader<TimedPipe>,
    capacity: usize,
}

impl Printed {
    /// A full pipe: a writer blocks.
    pub fn full_pipe() -> (Self, PipeWriter) {
        let (printed, mut writer) = Self::pipe();
        let mut filling = vec![b'.'; printed.capacity];
        filling[printed.capacity - 1] = b'\n';
        writer.write_all(&filling).unwrap();
        (printed, writer)
    }

    /// An empty pipe.
    pub fn pipe() -> (Self, PipeWriter) {
        let (reader, writer) = std::io::pipe().unwrap();
        // The kernel rounds it up to a page.
        let capacity = fcntl(&writer, FcntlArg::F_SETPIPE_SZ(1)).unwrap() as usize;
        (Self { reader: BufReader::new(TimedPipe(reader)), capacity }, writer)
    }

    /// Reads what filled the pipe.
    pub fn unplug(&mut self) {
        assert_eq!(self.line().len() + "\n".len(), self.capacity);
    }

    /// The next line, without its LF; an empty one at the end of the pipe.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line.trim_end_matches('\n').to_string()
    }

    /// The next line, parsed.
    pub fn msg(&mut self) -> Msg {
        Msg::from(&self.line())
    }

    /// The next `count` lines, parsed.
    pub fn msgs(&mut self, count: usize) -> Vec<Msg> {
        (0..count).map(|_| self.msg()).collect()
    }

    /// All lines up to the end, parsed.
    pub fn rest(&mut self) -> Vec<Msg> {
        self.reader.by_ref().lines().map(|line| Msg::from(&line.unwrap())).collect()
    }

    /// How many bytes the server can have written, at most, that have not been returned yet.
    pub fn ahead(&self) -> usize {
        self.capacity + self.reader.capacity()
    }
}

/// A pipe whose reads time out after [`LIMIT`].
struct TimedPipe(PipeReader);

impl Read for TimedPipe {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut fds, PollTimeout::try_from(LIMIT).unwrap())?;
        assert!(ready > 0, "nothing is printed");
        self.0.read(buffer)
    }
}

/// A `MSG` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Msg {
    pub id: u64,
    pub priority: u8,
    pub from: String,
    pub text: String,
}

impl Msg {
    /// Parses a line.
    pub fn from(line: &str) -> Self {
        let mut words = line.splitn(5, ' ');
        let mut word = || words.next().unwrap_or_else(|| panic!("not a MSG line: {line:?}"));
        assert_eq!(word(), "MSG", "in {line:?}");
        let id = word().parse().unwrap();
        let priority = word().strip_prefix('p').unwrap().parse().unwrap();
        Self { id, priority, from: word().to_string(), text: word().to_string() }
    }
}
