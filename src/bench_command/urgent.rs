//! The time from an urgent line to its ACK, while others flood the server.

use super::limits::{RECEIVE_BYTES, SILENCE_MAX, URGENT_PAUSE};
use super::load::{Clients, Load, Outcome, connect, read, refusal, text};
use super::protocol::{Counter, Lines, Protocol as _};
use super::trouble::Trouble;
use crate::histogram::Histogram;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The part of the flood in which urgent lines are sent: the flood must not end before the last one is answered.
const PART: f32 = 0.9;

/// The times of urgent lines during `flood`, and the outcome of the flood. After the ACK of one and a pause of
/// [`URGENT_PAUSE`] comes the next.
///
/// # Errors
/// The server goes away, or answers nothing.
///
/// # Panics
/// The thread that floods panics.
pub fn under_flood(address: SocketAddr, lines: &Lines, flood: Load) -> Result<(Histogram, Outcome), Trouble> {
    let mut probe = Probe::connect(address, lines, flood.text_bytes)?;
    let (clients, is_over) = (Clients::connect(address, lines, flood)?, AtomicBool::new(false));
    thread::scope(|scope| {
        let flooding = scope.spawn(|| clients.flood(lines, &is_over));
        let (start, mut latency) = (Instant::now(), Histogram::new());
        let mut ended = Ok(());
        while ended.is_ok() && start.elapsed() < flood.duration.mul_f32(PART) && !flooding.is_finished() {
            ended = probe.time().map(|time| latency.record(time.as_nanos() as u64));
            thread::sleep(URGENT_PAUSE);
        }
        is_over.store(true, Ordering::Relaxed);
        let flooded = flooding.join().expect("the load generator does not panic");
        ended.and(flooded).map(|flooded| (latency, flooded))
    })
}

/// The client that sends urgent lines.
struct Probe {
    stream: TcpStream,
    message: Vec<u8>,
    reply: Counter,
    buffer: Vec<u8>,
}

impl Probe {
    fn connect(address: SocketAddr, lines: &Lines, text_bytes: usize) -> Result<Self, Trouble> {
        let stream = connect(address, &lines.greet_sender())?;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        let mut message = Vec::new();
        lines.urgent(&mut message, &text(text_bytes));
        Ok(Self { stream, message, reply: Counter::new(lines.reply()), buffer: vec![0; RECEIVE_BYTES] })
    }

    /// Sends a message, and returns how long its reply takes.
    fn time(&mut self) -> Result<Duration, Trouble> {
        let start = Instant::now();
        self.stream.write_all(&self.message)?;
        loop {
            let count = read(&mut self.stream, &mut self.buffer)?;
            if count == 0 {
                return Err(refusal(&[]));
            }
            if self.reply.count(&self.buffer[..count]) > 0 {
                return Ok(start.elapsed());
            }
        }
    }
}
