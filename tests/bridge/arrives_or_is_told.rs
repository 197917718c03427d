//! Every acknowledged message arrives, or is told as lost; and one key stands for one message. Ten classes of faults,
//! each with random moments from several seeds: 2, or `BRIDGE_SEEDS` of them.

use crate::broker::Broker;
use crate::process::Process;
use crate::scene::{Scene, check_order};
use crate::support::own_address::own_address;
use crate::support::random::Random;
use crate::support::{Server, eventually, id_of};
use crate::tap::{Published, Tap};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::thread::sleep;
use std::time::Duration;

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    BrokerKilled,
    BrokerFrozen,
    ServerKilled,
    BridgeKilled,
    ConnectionCut,
    AcknowledgementsLate,
    /// The broker is killed, and takes one message at a time.
    ReceiveMaximumOne,
    RightMissing,
    RingTurnedOver,
    TooOld,
}

/// Which broker.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Mosquitto,
    Nats,
}

/// The oldest message that is sent, where messages grow too old, in s.
const AGE_S: u64 = 2;

/// How many seeds.
pub fn seeds() -> u64 {
    std::env::var("BRIDGE_SEEDS").map_or(2, |count| count.parse().expect("BRIDGE_SEEDS is a number"))
}

impl Fault {
    /// Lines for mosquitto, and options of the bridge.
    fn settings(self, scene: &Scene) -> (String, Vec<&'static str>) {
        match self {
            Self::BrokerFrozen | Self::AcknowledgementsLate => (String::new(), vec!["--ack-timeout", "1"]),
            Self::ReceiveMaximumOne => ("max_inflight_messages 1\n".to_string(), vec![]),
            Self::RightMissing => {
                let rights = "topic write firstline/pi/p4\ntopic write firstline/pi/lost\n";
                std::fs::write(scene.path("acl"), rights).unwrap();
                (format!("acl_file {}\n", scene.text("acl")), vec![])
            }
            Self::TooOld => (String::new(), vec!["--max-age", "2"]),
            _ => (String::new(), vec![]),
        }
    }

    /// Why messages may be told as lost. An empty one: none may.
    fn reason(self) -> &'static str {
        match self {
            // What it had written and not acknowledged may be gone.
            Self::ServerKilled => "missing",
            Self::RightMissing => "refused: NotAuthorized",
            Self::RingTurnedOver => "overwritten",
            Self::TooOld => "expired",
            _ => "",
        }
    }
}

/// One run.
struct Run {
    scene: Scene,
    random: Random,
    kind: Kind,
    lines: String,
    args: Vec<&'static str>,
    tap: Tap,
    address: SocketAddr,
    server: Server,
    broker: Option<Broker>,
    bridge: Process,
    /// The texts of all acknowledged messages, by their IDs.
    acknowledged: BTreeMap<u64, String>,
}

impl Run {
    fn new(fault: Fault, kind: Kind, seed: u64) -> Self {
        let scene = Scene::new("arrives");
        let (lines, mut args) = fault.settings(&scene);
        if kind == Kind::Nats {
            args.extend(["--mqtt", "3.1.1"]);
        }
        let address = own_address();
        let tap = Tap::to(address);
        let (server, bridge) = (scene.server(), scene.bridge(tap.address, &args));
        let (random, acknowledged) = (Random(seed), BTreeMap::new());
        let mut run = Self {
            scene,
            random,
            kind,
            lines,
            args,
            tap,
            address,
            server,
            broker: None,
            bridge,
            acknowledged,
        };
        run.start_broker();
        run
    }

    fn start_broker(&mut self) {
        self.broker = Some(match self.kind {
            Kind::Mosquitto => Broker::start(self.address, &self.lines),
            Kind::Nats => Broker::start_nats(self.address, &self.scene.path("nats")),
        });
    }

    fn kill_broker(&mut self) {
        self.broker.take().unwrap().kill();
    }

    /// Sends some messages, some of them urgent.
    fn send(&mut self, count: usize, bytes: usize) -> Vec<String> {
        let mut client = self.server.connect();
        let mut texts = Vec::new();
        for _ in 0..count {
            let text = format!("m{}-{}", self.acknowledged.len(), "x".repeat(bytes));
            let urgent = if self.random.below(4) == 0 { "/urgent " } else { "" };
            let id = id_of(&client.ask(&format!("{urgent}{text}")));
            self.acknowledged.insert(id, text.clone());
            texts.push(text);
        }
        texts
    }

    /// Lets some time pass, at the end of which anything may be going on.
    fn pause(&mut self) {
        sleep(Duration::from_millis(self.random.below(150) as u64));
    }

    fn fail(&mut self, fault: Fault) {
        match fault {
            Fault::BrokerKilled | Fault::ReceiveMaximumOne => {
                self.kill_broker();
                self.send(20, 10);
                self.start_broker();
            }
            Fault::BrokerFrozen => {
                self.broker.as_ref().unwrap().freeze(true);
                let before = self.tap.connections();
                self.send(20, 10);
                eventually("the bridge gives the connection up", || self.tap.connections() > before);
                self.broker.as_ref().unwrap().freeze(false);
            }
            Fault::ServerKilled => {
                self.server.signal("KILL");
                self.server.wait();
                self.server = self.scene.server();
            }
            Fault::BridgeKilled => {
                self.bridge.kill();
                self.send(20, 10);
                self.bridge = self.scene.bridge(self.tap.address, &self.args);
            }
            Fault::ConnectionCut => self.tap.cut_after(1 + self.random.below(60)),
            Fault::AcknowledgementsLate => {
                // As many as may be on their way take more than the time-out.
                self.tap.delay(60 + self.random.below(60) as u64);
                let before = self.tap.connections();
                self.send(40, 10);
                eventually("an acknowledgement is late", || self.tap.connections() > before);
            }
            Fault::RightMissing => {}
            Fault::RingTurnedOver => {
                self.kill_broker();
                // More than the journal holds.
                let count = 4_000 + self.random.below(500);
                self.send(count, 400);
                self.start_broker();
            }
            Fault::TooOld => self.fail_by_age(),
        }
    }

    /// What the bridge has read before it grew too old is told as well as what it has not.
    fn fail_by_age(&mut self) {
        self.kill_broker();
        let count = 20 + self.random.below(60);
        let old = self.send(count, 10);
        sleep(Duration::from_millis(1_000 * AGE_S + 100));
        let before = self.tap.published().len();
        self.start_broker();
        self.send(5, 10);
        self.settle();
        let published = self.tap.published().split_off(before);
        let late: Vec<_> = published.iter().filter(|message| !message.is_lost()).collect();
        assert!(!late.iter().any(|message| old.iter().any(|text| message.field("text") == text.as_str())));
    }

    /// Waits until each message has arrived, or is told.
    fn settle(&self) {
        self.tap.wait("each message arrives or is told", |settled| open(&self.acknowledged, settled) == 0);
    }
}

/// How many messages have neither arrived nor been told.
fn open(acknowledged: &BTreeMap<u64, String>, settled: &[Published]) -> usize {
    let (lost, arrived): (Vec<_>, Vec<_>) = settled.iter().partition(|message| message.is_lost());
    let arrived: BTreeSet<_> = arrived.iter().map(|message| message.field("id").as_u64().unwrap()).collect();
    let told: Vec<_> = lost
        .iter()
        .filter_map(|told| Some(told.field("from").as_u64()?..=told.field("to").as_u64()?))
        .collect();
    let is_open = |id: &&u64| !arrived.contains(*id) && !told.iter().any(|ids| ids.contains(*id));
    acknowledged.keys().filter(is_open).count()
}

/// Each round sends, fails at a random moment, and goes on.
pub fn arrives_or_is_told(fault: Fault, kind: Kind, seed: u64) {
    let mut run = Run::new(fault, kind, seed);
    let rounds = if fault == Fault::RingTurnedOver { 1 } else { 3 };
    for _ in 0..rounds {
        let count = 20 + run.random.below(80);
        run.send(count, 10);
        run.pause();
        run.fail(fault);
        run.pause();
    }
    run.tap.delay(0);
    run.send(20, 10);
    run.settle();
    let settled = run.tap.acknowledged();
    check_order(&run.tap.published());
    for message in settled.iter().filter(|message| !message.is_lost()) {
        let id = message.field("id").as_u64().unwrap();
        let text = run.acknowledged.get(&id);
        assert!(
            text.is_none_or(|text| message.field("text") == text.as_str()),
            "{message:?} is not {text:?}"
        );
    }
    let told: Vec<_> = settled.iter().filter(|message| message.is_lost()).collect();
    assert!(told.iter().all(|told| told.field("reason") == fault.reason()), "seed {seed}: {told:?}");
    let has_loss = matches!(fault, Fault::RightMissing | Fault::RingTurnedOver | Fault::TooOld);
    assert!(!has_loss || !told.is_empty(), "seed {seed}: something was lost");
}

fn for_each_seed(fault: Fault) {
    for seed in 0..seeds() {
        arrives_or_is_told(fault, Kind::Mosquitto, seed);
    }
}

#[test]
fn with_the_broker_killed() {
    for_each_seed(Fault::BrokerKilled);
}

#[test]
fn with_the_broker_frozen() {
    for_each_seed(Fault::BrokerFrozen);
}

#[test]
fn with_the_server_killed() {
    for_each_seed(Fault::ServerKilled);
}

#[test]
fn with_the_bridge_killed() {
    for_each_seed(Fault::BridgeKilled);
}

#[test]
fn with_the_connection_cut_after_any_packet() {
    for_each_seed(Fault::ConnectionCut);
}

#[test]
fn with_acknowledgements_that_come_too_late() {
    for_each_seed(Fault::AcknowledgementsLate);
}

#[test]
fn with_a_receive_maximum_of_one_and_the_broker_killed() {
    for_each_seed(Fault::ReceiveMaximumOne);
}

#[test]
fn without_the_right_to_a_topic() {
    for_each_seed(Fault::RightMissing);
}

#[test]
fn with_the_ring_turned_over_during_an_outage() {
    for_each_seed(Fault::RingTurnedOver);
}

#[test]
fn with_messages_that_grow_too_old() {
    for_each_seed(Fault::TooOld);
}
