//! Resolves names to addresses. It runs the system's `getent`, because a static binary cannot load the system's
//! resolver modules, which resolve `.local` and other names that are not in DNS. If `getent` cannot be started, it
//! calls the C library. Both block, so each lookup runs in a thread of its own.

use super::limits::{ADDRESSES_MAX, GETENT_BYTES_MAX, LOOKUP_MS};
use super::wait::poll_timeout;
use nix::poll::{PollFd, PollFlags, poll};
use std::io::{self, ErrorKind, PipeReader, Read};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// A lookup in progress.
#[derive(Debug)]
pub struct Lookup {
    addresses: Receiver<io::Result<Vec<SocketAddr>>>,
    /// The thread closes the other end when the lookup is over.
    over: PipeReader,
}

impl Lookup {
    /// Starts to look up a name.
    ///
    /// # Errors
    /// No descriptor is left, or the thread cannot be started.
    pub fn begin(name: &str, port: u16) -> io::Result<Self> {
        let (over, closes_at_end) = io::pipe()?;
        let (sender, addresses) = channel();
        let name = name.to_string();
        thread::Builder::new().name("resolver".to_string()).spawn(move || {
            // This fails only if the caller has dropped the lookup.
            let _ = sender.send(resolve(&name, port));
            drop(closes_at_end);
        })?;
        Ok(Self { addresses, over })
    }

    /// The addresses, one or more; `None`: the lookup is still in progress.
    ///
    /// # Errors
    /// The name cannot be resolved, or has no address.
    pub fn poll(&self) -> Option<io::Result<Vec<SocketAddr>>> {
        let found = match self.addresses.try_recv() {
            Ok(found) => found,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => Ok(Vec::new()),
        };
        Some(found.and_then(|addresses| match addresses.is_empty() {
            true => Err(io::Error::other("its name has no address now")),
            false => Ok(addresses),
        }))
    }
}

impl AsFd for Lookup {
    /// Readable when the lookup is over.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.over.as_fd()
    }
}

fn resolve(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let mut getent = Command::new("getent");
    getent.args(["--", "ahosts", name]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    match getent.spawn() {
        Ok(child) => Ok(parse(&output(child, Duration::from_millis(LOOKUP_MS))?, port)),
        // The system has no `getent`, or this process may not run it.
        Err(_) => (name, port).to_socket_addrs().map(|found| found.take(ADDRESSES_MAX).collect()),
    }
}

/// Returns what the program writes until it closes its output, about [`GETENT_BYTES_MAX`] bytes at most, and then kills
/// it. It is an error if that takes longer than `limit`.
fn output(mut child: Child, limit: Duration) -> io::Result<String> {
    let until = Instant::now() + limit;
    let mut bytes = Vec::new();
    let read = child.stdout.take().map_or(Ok(()), |stdout| read_until(stdout, until, &mut bytes));
    let _ = child.kill();
    let _ = child.wait();
    read.map(|()| String::from_utf8_lossy(&bytes).into_owned())
}

fn read_until(mut pipe: impl Read + AsFd, until: Instant, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut part = [0; 1024];
    while bytes.len() < GETENT_BYTES_MAX {
        let mut fds = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
        // After an interruption by a signal, nothing may be readable: the loop checks the time and polls again.
        let ready = poll(&mut fds, poll_timeout(Some(until), Instant::now())).unwrap_or(0);
        if ready == 0 && Instant::now() >= until {
            return Err(io::Error::new(ErrorKind::TimedOut, "its name was not resolved in time"));
        }
        if ready > 0 {
            match pipe.read(&mut part)? {
                0 => return Ok(()),
                count => bytes.extend_from_slice(&part[..count]),
            }
        }
    }
    Ok(())
}

/// Parses lines such as `10.0.0.7 STREAM name`. Each address has several of them.
fn parse(answer: &str, port: u16) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    for word in answer.lines().filter_map(|line| line.split_whitespace().next()) {
        if let Some(address) = address(word, port)
            && !addresses.contains(&address)
            && addresses.len() < ADDRESSES_MAX
        {
            addresses.push(address);
        }
    }
    addresses
}

/// Parses an address, including one with an interface, such as `fe80::1%eth0`, which mDNS can return.
fn address(word: &str, port: u16) -> Option<SocketAddr> {
    if let Ok(ip) = word.parse::<IpAddr>() {
        return Some(SocketAddr::new(ip, port));
    }
    let servers = format!("[{word}]:{port}").parse::<super::address::Servers>().ok()?;
    servers.list().first()?.address()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::PollTimeout;

    fn look_up(name: &str) -> io::Result<Vec<SocketAddr>> {
        let lookup = Lookup::begin(name, 91).unwrap();
        poll(&mut [PollFd::new(lookup.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).unwrap();
        lookup.poll().expect("it is over")
    }

    #[test]
    fn thread_resolves_names() {
        let addresses = look_up("localhost").unwrap();
        assert!(
            addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 91),
            "{addresses:?}"
        );
        assert!(look_up("a..b").is_err());
    }

    #[test]
    fn each_address_counts_once() {
        let answer = "::1             STREAM localhost\n::1             DGRAM  \n10.0.0.7 STREAM\nnonsense\n10.0.0.7 RAW\n";
        let shown: Vec<_> = parse(answer, 91).iter().map(SocketAddr::to_string).collect();
        assert_eq!(shown, ["[::1]:91", "10.0.0.7:91"]);
        let many: String = (1..100).map(|last| format!("10.0.0.{last} STREAM\n")).collect();
        assert_eq!(parse(&many, 1).len(), ADDRESSES_MAX);
        assert_eq!(parse("fe80::1%lo STREAM x", 5).len(), 1);
    }

    fn started(script: &str) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
    }

    #[test]
    fn program_that_writes_without_end_or_hangs_is_ended() {
        let flood =
            output(started("while :; do echo 10.0.0.7 STREAM; done"), Duration::from_secs(60)).unwrap();
        assert!((GETENT_BYTES_MAX..GETENT_BYTES_MAX + 1024).contains(&flood.len()));
        let hung = output(started("echo 10.0.0.7; exec sleep 1000"), Duration::from_millis(50));
        assert_eq!(hung.unwrap_err().kind(), ErrorKind::TimedOut);
    }
}
