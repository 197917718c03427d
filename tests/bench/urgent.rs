//! The latency of urgent lines while others flood the server.

use crate::load::{Load, connect, text};
use crate::protocol::{Protocol, greeting};
use firstline::bench_command::load::Clients;
use firstline::bench_command::protocol::{Count, Counter, Greeting};
use firstline::histogram::Histogram;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// The pause between two urgent lines.
const PAUSE: Duration = Duration::from_millis(2);

/// A server's most urgent message, and what shows that it got through: firstline's ACK and redis's reply at the
/// sender, beanstalkd's reservation and the deliveries of the others at a reader.
struct Probe {
    sender: TcpStream,
    reader: Option<TcpStream>,
    arrival: Count,
    protocol: Protocol,
    text: Vec<u8>,
}

impl Probe {
    fn new(address: SocketAddr, protocol: Protocol, text_bytes: usize) -> Self {
        let sender = connect(address, &protocol.greet_sender());
        let (reader, arrival) = match protocol {
            Protocol::Lines | Protocol::Broker | Protocol::Redis => (None, Count::Lines(1)),
            // Readers of urgent messages only: they have a tube, a subject or a topic of their own.
            Protocol::Beanstalkd => (Some(connect(address, &watch_urgent())), Count::Lines(2)),
            Protocol::Mosquitto | Protocol::Nats => {
                (Some(connect(address, &protocol.greet_urgent_reader())), protocol.delivery(text_bytes))
            }
            Protocol::Stomp => unreachable!("RabbitMQ only answers"),
        };
        let mut probe = Self { sender, reader, arrival, protocol, text: text(text_bytes) };
        probe.sender.set_nonblocking(false).unwrap();
        probe.reader.iter().for_each(|reader| reader.set_nonblocking(false).unwrap());
        if protocol == Protocol::Beanstalkd {
            probe.sender.write_all(b"use urgent\r\n").unwrap();
            let _ = probe.sender.read(&mut [0; 64]).unwrap();
        }
        probe
    }

    /// The latencies of a message every 2 ms, for that long.
    fn measure_for(&mut self, duration: Duration) -> Histogram {
        let (mut latency, mut buffer, start) = (Histogram::new(), vec![0; 64 * 1024], Instant::now());
        let mut number = 0;
        while start.elapsed() < duration {
            let mut message = Vec::new();
            if self.protocol == Protocol::Beanstalkd {
                // A beanstalkd reader requests each message.
                self.reader.as_mut().unwrap().write_all(b"reserve\r\n").unwrap();
            }
            self.protocol.urgent(&mut message, &self.text, number);
            number += 1;
            latency.record(self.measure(&message, &mut buffer).as_nanos() as u64);
            if self.reader.is_some() {
                drain(&mut self.sender, &mut buffer);
            }
            std::thread::sleep(PAUSE);
        }
        latency
    }

    /// Sends a message, and returns how long it takes to get through.
    fn measure(&mut self, message: &[u8], buffer: &mut [u8]) -> Duration {
        let start = Instant::now();
        self.sender.write_all(message).unwrap();
        let mut counter = Counter::new(self.arrival);
        let from = self.reader.as_mut().unwrap_or(&mut self.sender);
        loop {
            let count = from.read(buffer).expect("the message gets through");
            assert!(count > 0, "the server closed a connection");
            if counter.count(&buffer[..count]) > 0 {
                return start.elapsed();
            }
        }
    }
}

fn watch_urgent() -> Greeting {
    greeting(b"watch urgent\r\nignore default\r\n".to_vec(), Count::Lines(2))
}

/// The latencies of an urgent line every 2 ms, during `flood`.
pub fn under_flood(address: SocketAddr, protocol: Protocol, flood: Load) -> Histogram {
    let mut probe = Probe::new(address, protocol, flood.text_bytes);
    let clients = Clients::connect(address, &protocol, flood).expect("the server accepts");
    let flooding = std::thread::spawn(move || clients.flood(&protocol, &AtomicBool::new(false)));
    let latency = probe.measure_for(flood.duration.mul_f32(0.9));
    flooding.join().unwrap().expect("the server answers");
    latency
}

/// The latencies of an urgent line every 2 ms for `load.duration`, without a flood.
pub fn alone(address: SocketAddr, protocol: Protocol, load: Load) -> Histogram {
    Probe::new(address, protocol, load.text_bytes).measure_for(load.duration)
}

/// Reads the sender's own replies, so that its socket never fills.
fn drain(sender: &mut TcpStream, buffer: &mut [u8]) {
    sender.set_nonblocking(true).unwrap();
    let _ = sender.read(buffer);
    sender.set_nonblocking(false).unwrap();
}
