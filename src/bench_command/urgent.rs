//! The time from an urgent line to its ACK, while others flood the server.

use super::limits::{RECEIVE_BYTES, SILENCE_MAX, URGENT_PAUSE};
use super::load::{self, Load, connect, text};
use super::protocol::{Counter, Lines, Protocol as _};
use super::trouble::Trouble;
use crate::histogram::Histogram;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Instant;

/// The part of the flood in which urgent lines are sent: the flood must not end before the last one is answered.
const PART: f32 = 0.9;

/// The times of urgent lines, one every [`URGENT_PAUSE`], during `flood`.
///
/// # Errors
/// The server goes away, or answers nothing.
pub fn under_flood(address: SocketAddr, lines: &Lines, flood: Load) -> Result<Histogram, Trouble> {
    let mut stream = connect(address, &lines.greet_sender())?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    let mut message = Vec::new();
    lines.urgent(&mut message, &text(flood.text_bytes));
    thread::scope(|scope| {
        let flooding = scope.spawn(|| load::acknowledge(address, lines, flood));
        let (start, mut latency) = (Instant::now(), Histogram::new());
        while start.elapsed() < flood.duration.mul_f32(PART) && !flooding.is_finished() {
            latency.record(time(&mut stream, &message, lines)?.as_nanos() as u64);
            thread::sleep(URGENT_PAUSE);
        }
        // A thread that panics is an error of this program.
        flooding.join().expect("the load generator does not panic")?;
        Ok(latency)
    })
}

/// Sends a message, and returns how long its reply takes.
fn time(stream: &mut TcpStream, message: &[u8], lines: &Lines) -> Result<std::time::Duration, Trouble> {
    let (start, mut counter, mut buffer) =
        (Instant::now(), Counter::new(lines.reply()), vec![0; RECEIVE_BYTES]);
    stream.write_all(message)?;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Err(Trouble::Closed(String::new())),
            Ok(count) if counter.count(&buffer[..count]) > 0 => return Ok(start.elapsed()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(Trouble::Silent(SILENCE_MAX)),
            Err(error) => return Err(error.into()),
        }
    }
}
