//! Stands between the bridge and the broker, and notes what is published and what is acknowledged. A message has
//! arrived once its acknowledgement came back, whatever happens to the broker later.

use crate::support::LIMIT;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    pub topic: String,
    pub payload: String,
}

impl Published {
    /// A field of its JSON.
    pub fn field(&self, name: &str) -> serde_json::Value {
        let json: serde_json::Value = serde_json::from_str(&self.payload).expect("it is JSON");
        json[name].clone()
    }

    pub fn is_lost(&self) -> bool {
        self.topic.ends_with("/lost")
    }
}

#[derive(Default)]
struct Seen {
    published: Vec<Published>,
    acknowledged: Vec<Published>,
    most_outstanding: usize,
    connections: usize,
}

/// The tap; it forwards to whatever listens at the broker's address.
pub struct Tap {
    pub address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    faults: Arc<Faults>,
}

/// What it does to the connection.
#[derive(Default)]
struct Faults {
    /// Each acknowledgement waits so long, in ms.
    delay_ms: AtomicU64,
    /// After so many packets the connection is cut; 0 and less: never.
    packets_left: AtomicI64,
    /// A message to a topic with this in it cuts the connection, and is lost.
    cut_on: Mutex<Option<&'static str>>,
    /// Acknowledgements of topics with this in them are kept back.
    kept_back: Mutex<Option<&'static str>>,
}

impl Tap {
    pub fn to(broker: SocketAddr) -> Self {
        Self::at((Ipv4Addr::LOCALHOST, 0).into(), broker)
    }

    /// The same, with its own address.
    pub fn at(address: SocketAddr, broker: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        let faults = Arc::<Faults>::default();
        let (to, with) = (Arc::clone(&seen), Arc::clone(&faults));
        spawn(move || {
            for bridge in listener.incoming().map_while(Result::ok) {
                to.lock().unwrap().connections += 1;
                if let Ok(broker) = TcpStream::connect(broker) {
                    join(bridge, broker, &to, &with);
                }
            }
        });
        Self { address, seen, faults }
    }

    /// Slows the broker down.
    pub fn delay(&self, ms: u64) {
        self.faults.delay_ms.store(ms, Ordering::Relaxed);
    }

    /// From now on keeps back the acknowledgements of topics with that in them; or passes on all.
    pub fn keep_back(&self, part: Option<&'static str>) {
        *self.faults.kept_back.lock().unwrap() = part;
    }

    /// Cuts the connection once, after so many packets of both directions; the last of them is lost.
    pub fn cut_after(&self, packets: usize) {
        self.faults.packets_left.store(packets as i64, Ordering::Relaxed);
    }

    /// From now on, a message to a topic with that in it cuts the connection, and is lost.
    pub fn cut_on(&self, part: &'static str) {
        *self.faults.cut_on.lock().unwrap() = Some(part);
    }

    /// Everything that was published, in its order, also what came twice.
    pub fn published(&self) -> Vec<Published> {
        self.seen.lock().unwrap().published.clone()
    }

    /// Everything that was acknowledged.
    pub fn acknowledged(&self) -> Vec<Published> {
        self.seen.lock().unwrap().acknowledged.clone()
    }

    /// The most messages without an acknowledgement at one time.
    pub fn most_outstanding(&self) -> usize {
        self.seen.lock().unwrap().most_outstanding
    }

    /// How many times the bridge has connected.
    pub fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }

    /// Waits until what was acknowledged is enough.
    pub fn wait(&self, what: &str, is_enough: impl Fn(&[Published]) -> bool) {
        let limit = Instant::now() + 2 * LIMIT;
        while !is_enough(&self.acknowledged()) {
            assert!(Instant::now() < limit, "{what}; acknowledged: {}", self.acknowledged().len());
            sleep(Duration::from_millis(10));
        }
    }
}

fn join(bridge: TcpStream, broker: TcpStream, seen: &Arc<Mutex<Seen>>, faults: &Arc<Faults>) {
    let outstanding = Arc::<Mutex<BTreeMap<u16, Published>>>::default();
    let (from, to) = (bridge.try_clone().unwrap(), broker.try_clone().unwrap());
    let (noted, waiting) = (Arc::clone(seen), Arc::clone(&outstanding));
    let is_5 = AtomicBool::new(true);
    let cutter = Arc::clone(faults);
    spawn(move || {
        copy(from, to, &cutter, |packet| {
            if packet[0] >> 4 == 1 {
                is_5.store(split(packet).1[6] == 5, Ordering::Relaxed);
            }
            if let Some((id, published)) = publish(packet, is_5.load(Ordering::Relaxed)) {
                if cutter.cut_on.lock().unwrap().is_some_and(|part| published.topic.contains(part)) {
                    cutter.packets_left.store(1, Ordering::Relaxed);
                }
                let mut seen = noted.lock().unwrap();
                let mut waiting = waiting.lock().unwrap();
                seen.published.push(published.clone());
                waiting.insert(id, published);
                seen.most_outstanding = seen.most_outstanding.max(waiting.len());
            }
            true
        });
    });
    let (seen, faults) = (Arc::clone(seen), Arc::clone(faults));
    spawn(move || {
        copy(broker, bridge, &faults, |packet| {
            if packet[0] >> 4 != 4 {
                return true;
            }
            sleep(Duration::from_millis(faults.delay_ms.load(Ordering::Relaxed)));
            let (_, body) = split(packet);
            let is_refused = body.get(2).is_some_and(|reason| *reason >= 0x80);
            let published = outstanding.lock().unwrap().remove(&u16::from_be_bytes([body[0], body[1]]));
            let kept_back = *faults.kept_back.lock().unwrap();
            if published.as_ref().zip(kept_back).is_some_and(|(known, part)| known.topic.contains(part)) {
                return false;
            }
            if let Some(published) = published.filter(|_| !is_refused) {
                seen.lock().unwrap().acknowledged.push(published);
            }
            true
        });
    });
}

/// Copies packets until either side ends, and notes each one before it is passed on. Those for which `note` says
/// false are dropped.
fn copy(mut from: TcpStream, mut to: TcpStream, faults: &Faults, mut note: impl FnMut(&[u8]) -> bool) {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    'connection: while let Ok(count @ 1..) = from.read(&mut part) {
        bytes.extend_from_slice(&part[..count]);
        while let Some(length) = whole(&bytes) {
            let packet: Vec<u8> = bytes.drain(..length).collect();
            let is_passed_on = note(&packet);
            let is_cut = faults.packets_left.fetch_sub(1, Ordering::Relaxed) == 1;
            if is_cut || (is_passed_on && to.write_all(&packet).is_err()) {
                break 'connection;
            }
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

/// The length of the first packet, if it is whole.
fn whole(bytes: &[u8]) -> Option<usize> {
    let (mut length, mut at) = (0, 1);
    loop {
        let byte = *bytes.get(at)?;
        length |= usize::from(byte & 127) << (7 * (at - 1));
        at += 1;
        if byte < 128 {
            return (bytes.len() >= at + length).then_some(at + length);
        }
    }
}

/// The flags of a packet, and what follows its length.
fn split(packet: &[u8]) -> (u8, &[u8]) {
    let length = 1 + packet[1..].iter().take_while(|byte| **byte >= 128).count() + 1;
    (packet[0], &packet[length..])
}

/// The number and the content of a message with QoS 1.
fn publish(packet: &[u8], is_5: bool) -> Option<(u16, Published)> {
    let (flags, body) = split(packet);
    if flags >> 4 != 3 || flags & 6 != 2 {
        return None;
    }
    let topic_bytes = usize::from(u16::from_be_bytes([body[0], body[1]]));
    let (topic, rest) = body[2..].split_at(topic_bytes);
    let id = u16::from_be_bytes([rest[0], rest[1]]);
    // Before the payload, MQTT 5 has properties.
    let payload = if is_5 { after_properties(&rest[2..]) } else { &rest[2..] };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some((id, Published { topic: text(topic), payload: text(payload) }))
}

/// What follows the properties at the beginning of these bytes.
fn after_properties(bytes: &[u8]) -> &[u8] {
    let (mut length, mut at) = (0, 0);
    loop {
        let byte = bytes[at];
        length |= usize::from(byte & 127) << (7 * at);
        at += 1;
        if byte < 128 {
            return &bytes[at + length..];
        }
    }
}
