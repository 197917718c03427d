//! The load generator of `firstline bench`, for servers that this program starts itself: a server that goes away ends it.

use crate::protocol::Protocol;
use firstline::bench_command::load;
use firstline::bench_command::protocol::{Counter, Greeting};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

pub use load::{Load, Outcome, text};

/// Connects, and exchanges the protocol's greeting.
pub fn connect(address: SocketAddr, greeting: &Greeting) -> TcpStream {
    load::connect(address, greeting).expect("the server accepts")
}

/// Waits until a message is acknowledged: a server may accept connections before it has created its files.
pub fn await_ready(address: SocketAddr, protocol: Protocol) {
    let mut stream = connect(address, &protocol.greet_sender());
    stream.set_nonblocking(false).unwrap();
    let (mut message, mut reply, mut buffer) = (Vec::new(), Counter::new(protocol.reply()), [0; 1024]);
    protocol.message(&mut message, b"ready?", 0);
    stream.write_all(&message).unwrap();
    loop {
        let count = stream.read(&mut buffer).expect("an answer");
        assert!(count > 0, "the server closed a connection");
        if reply.count(&buffer[..count]) > 0 {
            return;
        }
    }
}

/// Keeps `load.in_flight` messages in flight on each connection for `load.duration`.
pub fn acknowledge(address: SocketAddr, protocol: Protocol, load: Load) -> Outcome {
    load::acknowledge(address, &protocol, load).expect("the server answers")
}

/// One sender keeps `load.in_flight` messages in flight to `load.connections` readers.
pub fn fan_out(address: SocketAddr, protocol: Protocol, load: Load) -> Outcome {
    load::fan_out(address, &protocol, load).expect("the server answers")
}
