//! The bounds hold: whatever one client does, the others are served meanwhile, and afterwards the server's
//! footprint is what it was before. Every test ends in [`Bounded::assert_unharmed`].

#[cfg(feature = "strace")]
use crate::support::traced::under_strace;
use crate::support::{
    Client, Kind, LIMIT, Server, allow_many_connections, command, eventually, id_of, is_emulated, mappings,
    too_long,
};
use firstline::limits::{CLIENTS, IN_FLIGHT, LINE_BYTES_MAX, RECEIVE_BYTES, REJECTED_MAX, TEXT_BYTES};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use std::collections::BTreeSet;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::process::{ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The size of the pipe behind the server's standard output, in bytes: the smallest that the kernel permits.
const PIPE_BYTES: usize = 4096;

/// A client whose socket takes nothing for this long counts as not read by the server. If the server is only
/// slow, the test is weaker, and still passes.
const STUCK: Duration = Duration::from_millis(500);

/// The least number of bytes that a flooder sends at a time.
///
/// Natively each line is sent alone, which is hardest on the server's kernel. In an emulator the sends are
/// large: qemu 7.2 does not know SO_BUF_LOCK, without which Linux drops everything that comes after small
/// sends; see `raise_receive_buffer`.
fn piece_bytes() -> usize {
    if is_emulated() { 16 * 1024 } else { 1 }
}

// ---- The server, and the check --------------------------------------------------------------------------------

/// What the server uses with all places taken and nothing to do.
#[derive(Debug, PartialEq)]
struct Footprint {
    threads: u64,
    descriptors: usize,
    /// `None` in an emulator, which has memory of its own.
    memory: Option<Memory>,
}

#[derive(Debug, PartialEq)]
struct Memory {
    mapped_kb: u64,
    writable_kb: u64,
    /// What the server has written to besides its statics and stacks: those have their bounds, and how much of
    /// them has been used so far varies from run to run.
    elsewhere_kb: u64,
}

impl Footprint {
    fn of(server: &Server) -> Self {
        let memory = || Memory {
            // The main thread's stack is mapped as it is used.
            mapped_kb: server.status("VmSize") - server.status("VmStk"),
            writable_kb: server.status("VmData"),
            elsewhere_kb: mappings(server.pid())
                .iter()
                .filter(|mapping| mapping.kind == Kind::Other)
                .map(|mapping| mapping.written_kb)
                .sum(),
        };
        Self {
            threads: server.status("Threads"),
            descriptors: server.descriptors(),
            memory: (!is_emulated()).then(memory),
        }
    }
}

/// A server that has used all its resources once, and what it used then.
struct Bounded {
    server: Server,
    before: Footprint,
}

impl Bounded {
    fn start(args: &[&str]) -> Self {
        allow_many_connections();
        let server = Server::start(args);
        let clients = use_everything(&server);
        let before = Footprint::of(&server);
        drop(clients);
        only_client(&server);
        Self { server, before }
    }

    /// Checks that the server still serves, that no place, slot, thread or descriptor is lost, and that its
    /// memory is what it was.
    fn assert_unharmed(&self) {
        let _clients = use_everything(&self.server);
        // Clients that were rejected while others left have no place, and linger for a moment.
        eventually("all rejected clients are closed", || {
            self.server.descriptors() <= self.before.descriptors
        });
        assert_eq!(Footprint::of(&self.server), self.before);
    }
}

/// Uses every place, all slots of each, and each outbox up to its capacity; checks each reply. A connection
/// without all of its slots would not release its place. All clients are still connected when this returns.
fn use_everything(server: &Server) -> Vec<Client> {
    let mut clients = all_clients(server);
    for client in &mut clients {
        client.send("/help\n".repeat(IN_FLIGHT));
        for _ in 0..IN_FLIGHT {
            while !client.line().starts_with("OK ") {}
        }
    }
    let line = format!("{}\n", "x".repeat(TEXT_BYTES));
    clients.iter_mut().for_each(|client| client.send(line.repeat(IN_FLIGHT)));
    clients.iter_mut().for_each(|client| expect_acks(client, IN_FLIGHT));
    clients.iter_mut().for_each(|client| assert!(client.ask("/ping").starts_with("OK ")));
    clients
}

/// As many clients as the server serves, as soon as all others have left.
fn all_clients(server: &Server) -> Vec<Client> {
    let mut clients = vec![only_client(server)];
    clients.extend((1..CLIENTS).map(|_| server.connect()));
    clients
}

/// The only client, as soon as all others have left.
fn only_client(server: &Server) -> Client {
    let mut client = served(server);
    eventually("all others have left", || client.stats()["clients"] == 1);
    client
}

/// A client that the server serves, as soon as a place is free.
fn served(server: &Server) -> Client {
    let mut served = None;
    eventually("a place is free", || {
        let mut client = server.connect();
        client.send("/ping\n");
        let is_served = client.try_line().as_deref() == Some("OK 1");
        served = is_served.then_some(client);
        is_served
    });
    served.unwrap()
}

/// Reads `count` ACKs and nothing else.
fn expect_acks(client: &mut Client, count: usize) {
    for line in client.lines(count) {
        id_of(&line);
    }
}

/// The `n` of a closing reply with that word.
fn line_of(word: &str, reply: &str) -> u64 {
    let rest = reply.strip_prefix(word).unwrap_or_else(|| panic!("no {word}: {reply:?}"));
    rest.split(' ').nth(1).unwrap().parse().unwrap()
}

// ---- Clients that send and do not read ----------------------------------------------------------------------

/// The number of lines it has sent; the last of them may be sent in part.
struct Flooder {
    client: Client,
    /// The number of lines it has sent; the last of them may be sent in part.
    lines: u64,
    /// The unsent rest of the last piece.
    rest: Vec<u8>,
}

impl Flooder {
    /// Sends `line(n)` for n from 1 on, until the server takes no more.
    fn flood(client: Client, line: impl Fn(u64) -> String) -> Self {
        let (mut lines, mut rest) = (0, Vec::new());
        loop {
            if rest.is_empty() {
                while rest.len() < piece_bytes() {
                    lines += 1;
                    assert!(lines < 5_000_000, "the server keeps everything for a client that does not read");
                    rest.extend(line(lines).into_bytes());
                    rest.push(b'\n');
                }
            }
            match send(client.stream.as_raw_fd(), &rest, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
                Ok(sent) => drop(rest.drain(..sent)),
                Err(Errno::EAGAIN) if !is_writable_soon(&client) => return Self { client, lines, rest },
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(errno) => panic!("the connection broke: {errno}"),
            }
        }
    }
}

impl Flooder {
    /// Sends the rest of the last piece, and reads until each line has its reply, which must be the right one.
    fn read_every_reply(mut self, line: impl Fn(u64) -> String) {
        let mut stream = self.client.stream.try_clone().unwrap();
        let finishing = thread::spawn(move || stream.write_all(&self.rest).unwrap());
        let (mut answered, mut last_id) = (BTreeSet::new(), 0);
        while (answered.len() as u64) < self.lines {
            let reply = self.client.line();
            if reply.starts_with("HELP ") {
                continue;
            }
            let n = if reply.starts_with("OK ") { line_of("OK", &reply) } else { line_of("ACK", &reply) };
            assert_eq!(reply.starts_with("OK "), line(n).starts_with('/'), "{reply:?}");
            assert!(answered.insert(n) && n <= self.lines, "a second reply: {reply:?}");
            if reply.starts_with("ACK ") {
                assert!(id_of(&reply) > last_id, "messages of one priority stay in order");
                last_id = id_of(&reply);
            }
        }
        finishing.join().unwrap();
        assert_eq!(self.client.ask("/ping"), format!("OK {}", self.lines + 1));
    }
}

fn is_writable_soon(client: &Client) -> bool {
    let mut fds = [PollFd::new(client.stream.as_fd(), PollFlags::POLLOUT)];
    poll(&mut fds, PollTimeout::try_from(STUCK).unwrap()).unwrap() == 1
}

fn message(n: u64) -> String {
    format!("message {n}")
}

/// Mostly messages, and sometimes a command with a long answer.
fn message_or_question(n: u64) -> String {
    if n.is_multiple_of(100) { "/help".to_string() } else { message(n) }
}

#[test]
fn flooding_client_that_does_not_read_delays_no_other_and_later_gets_every_reply() {
    let bounded = Bounded::start(&["--write-timeout", "off"]);
    // A long answer waits for more room than a reply needs, so the two floods get stuck in different ways.
    for line in [message, message_or_question] {
        let client = bounded.server.connect();
        let mut other = bounded.server.connect();
        let flooder = thread::scope(|scope| {
            let flooding = scope.spawn(|| Flooder::flood(client, line));
            while !flooding.is_finished() {
                id_of(&other.ask("in the flood"));
            }
            flooding.join().unwrap()
        });
        id_of(&other.ask("beside the flood"));
        id_of(&bounded.server.connect().ask("a new client"));
        flooder.read_every_reply(line);
    }
    bounded.assert_unharmed();
}

/// What the server sent to a subscriber.
#[derive(Default)]
struct Received {
    ids: Vec<u64>,
    lost: u64,
    /// Lines that are neither `MSG` nor `LOST`.
    others: Vec<String>,
}

impl Received {
    fn take(&mut self, line: String) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["MSG", id, ..] => self.ids.push(id.parse().unwrap()),
            ["LOST", count] => self.lost += count.parse::<u64>().unwrap(),
            _ => self.others.push(line),
        }
    }

    fn accounted(&self) -> u64 {
        self.ids.len() as u64 + self.lost
    }
}

/// A subscriber, which will not read.
fn join(server: &Server) -> Client {
    let mut client = server.connect();
    assert_eq!(client.ask("/join"), "OK 1");
    client
}

/// Sends as many messages as may be outstanding, each as long as possible, and waits for their ACKs.
fn send_round(sender: &mut Client) {
    sender.send(format!("{}\n", "m".repeat(TEXT_BYTES)).repeat(IN_FLIGHT));
    expect_acks(sender, IN_FLIGHT);
}

/// Sends until a whole round is lost for the subscriber; returns how many messages that took.
fn send_until_all_is_lost(sender: &mut Client) -> u64 {
    let round = IN_FLIGHT as u64;
    for rounds in 1..10_000 {
        let lost = sender.stats()["msgs-lost"];
        send_round(sender);
        if sender.stats()["msgs-lost"] == lost + round {
            return rounds * round;
        }
    }
    panic!("the server keeps everything for a subscriber that does not read");
}

#[test]
fn subscriber_that_does_not_read_delays_no_sender_and_is_told_what_it_lost() {
    let bounded = Bounded::start(&["--write-timeout", "off"]);
    let mut reader = join(&bounded.server);
    let mut sender = bounded.server.connect();
    let sent = send_until_all_is_lost(&mut sender);

    let mut received = Received::default();
    while received.accounted() < sent {
        received.take(reader.line());
    }
    assert_eq!(received.accounted(), sent);
    assert!(received.ids.is_sorted_by(|a, b| a < b), "messages come in their order");
    assert_eq!(received.others, Vec::<String>::new());
    let stats = sender.stats();
    assert_eq!((stats["msgs-sent"], stats["msgs-lost"]), (received.ids.len() as u64, received.lost));
    // A subscriber that reads again loses nothing more.
    id_of(&sender.ask("again"));
    assert!(reader.line().ends_with(" again"));
    assert!(reader.ask("/ping").starts_with("OK "));
    drop((reader, sender));
    bounded.assert_unharmed();
}

#[test]
fn subscriber_that_reads_loses_nothing_of_the_largest_batch() {
    deliver_largest_batch(command());
}

/// The first send of each thread takes a quarter of a second, as if the scheduler did not run the thread. The consumer
/// delivers while the subscriber's worker is held in its first send.
#[cfg(feature = "strace")]
#[test]
fn subscriber_that_reads_loses_nothing_while_its_worker_is_held_in_a_send() {
    let how =
        ["-D", "-f", "-o", "/dev/null", "-e", "trace=sendto", "-e", "inject=sendto:delay_exit=250000:when=1"];
    deliver_largest_batch(under_strace(&how, &command()));
}

/// Delivers more to a subscriber at once than its outbox can hold; the subscriber reads everything.
fn deliver_largest_batch(command: Command) {
    let (server, mut printed) = start_with_unread_output(command);
    let (mut reader, mut senders) = (server.connect(), [server.connect(), server.connect()]);
    let line = format!("{}\n", "b".repeat(TEXT_BYTES));
    senders.iter_mut().for_each(|sender| sender.send(line.repeat(IN_FLIGHT)));
    let all = senders.len() * IN_FLIGHT;
    server.wait_for_stats("all messages wait", |stats| stats["admitted"] == all as u64);
    assert_eq!(reader.ask("/join"), "OK 1");

    thread::spawn(move || std::io::copy(&mut printed, &mut std::io::sink()));
    let mut received = Received::default();
    while received.ids.last() != Some(&(all as u64)) {
        received.take(reader.line());
        assert_eq!(received.lost, 0, "though it has read all there was");
    }
    assert!(received.ids.is_sorted_by(|a, b| a + 1 == *b), "{:?}", received.ids);
    senders.iter_mut().for_each(|sender| expect_acks(sender, IN_FLIGHT));
}

#[test]
fn client_without_progress_is_closed_with_the_reason() {
    let bounded = Bounded::start(&["--write-timeout", "0.5"]);
    let mut other = bounded.server.connect();
    let mut client = bounded.server.connect();
    // Short requests with long answers: the client has nothing more to send, so it is not reset while it sends.
    const PAIRS: u64 = 5_000;
    client.send("message\n/help\n".repeat(PAIRS as usize));
    bounded.server.wait_for_log("disconnected: too slow");
    id_of(&other.ask("still served"));

    let lines = client.rest();
    assert_eq!(lines.last().unwrap(), "ERR 0 too-slow");
    let mut answered = BTreeSet::new();
    for line in lines[..lines.len() - 1].iter().filter(|line| !line.starts_with("HELP ")) {
        let n = if line.starts_with("OK") { line_of("OK", line) } else { line_of("ACK", line) };
        assert!(answered.insert(n), "a second reply: {line:?}");
        assert_eq!(line.starts_with("OK"), n.is_multiple_of(2), "{line:?}");
    }
    assert!((answered.len() as u64) < 2 * PAIRS);
    drop((client, other));
    bounded.assert_unharmed();
}

#[test]
fn client_that_reads_slowly_is_not_closed() {
    // The kernel reports a socket as writable when a third of its buffer is read. That is 40 kB, for which this
    // reader takes longer than the time-out.
    const TIMEOUT: Duration = Duration::from_secs(8);
    const BYTES_PER_MS: usize = 3;
    let server = Server::start(&["--write-timeout", &TIMEOUT.as_secs().to_string()]);
    let mut client = server.connect_reading_little();
    const QUESTIONS: usize = 1_000;
    client.send("/help\n".repeat(QUESTIONS));
    let (begin, mut bytes, mut ended) = (Instant::now(), Vec::new(), false);
    while begin.elapsed() < TIMEOUT * 3 / 2 {
        // After a pause that the machine made, it catches up.
        if bytes.len() > begin.elapsed().as_millis() as usize * BYTES_PER_MS {
            thread::sleep(Duration::from_millis(100));
            continue;
        }
        let mut some = [0; 512];
        let count = client.read(&mut some).expect("the connection is open");
        bytes.extend_from_slice(&some[..count]);
        if count == 0 {
            ended = true;
            break;
        }
    }
    assert!(
        !ended && bytes.len() < 60_000,
        "{} bytes: what was read must not be a third of all",
        bytes.len()
    );
    assert!(!server.log().iter().any(|line| line.contains("too slow")), "the client reads all the time");
    assert_eq!(server.stats()["closed-too-slow"], 0);
}

#[test]
fn subscriber_without_progress_is_closed_and_told_what_it_lost() {
    // Within this time the rounds fill more than the reader's buffers.
    let bounded = Bounded::start(&["--write-timeout", "5"]);
    let mut reader = join(&bounded.server);
    let mut sender = bounded.server.connect();
    eventually("the reader is closed", || {
        send_round(&mut sender);
        bounded.server.log().iter().any(|line| line.contains("disconnected: too slow"))
    });

    let mut received = Received::default();
    reader.rest().into_iter().for_each(|line| received.take(line));
    let stats = sender.stats();
    assert_eq!((stats["msgs-sent"], stats["msgs-lost"]), (received.ids.len() as u64, received.lost));
    assert!(received.lost > 0);
    assert!(received.ids.is_sorted_by(|a, b| a < b), "messages come in their order");
    assert_eq!(received.others, ["ERR 0 too-slow"]);
    drop((reader, sender));
    bounded.assert_unharmed();
}

// ---- A full server --------------------------------------------------------------------------------------------

/// Expects the reason, and then the end, without a reset.
fn expect_full(client: &mut Client) {
    assert_eq!(client.line(), "ERR 0 full all seats are taken; try again later");
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

#[test]
fn full_server_says_so_and_serves_again_when_a_place_is_free() {
    let bounded = Bounded::start(&[]);
    let server = &bounded.server;
    let mut connected: Vec<Client> = (0..CLIENTS).map(|_| served(server)).collect();
    let rejected = connected[0].stats()["clients-turned-away"];

    // As many as linger to be sent the reason; they send lines that the server discards.
    let mut late: Vec<Client> = (0..REJECTED_MAX).map(|_| server.connect()).collect();
    late.iter_mut().for_each(|client| client.send("is anybody there\nhalf a line"));
    late.iter_mut().for_each(expect_full);

    // More than may linger: they have sent nothing, so an early close costs them nothing.
    let mut many: Vec<Client> = (0..3 * REJECTED_MAX).map(|_| server.connect()).collect();
    many.iter_mut().for_each(expect_full);
    for client in &mut connected {
        id_of(&client.ask("not disturbed"));
    }
    let now = connected[0].stats()["clients-turned-away"];
    assert_eq!(now - rejected, 4 * REJECTED_MAX as u64);

    drop(connected.pop());
    id_of(&served(server).ask("in the free place"));
    drop((connected, late, many));
    bounded.assert_unharmed();
}

/// A server that prints to a pipe that nobody reads: the processing thread blocks when the pipe is full.
fn start_with_unread_output(mut command: Command) -> (Server, ChildStdout) {
    command.args(["--listen", "127.0.0.1:0", "--print"]).stdout(Stdio::piped());
    let mut server = Server::start_command(command);
    let printed = server.take_stdout();
    fcntl(&printed, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES as i32)).unwrap();
    (server, printed)
}

#[test]
fn every_client_may_have_all_its_slots_outstanding_at_once() {
    allow_many_connections();
    let (server, mut printed) = start_with_unread_output(command());
    let mut clients = all_clients(&server);
    let (watcher, others) = clients.split_first_mut().unwrap();

    // These fill the pipe, and are more urgent than the rest: so nothing of the rest is processed.
    let plug = format!("/urgent {}\n", "\u{1}".repeat(TEXT_BYTES));
    const { assert!(IN_FLIGHT * 4 * TEXT_BYTES > PIPE_BYTES) };
    others[0].send(plug.repeat(IN_FLIGHT));
    eventually("the plug is admitted", || watcher.stats()["admitted"] == IN_FLIGHT as u64);
    let line = format!("/low {}\n", "x".repeat(TEXT_BYTES));
    others.iter_mut().for_each(|client| client.send(line.repeat(IN_FLIGHT + 1)));
    // One slot stays free for the watcher's commands.
    watcher.send(line.repeat(IN_FLIGHT - 1));
    eventually("all slots are in use", || {
        let stats = watcher.stats();
        stats["admitted"] - stats["processed"] == (CLIENTS * IN_FLIGHT - 1) as u64
    });

    thread::spawn(move || std::io::copy(&mut printed, &mut std::io::sink()));
    expect_acks(watcher, IN_FLIGHT - 1);
    for (index, client) in others.iter_mut().enumerate() {
        let messages = if index == 0 { 2 * IN_FLIGHT + 1 } else { IN_FLIGHT + 1 };
        let mut answered: Vec<u64> = client.lines(messages).iter().map(|line| line_of("ACK", line)).collect();
        answered.sort();
        assert!(answered.into_iter().eq(1..=messages as u64), "each line has one reply");
    }
    drop(clients);
    // A connection without all of its slots would not release its place.
    only_client(&server);
}

// ---- Lines ----------------------------------------------------------------------------------------------------

#[test]
fn lines_of_every_length_around_a_limit_get_one_reply() {
    let bounded = Bounded::start(&[]);
    let mut client = bounded.server.connect();
    let around = |limit: usize| limit - 3..=limit + 3;
    let lengths: BTreeSet<usize> = [0..=3, around(TEXT_BYTES), around(LINE_BYTES_MAX), around(RECEIVE_BYTES)]
        .into_iter()
        .flatten()
        .collect();
    let mut n = 0;
    for prefix in ["", "//", "/urgent ", "/high ", "/low ", "/0 ", "/9 "] {
        for &length in &lengths {
            for end in ["\n", "\r\n"] {
                // After `//`, the second slash belongs to the text.
                let text_bytes = length + usize::from(prefix == "//");
                n += 1;
                client.send(format!("{prefix}{}{end}/ping\n", "t".repeat(length)));
                if prefix.is_empty() && length == 0 {
                    // A blank line counts, and gets no reply.
                } else if text_bytes == 0 {
                    assert_eq!(client.line(), format!("NAK {n} empty"));
                } else if text_bytes > TEXT_BYTES {
                    assert_eq!(client.line(), too_long(n), "{prefix:?} and {length} bytes");
                } else {
                    expect_ack_and_ok(&mut client, n);
                    n += 1;
                    continue;
                }
                n += 1;
                assert_eq!(client.line(), format!("OK {n}"));
            }
        }
    }
    // A command may be as long as a line, and a last line needs no LF.
    for length in around(LINE_BYTES_MAX).chain(around(RECEIVE_BYTES)) {
        let fits = length <= LINE_BYTES_MAX;
        let mut last = bounded.server.connect();
        last.send(format!("{:<length$}\n/urgent {}", "/ping", "t".repeat(length - "/urgent ".len())));
        last.end_sending();
        let replies = last.rest();
        assert_eq!(replies[0], if fits { "OK 1".to_string() } else { too_long(1) }, "{length} bytes");
        assert_eq!(replies.len(), 2);
        if fits { assert_eq!(line_of("ACK", &replies[1]), 2) } else { assert_eq!(replies[1], too_long(2)) }
    }
    drop(client);
    bounded.assert_unharmed();
}

/// Expects the replies to a message and to the `/ping` after it, which may come first.
fn expect_ack_and_ok(client: &mut Client, n: u64) {
    let mut replies = client.lines(2);
    replies.sort();
    assert_eq!((line_of("ACK", &replies[0]), replies[1].clone()), (n, format!("OK {}", n + 1)));
}

#[test]
fn line_of_100_megabytes_is_refused_once_and_the_next_line_is_accepted() {
    let bounded = Bounded::start(&[]);
    let mut client = bounded.server.connect();
    let megabyte = vec![b'y'; 1_000_000];
    (0..100).for_each(|_| client.send(&megabyte));
    client.send("\nnext\n");
    assert_eq!(client.line(), too_long(1));
    assert_eq!(line_of("ACK", &client.line()), 2);
    let mut last = bounded.server.connect();
    (0..3).for_each(|_| last.send(&megabyte));
    last.end_sending();
    assert_eq!(last.rest(), [too_long(1)]);
    drop((client, last));
    bounded.assert_unharmed();
}

#[test]
fn every_byte_is_accepted_and_reaches_others_escaped() {
    let bounded = Bounded::start(&[]);
    let mut reader = join(&bounded.server);
    let mut client = bounded.server.connect();
    let bytes: Vec<u8> = (0..=u8::MAX).filter(|byte| *byte != b'\n').collect();
    let mut lines: Vec<Vec<u8>> = bytes.iter().map(|byte| vec![b'a', *byte, b'z']).collect();
    lines.extend(bytes.iter().filter(|byte| !b"\r/".contains(byte)).map(|byte| vec![*byte]));
    lines.extend(bytes.chunks(TEXT_BYTES - 1).map(|chunk| [b"b", chunk].concat()));
    for (n, line) in (1..).zip(&lines) {
        client.send([line, &b"\n"[..]].concat());
        assert_eq!(line_of("ACK", &client.line()), n);
        // The harness has checked that the line is UTF-8.
        let line_to_others = reader.line();
        assert!(
            line_to_others.starts_with("MSG ") && !line_to_others.contains(char::is_control),
            "{line_to_others:?}"
        );
    }
    drop((reader, client));
    bounded.assert_unharmed();
}

#[test]
fn lines_sent_byte_by_byte_get_the_same_replies() {
    let bounded = Bounded::start(&[]);
    let mut client = bounded.server.connect();
    let too_long = "w".repeat(LINE_BYTES_MAX + 2);
    let script = format!(
        "plain\n\n\r\n/urgent at once\r\n/ping\n/low\n/nothing\n{too_long}\n//text\n/help\n/quiet\n/leave\nlast"
    );
    script.bytes().for_each(|byte| client.send([byte]));
    client.end_sending();
    let mut replies: Vec<(u64, String)> = Vec::new();
    for line in client.rest().iter().filter(|line| !line.starts_with("HELP ")) {
        let words: Vec<&str> = line.split(' ').collect();
        let reason = if words[0] == "ACK" { "" } else { words.get(2).copied().unwrap_or("") };
        replies.push((words[1].parse().unwrap(), format!("{} {reason}", words[0])));
    }
    replies.sort();
    let expected = [
        (1, "ACK "),
        (4, "ACK "),
        (5, "OK "),
        (6, "NAK empty"),
        (7, "ERR unknown-command"),
        (8, "NAK too-long"),
        (9, "ACK "),
        (10, "OK "),
        (11, "ERR unknown-command"),
        (12, "OK "),
        (13, "ACK "),
    ];
    assert_eq!(replies, expected.map(|(n, reply)| (n, reply.to_string())));
    bounded.assert_unharmed();
}

#[test]
fn line_may_be_split_at_any_position() {
    let bounded = Bounded::start(&[]);
    let mut client = bounded.server.connect();
    let mut reader = join(&bounded.server);
    let text = "s".repeat(TEXT_BYTES);
    let line = format!("/urgent {text}\r\n");
    for (round, split) in (0..=line.len()).enumerate() {
        let (first, second) = line.split_at(split);
        let n = 2 * round as u64 + 1;
        // The answer shows that the server has received the first part.
        client.send(format!("/ping\n{first}"));
        let mut replies = client.lines(1);
        client.send(second);
        replies.extend(client.lines(1));
        replies.sort();
        assert_eq!((line_of("ACK", &replies[0]), line_of("OK", &replies[1])), (n + 1, n), "split at {split}");
        assert!(reader.line().ends_with(&format!(" {text}")));
    }
    drop((client, reader));
    bounded.assert_unharmed();
}

// ---- Connections, descriptors, and the end --------------------------------------------------------------------

#[test]
fn ten_thousand_resets_leave_no_trace() {
    const THREADS: usize = 4;
    let bounded = Bounded::start(&[]);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                (0..10_000 / THREADS).for_each(|number| connect_and_reset(&bounded.server, number))
            });
        }
    });
    bounded.assert_unharmed();
}

/// If the server is full for a moment, it closes the connection first.
fn connect_and_reset(server: &Server, number: usize) {
    let mut client = server.connect();
    let (lines, waits) = match number % 10 {
        0 | 1 => (String::new(), false),
        2 | 3 => ("half a li".to_string(), false),
        4 | 5 => ("message\n/join\n/urgent message\n/stats\nhalf a li".to_string(), false),
        6 | 7 => ("message\n".to_string(), true),
        8 => ("/who\n".to_string(), true),
        // More than all buffers hold: an answer is in progress when the connection ends.
        // Only each hundredth client: these take most of the test's time.
        _ if number % 100 == 9 => ("/help\n".repeat(8 * IN_FLIGHT), true),
        _ => ("/help\n".to_string(), true),
    };
    let sent = send(client.stream.as_raw_fd(), lines.as_bytes(), MsgFlags::MSG_NOSIGNAL);
    if waits && sent.is_ok() {
        client.try_line();
    }
    client.reset();
}

#[test]
fn without_descriptors_the_acceptor_pauses_and_later_serves_again() {
    const CONNECTED: usize = 4;
    let bounded = Bounded::start(&[]);
    let server = &bounded.server;
    eventually("all others have left", || server.descriptors() + CLIENTS == bounded.before.descriptors);
    let allowed = allow_descriptors(server, server.descriptors() + CONNECTED);

    let mut connected: Vec<Client> = (0..CONNECTED).map(|_| served(server)).collect();
    let mut waiting: Vec<Client> = (0..CONNECTED).map(|_| server.connect()).collect();
    waiting.iter_mut().for_each(|client| client.send("from the backlog\n"));
    server.wait_for_log("cannot accept a connection");
    let (since, used) = (Instant::now(), server.cpu_time());
    for _ in 0..10 {
        for client in &mut connected {
            id_of(&client.ask("meanwhile"));
        }
        thread::sleep(Duration::from_millis(200));
    }
    let (elapsed, used) = (since.elapsed(), server.cpu_time() - used);
    assert!(used < elapsed / 4, "it used {used:?} of {elapsed:?}");

    drop(connected);
    waiting.iter_mut().for_each(|client| expect_acks(client, 1));
    server.wait_for_log("connections are accepted again");
    drop(waiting);
    allow_descriptors(server, allowed);
    bounded.assert_unharmed();
}

/// Limits the server to `count` descriptors, and returns its limit before.
fn allow_descriptors(server: &Server, count: usize) -> usize {
    let prlimit = |args: &[&str]| {
        let output = Command::new("prlimit").args(["--pid", &server.pid().to_string()]).args(args).output();
        let output = output.expect("prlimit is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let before = prlimit(&["--nofile", "--noheadings", "--output", "SOFT"]);
    prlimit(&[&format!("--nofile={count}:")]);
    before.trim().parse().unwrap()
}

#[test]
fn server_shuts_down_in_time_under_all_these_loads() {
    let server = Server::start(&["--write-timeout", "off", "--drain-timeout", "8"]);
    let _flooders = [
        Flooder::flood(server.connect(), message),
        Flooder::flood(server.connect(), |_| "/help".to_string()),
        Flooder::flood(server.connect(), |n| format!("{}{n}", "x".repeat(LINE_BYTES_MAX + 1))),
    ];
    let _reader = join(&server);
    send_until_all_is_lost(&mut server.connect());
    let mut half = server.connect();
    half.send("whole\nhalf a li");
    id_of(&half.line());
    let mut normal = server.connect();
    id_of(&normal.ask("hello"));

    let since = Instant::now();
    assert_eq!(server.end(), Some(0));
    assert!(since.elapsed() < LIMIT / 2);
    assert_eq!(half.rest().last().unwrap(), "BYE shutting-down");
    assert_eq!(normal.rest(), ["BYE shutting-down"]);
}
