//! The protocols of the servers: how a message is sent, and how its replies and deliveries are counted.

use firstline::bench_command::protocol::{self, Count, Greeting};

/// The bytes of a message's text.
pub type Text<'a> = &'a [u8];

/// What the load generator must know of a server's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// firstline, and the servers that only echo: a line, and a line back.
    Lines,
    Redis,
    Beanstalkd,
    Mosquitto,
    Nats,
    /// RabbitMQ, by a protocol of text. Only for messages that are answered: see `handled.rs`.
    Stomp,
    /// `ncat --broker`: each line goes to all other clients, and nothing comes back.
    Broker,
}

/// The subject, key or topic of all messages.
const SUBJECT: &str = "q";

/// The subject of urgent messages.
const URGENT: &str = "u";

impl Protocol {
    /// The greeting of a client that sends messages.
    pub fn greet_sender(self) -> Greeting {
        match self {
            Self::Mosquitto => greeting(mqtt_connect(), Count::Bytes(4)),
            // The INFO line of the server, and +OK to the CONNECT.
            Self::Nats => greeting(b"CONNECT {\"verbose\":true}\r\n".to_vec(), Count::Lines(2)),
            Self::Stomp => {
                let connect = "CONNECT\naccept-version:1.2\nlogin:guest\npasscode:guest\n\n\0";
                greeting(connect.into(), Count::Frames(1))
            }
            _ => Greeting::none(),
        }
    }

    /// The greeting of a client that receives messages.
    pub fn greet_reader(self) -> Greeting {
        self.greet_reader_of(SUBJECT)
    }

    /// The greeting of a client that receives urgent messages only.
    pub fn greet_urgent_reader(self) -> Greeting {
        self.greet_reader_of(URGENT)
    }

    fn greet_reader_of(self, subject: &str) -> Greeting {
        match self {
            Self::Lines => greeting(b"/join\n".to_vec(), Count::Lines(1)),
            Self::Redis => greeting(format!("SUBSCRIBE {subject}\r\n").into_bytes(), Count::Lines(6)),
            Self::Mosquitto => {
                greeting([mqtt_connect(), mqtt_subscribe(subject)].concat(), Count::Bytes(4 + 5))
            }
            Self::Nats => {
                // Not verbose: a reader wants only its messages. The PING shows when it is subscribed.
                let commands = format!("CONNECT {{\"verbose\":false}}\r\nSUB {subject} 1\r\nPING\r\n");
                greeting(commands.into_bytes(), Count::Lines(2))
            }
            Self::Beanstalkd | Self::Broker | Self::Stomp => self.greet_sender(),
        }
    }

    /// Appends a message that the server acknowledges; `number` is its number on the connection.
    pub fn message(self, out: &mut Vec<u8>, text: Text<'_>, number: u64) {
        self.message_to(SUBJECT, 1024, out, text, number);
    }

    /// Appends a message of the highest urgency.
    pub fn urgent(self, out: &mut Vec<u8>, text: Text<'_>, number: u64) {
        if self == Self::Lines {
            out.extend_from_slice(b"/urgent ");
        }
        self.message_to(URGENT, 0, out, text, number);
    }

    fn message_to(self, subject: &str, rank: u32, out: &mut Vec<u8>, text: Text<'_>, number: u64) {
        let len = text.len();
        match self {
            Self::Lines | Self::Broker => {
                out.extend_from_slice(text);
                out.push(b'\n');
            }
            Self::Redis => {
                out.extend(format!("*3\r\n$5\r\nLPUSH\r\n$1\r\n{subject}\r\n${len}\r\n").bytes());
                out.extend_from_slice(text);
                out.extend_from_slice(b"\r\n");
            }
            Self::Beanstalkd => {
                out.extend(format!("put {rank} 0 60 {len}\r\n").bytes());
                out.extend_from_slice(text);
                out.extend_from_slice(b"\r\n");
            }
            Self::Mosquitto => mqtt_publish(subject, out, text, number),
            Self::Nats => {
                out.extend(format!("PUB {subject} {len}\r\n").bytes());
                out.extend_from_slice(text);
                out.extend_from_slice(b"\r\n");
            }
            Self::Stomp => unreachable!("handled.rs has its own messages"),
        }
    }

    /// Appends a message that the server sends to the readers.
    pub fn broadcast(self, out: &mut Vec<u8>, text: Text<'_>, number: u64) {
        match self {
            Self::Redis => {
                out.extend(format!("*3\r\n$7\r\nPUBLISH\r\n$1\r\n{SUBJECT}\r\n${}\r\n", text.len()).bytes());
                out.extend_from_slice(text);
                out.extend_from_slice(b"\r\n");
            }
            _ => self.message(out, text, number),
        }
    }

    /// What acknowledges one message.
    pub fn reply(self) -> Count {
        match self {
            Self::Mosquitto => Count::Bytes(4),
            _ => Count::Lines(1),
        }
    }

    /// What one message is for a reader.
    pub fn delivery(self, text_bytes: usize) -> Count {
        match self {
            Self::Lines | Self::Broker | Self::Beanstalkd => Count::Lines(1),
            Self::Stomp => Count::Frames(1),
            Self::Redis => Count::Lines(7),
            Self::Nats => Count::Lines(2),
            Self::Mosquitto => {
                let rest = 2 + SUBJECT.len() + text_bytes;
                Count::Bytes((1 + mqtt_length(rest).len() + rest) as u64)
            }
        }
    }
}

impl protocol::Protocol for Protocol {
    fn greet_sender(&self) -> Greeting {
        Self::greet_sender(*self)
    }

    fn greet_reader(&self) -> Greeting {
        Self::greet_reader(*self)
    }

    fn message(&self, out: &mut Vec<u8>, text: &[u8], number: u64) {
        Self::message(*self, out, text, number);
    }

    fn broadcast(&self, out: &mut Vec<u8>, text: &[u8], number: u64) {
        Self::broadcast(*self, out, text, number);
    }

    fn reply(&self) -> Count {
        Self::reply(*self)
    }

    fn delivery(&self, text_bytes: usize) -> Count {
        Self::delivery(*self, text_bytes)
    }
}

/// What is sent, and what one answer is.
pub fn greeting(send: Vec<u8>, answer: Count) -> Greeting {
    Greeting { send, expect: Some(answer), is_good: |_| true }
}

fn mqtt_connect() -> Vec<u8> {
    // Fixed header, "MQTT", level 4, clean session, keep-alive off, no client ID: the server chooses one.
    vec![0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, 0]
}

fn mqtt_subscribe(subject: &str) -> Vec<u8> {
    let mut packet = vec![0x82, (2 + 2 + subject.len() + 1) as u8, 0, 1, 0, subject.len() as u8];
    packet.extend(subject.bytes());
    packet.push(0);
    packet
}

fn mqtt_publish(subject: &str, out: &mut Vec<u8>, text: Text<'_>, number: u64) {
    out.push(0x32);
    out.extend(mqtt_length(2 + subject.len() + 2 + text.len()));
    out.extend([0, subject.len() as u8]);
    out.extend(subject.bytes());
    // Packet identifiers are 1 to 65535.
    out.extend(((number % 65_535) as u16 + 1).to_be_bytes());
    out.extend_from_slice(text);
}

/// The remaining length, seven bits a byte.
fn mqtt_length(mut length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let more = length >= 128;
        bytes.push((length % 128) as u8 | if more { 0x80 } else { 0 });
        length /= 128;
        if !more {
            return bytes;
        }
    }
}
