//! From a name to addresses. The system's own `getent` is asked: a static binary cannot load the system's resolver
//! modules, which are what knows `.local` and other names that are not in DNS.

use super::limits::{ADDRESSES_MAX, LOOKUP_MS};
use super::stop::{Stop, Woken};
use crate::client::lookup::Lookup;
use crate::client::shown::described;
use nix::poll::PollFlags;
use std::io::{ErrorKind, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What of the answer is read: more than so many addresses take.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// The addresses of a name, at most [`ADDRESSES_MAX`]. Waits for at most [`LOOKUP_MS`].
///
/// # Errors
/// Why there is none, in one line; also if the process is to end.
pub fn addresses(name: &str, port: u16, stop: &Stop) -> Result<Vec<SocketAddr>, String> {
    let until = Instant::now() + Duration::from_millis(LOOKUP_MS);
    let mut command = Command::new("getent");
    command.args(["--", "ahosts", name]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let found = match command.spawn() {
        Ok(child) => by_getent(child, stop, until).map(|text| parse(&text, port))?,
        Err(error) if error.kind() == ErrorKind::NotFound => by_library(name, port, stop, until)?,
        Err(error) => return Err(format!("{name}: getent cannot be started: {}", described(&error))),
    };
    if found.is_empty() { Err(format!("{name}: it has no address now")) } else { Ok(found) }
}

fn by_getent(mut child: Child, stop: &Stop, until: Instant) -> Result<String, String> {
    let mut answer = String::new();
    let ended = child.stdout.take().ok_or_else(|| "getent has no output".to_string()).and_then(|stdout| {
        // It writes only once it knows.
        wait(stop, stdout.as_fd(), until)?;
        // What it writes afterwards comes at once.
        stdout.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).map_err(|error| described(&error))
    });
    let _ = child.kill();
    let _ = child.wait();
    ended.map(|_| answer)
}

fn wait(stop: &Stop, fd: std::os::fd::BorrowedFd<'_>, until: Instant) -> Result<(), String> {
    match stop.wait(&[(fd, PollFlags::POLLIN)], Some(until)) {
        Woken::Ready => Ok(()),
        Woken::Stop => Err("it is to end".to_string()),
        Woken::Timeout => Err(format!("its name was not resolved within {} s", LOOKUP_MS / 1_000)),
    }
}

/// For a system without `getent`.
fn by_library(name: &str, port: u16, stop: &Stop, until: Instant) -> Result<Vec<SocketAddr>, String> {
    let lookup = Lookup::begin(name, port).map_err(|error| described(&error))?;
    wait(stop, lookup.as_fd(), until)?;
    let found = lookup.poll().unwrap_or_else(|| Ok(Vec::new()));
    found.map(|found| found.into_iter().take(ADDRESSES_MAX).collect()).map_err(|error| described(&error))
}

/// Reads lines such as `10.0.0.7 STREAM name`, of which each address has several.
fn parse(answer: &str, port: u16) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    for word in answer.lines().filter_map(|line| line.split_whitespace().next()) {
        let address =
            word.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, port)).or_else(|_| scoped(word, port));
        if let Ok(address) = address
            && !addresses.contains(&address)
            && addresses.len() < ADDRESSES_MAX
        {
            addresses.push(address);
        }
    }
    addresses
}

/// An address such as `fe80::1%eth0`, which mDNS gives.
fn scoped(word: &str, port: u16) -> Result<SocketAddr, ()> {
    let server = format!("[{word}]:{port}").parse::<crate::client::Servers>().map_err(|_| ())?;
    server.list().first().and_then(|server| server.address()).and_then(Result::ok).ok_or(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_counts_once() {
        let answer = "::1             STREAM localhost\n::1             DGRAM  \n10.0.0.7 STREAM\nnonsense\n10.0.0.7 RAW\n";
        let shown: Vec<_> = parse(answer, 91).iter().map(SocketAddr::to_string).collect();
        assert_eq!(shown, ["[::1]:91", "10.0.0.7:91"]);
        let many: String = (1..100).map(|last| format!("10.0.0.{last} STREAM\n")).collect();
        assert_eq!(parse(&many, 1).len(), ADDRESSES_MAX);
        assert_eq!(parse("fe80::1%lo STREAM x", 5).len(), 1);
    }
}
