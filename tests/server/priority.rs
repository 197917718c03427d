//! The promise of priority, proved: with the consumer stuck the test knows all that waits, and compares the
//! whole order in which it is processed with a model.

use crate::common::random::Random;
use crate::common::stuck::{Msg, Stuck};
use crate::common::{Client, LIMIT, id_of};
use firstline::limits::{AGING_MS_MAX, BATCH, IN_FLIGHT, TEXT_BYTES};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// Senders of a mixture.
const SENDERS: usize = 5;

/// A message that waits. Its text says its place in the order of admission.
struct Sent {
    priority: u8,
    sender: usize,
    /// The number of its line.
    line: u64,
    /// It was admitted between these two.
    after: Instant,
    before: Instant,
}

/// A stuck server and what waits behind the plug, in the order of admission.
struct Mixture {
    stuck: Stuck,
    senders: Vec<Client>,
    sent: Vec<Sent>,
}

impl Mixture {
    fn new(args: &[&str]) -> Self {
        let stuck = Stuck::start(args);
        let senders = (0..SENDERS).map(|_| stuck.server.connect()).collect();
        Self { stuck, senders, sent: Vec::new() }
    }

    /// Sends some lines of one sender, and waits until they are admitted: so the order of admission is known.
    fn send(&mut self, sender: usize, priorities: &[u8]) {
        let mut line = self.lines_of(sender) as u64;
        let mut bytes = String::new();
        let after = Instant::now();
        for &priority in priorities {
            line += 1;
            let word = match priority {
                9 if line.is_multiple_of(2) => "/urgent ".to_string(),
                7 if line.is_multiple_of(2) => "/high ".to_string(),
                4 if line.is_multiple_of(2) => String::new(),
                1 if line.is_multiple_of(2) => "/low ".to_string(),
                digit => format!("/{digit} "),
            };
            bytes += &format!("{word}{}\n", self.sent.len());
            self.sent.push(Sent { priority, sender, line, after, before: after });
        }
        self.senders[sender].send(bytes);
        self.stuck.wait_for_waiting(self.sent.len());
        let (before, count) = (Instant::now(), self.sent.len());
        self.sent[count - priorities.len()..].iter_mut().for_each(|sent| sent.before = before);
    }

    /// Sends a random mixture, in bursts of random senders.
    fn send_some(&mut self, random: &mut Random, bursts: usize) {
        for _ in 0..bursts {
            let (sender, burst) = (random.below(SENDERS), 1 + random.below(8));
            // One slot is left free for a /ping.
            let burst = burst.min(IN_FLIGHT - 1 - self.lines_of(sender));
            let priorities: Vec<u8> = (0..burst).map(|_| random.below(10) as u8).collect();
            self.send(sender, &priorities);
        }
    }

    fn lines_of(&self, sender: usize) -> usize {
        self.sent.iter().filter(|sent| sent.sender == sender).count()
    }

    /// Lets the server go, and returns the order in which it printed what waited, by the places in the order
    /// of admission. Each line says what was sent, and each ACK what was printed.
    fn process(&mut self) -> Vec<usize> {
        for sender in 0..SENDERS {
            let line = self.lines_of(sender) + 1;
            assert_eq!(
                self.senders[sender].ask("/ping"),
                format!("OK {line}"),
                "not acknowledged while stuck"
            );
        }
        self.stuck.unplug();
        let names: Vec<String> =
            self.senders.iter().map(|sender| sender.stream.local_addr().unwrap().to_string()).collect();
        let (mut order, mut acks) = (Vec::new(), vec![BTreeMap::new(); SENDERS]);
        for (rank, msg) in self.stuck.printed.msgs(self.sent.len()).into_iter().enumerate() {
            let place: usize = msg.text.parse().unwrap();
            let Sent { priority, sender, line, .. } = self.sent[place];
            let expected =
                Msg { id: rank as u64 + 2, priority, from: names[sender].clone(), text: msg.text.clone() };
            assert_eq!(msg, expected);
            acks[sender].insert(msg.id, format!("ACK {line} {}", msg.id));
            order.push(place);
        }
        for (sender, acks) in self.senders.iter_mut().zip(acks) {
            // In the order of processing, too.
            assert_eq!(sender.lines(acks.len()), acks.into_values().collect::<Vec<_>>());
        }
        assert_eq!(self.stuck.first.line(), "ACK 1 1");
        order
    }

    /// The model of the order without aging: the priority, then the order of admission.
    fn strict_order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.sent.len()).collect();
        order.sort_by_key(|&place| (9 - self.sent[place].priority, place));
        order
    }

    /// The model of aging, as far as it is certain when exactly a message was admitted: whether the one at
    /// place `a` goes before the one at place `b`.
    fn goes_before(&self, a: usize, b: usize, aging: Duration) -> bool {
        let worth = |moment: Instant, place: usize| moment + aging * u32::from(9 - self.sent[place].priority);
        let earlier_and_not_less = a < b && self.sent[a].priority >= self.sent[b].priority;
        earlier_and_not_less || worth(self.sent[a].before, a) < worth(self.sent[b].after, b)
    }
}

#[test]
fn what_waits_is_processed_by_priority_and_then_in_the_order_of_admission() {
    for seed in 1..=20 {
        let mut mixture = Mixture::new(&[]);
        mixture.send_some(&mut Random(seed), 30);
        assert_eq!(mixture.process(), mixture.strict_order(), "seed {seed}");
    }
}

#[test]
fn aging_that_takes_longer_than_all_have_waited_changes_nothing() {
    let mut mixture = Mixture::new(&["--aging", &AGING_MS_MAX.to_string()]);
    mixture.send_some(&mut Random(21), 30);
    assert_eq!(mixture.process(), mixture.strict_order());
}

#[test]
fn with_aging_a_message_counts_one_priority_higher_for_every_such_time_that_it_has_waited() {
    let aging = Duration::from_millis(100);
    for seed in 22..=23 {
        let mut mixture = Mixture::new(&["--aging", "100"]);
        let random = &mut Random(seed);
        mixture.send(0, &[0, 9, 5]);
        // At two and a half agings after another, groups differ by what no one's noise makes up for.
        for _ in 0..3 {
            mixture.send_some(random, 8);
            std::thread::sleep(aging * 5 / 2);
        }
        // Now the very first, of the least priority, is worth more than whatever comes.
        std::thread::sleep((mixture.sent[0].before + aging * 9).saturating_duration_since(Instant::now()));
        let late = mixture.sent.len();
        mixture.send(1, &[9, 0, 9]);
        mixture.send_some(random, 4);
        let order = mixture.process();
        for (rank, &b) in order.iter().enumerate() {
            let wrong = order[rank + 1..].iter().find(|&&a| mixture.goes_before(a, b, aging));
            assert_eq!(wrong, None, "it came after {b}; seed {seed}, the order {order:?}");
        }
        let rank = |place| order.iter().position(|&other| other == place);
        assert!(rank(0) < rank(late), "the oldest is not overtaken by the urgent: {order:?}");
    }
}

/// A text that is printed four times as long as it is, with these words before: a batch of them is more than
/// the pipe holds, so that the consumer is stuck in it until the test has read it.
fn long(words: &str) -> String {
    words.to_string() + " " + &"\u{1}".repeat(TEXT_BYTES - words.len() - 1)
}

/// Clients that each have all of their slots taken, together two batches: so when one batch of them is
/// picked, another is waiting.
const TIDE: usize = (2 * BATCH).div_ceil(IN_FLIGHT);

/// Sends so many messages with that word before, from as many clients as it takes. The blank lines between make each a
/// run of its own, so that every batch is full.
fn send_long(stuck: &Stuck, word: &str, count: usize) -> Vec<Client> {
    let mut clients: Vec<Client> = (0..count.div_ceil(IN_FLIGHT)).map(|_| stuck.server.connect()).collect();
    for number in 0..count {
        clients[number / IN_FLIGHT].send(format!("\n{word} {}\n", long(&number.to_string())));
    }
    clients
}

#[test]
fn an_urgent_message_waits_behind_exactly_the_one_batch_that_was_picked_before() {
    let mut stuck = Stuck::start(&[]);
    let _clients = send_long(&stuck, "/low", 3 * BATCH);
    stuck.wait_for_waiting(3 * BATCH);
    stuck.unplug();
    stuck.wait_for_waiting(2 * BATCH);
    let mut urgent = stuck.server.connect();
    urgent.send("/urgent smoke in the workshop\n");
    stuck.wait_for_waiting(2 * BATCH + 1);
    let msgs = stuck.printed.msgs(3 * BATCH + 1);
    let rank = msgs.iter().position(|msg| msg.priority == 9);
    assert_eq!(rank, Some(BATCH), "so many of low priority went before");
    assert_eq!(urgent.line(), format!("ACK 1 {}", 2 + BATCH));
}

#[test]
fn runs_are_picked_whole_and_an_urgent_message_waits_behind_one_batch_of_them_at_most() {
    // Two of these runs are more than a batch.
    const RUN: usize = BATCH / 2 + 1;
    let mut stuck = Stuck::start(&[]);
    let mut clients: Vec<Client> = (0..4).map(|_| stuck.server.connect()).collect();
    let texts = |client: usize| (0..RUN).map(move |number| format!("{client}-{number}-"));
    for (client, number) in clients.iter_mut().zip(0..) {
        // Short ones: all of them are received at once, if nothing comes in between.
        client.send(texts(number).map(|text| format!("/low {text} \n")).collect::<String>());
    }
    stuck.wait_for_waiting(4 * RUN);
    let mut urgent = stuck.server.connect();
    urgent.send("/urgent smoke in the workshop\n");
    stuck.wait_for_waiting(4 * RUN + 1);
    stuck.unplug();
    let msgs = stuck.printed.msgs(4 * RUN + 1);
    assert_eq!(msgs[0].priority, 9, "it was admitted before anything else was picked");
    let mut printed: Vec<&str> = msgs[1..].iter().map(|msg| msg.text.trim_end()).collect();
    // Clients are heard in any order, each one's messages in theirs.
    printed.sort_by_key(|text| text.split('-').next().map(str::to_string));
    assert!(printed.iter().map(|text| text.to_string()).eq((0..4).flat_map(texts)));
    for (client, number) in clients.iter_mut().zip(0..) {
        let ids = msgs.iter().filter(|msg| msg.text.starts_with(&format!("{number}-"))).map(|msg| msg.id);
        let acks: Vec<String> = ids.zip(1..).map(|(id, line)| format!("ACK {line} {id}")).collect();
        assert_eq!(client.lines(RUN), acks);
    }
}

#[test]
fn no_acknowledgement_comes_before_its_line_is_printed() {
    let mut stuck = Stuck::start(&[]);
    let (mut clients, count) = ([stuck.server.connect(), stuck.server.connect()], 2 * (IN_FLIGHT - 1));
    for client in &mut clients {
        (1..IN_FLIGHT).for_each(|number| client.send(long(&number.to_string()) + "\n"));
    }
    stuck.wait_for_waiting(count);
    stuck.unplug();
    let mut read = 0;
    while read < count {
        let lines: Vec<String> = (0..8.min(count - read)).map(|_| stuck.printed.line()).collect();
        read += lines.len();
        let printed_max = 1 + read + stuck.printed.ahead() / lines[0].len() + 1;
        for client in &mut clients {
            client.send("/ping\n");
            while let ack = client.line()
                && !ack.starts_with("OK ")
            {
                assert!(id_of(&ack) <= printed_max as u64, "{ack} and only {read} lines are read");
            }
        }
    }
    stuck.server.wait_for_stats("all are processed", |stats| stats["processed"] == 1 + count as u64);
}

/// Keeps urgent messages coming, so that a batch of them always waits, and one of low priority from the
/// beginning.
struct Tide {
    stuck: Stuck,
    clients: Vec<Client>,
    _low: Client,
    /// The one of low priority was admitted before that.
    low_before: Instant,
    /// For each urgent message, when it was sent, and by whom.
    sent: HashMap<String, (Instant, usize)>,
}

impl Tide {
    fn new(args: &[&str]) -> Self {
        let stuck = Stuck::start(args);
        let mut low = stuck.server.connect();
        low.send("/low forgotten\n");
        stuck.wait_for_waiting(1);
        let low_before = Instant::now();
        let clients = (0..TIDE).map(|_| stuck.server.connect()).collect();
        let mut tide = Self { stuck, clients, _low: low, low_before, sent: HashMap::new() };
        for number in 0..TIDE * IN_FLIGHT {
            tide.send(number / IN_FLIGHT);
        }
        tide.stuck.wait_for_waiting(1 + TIDE * IN_FLIGHT);
        tide.stuck.unplug();
        tide
    }

    fn send(&mut self, client: usize) {
        let number = self.sent.len().to_string();
        // The blank line makes each a run of its own: so every batch is full.
        let line = format!("\n/urgent {}\n", long(&number));
        self.sent.insert(number, (Instant::now(), client));
        self.clients[client].send(line);
    }

    /// When a printed message was sent and by whom; none: it is the one of low priority.
    fn find(&self, msg: &Msg) -> Option<(Instant, usize)> {
        (msg.text != "forgotten").then(|| self.sent[msg.text.split(' ').next().unwrap()])
    }

    /// Takes the lines of a batch, and for each urgent one that is acknowledged sends another, and waits
    /// until those wait. Returns the batch.
    fn turn(&mut self) -> Vec<Msg> {
        let msgs = self.stuck.printed.msgs(BATCH);
        for msg in &msgs {
            if let Some((_, client)) = self.find(msg) {
                assert_eq!(id_of(&self.clients[client].line()), msg.id);
                self.send(client);
            }
        }
        let all = self.sent.len() as u64;
        self.stuck.server.wait_for_stats("the tide is in", |stats| stats["p9-admitted"] == all);
        msgs
    }
}

#[test]
fn without_aging_low_priority_waits_for_as_long_as_urgent_messages_come() {
    let mut tide = Tide::new(&[]);
    for _ in 0..6 {
        assert!(tide.turn().iter().all(|msg| msg.priority == 9));
    }
    let msgs = tide.stuck.printed.msgs(TIDE * IN_FLIGHT + 1);
    assert_eq!(msgs.last().unwrap().text, "forgotten");
}

#[test]
fn with_aging_low_priority_waits_no_longer_than_is_documented_whatever_comes() {
    let mut tide = Tide::new(&["--aging", "50"]);
    // From priority 1 to 9.
    let bound = 8 * Duration::from_millis(50);
    let mut before: Vec<Msg> = Vec::new();
    while before.iter().all(|msg| msg.priority == 9) {
        assert!(tide.low_before.elapsed() < LIMIT, "it starves");
        before.extend(tide.turn());
    }
    for msg in before.iter().take_while(|msg| msg.priority == 9) {
        let (sent, _) = tide.find(msg).unwrap();
        assert!(sent < tide.low_before + bound, "sent {:?} after it", sent - tide.low_before);
    }
}
