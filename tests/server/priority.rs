//! The promise of priority: while the consumer is blocked, the test knows all waiting messages, and compares
//! the complete order of processing with a model.

use crate::support::random::Random;
use crate::support::stuck::{Msg, StuckServer};
use crate::support::{Client, LIMIT, id_of};
use firstline::limits::{AGING_MS_MAX, BATCH, IN_FLIGHT, TEXT_BYTES};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// The senders of a mixture.
const SENDERS: usize = 5;

/// A waiting message. Its text is its index in the order of admission.
struct Sent {
    priority: u8,
    sender: usize,
    /// The number of its line.
    line: u64,
    /// It was admitted between these two moments.
    after: Instant,
    before: Instant,
}

/// A server with a blocked consumer, and the messages that wait behind the plug, in the order of admission.
struct Mixture {
    stuck: StuckServer,
    senders: Vec<Client>,
    sent: Vec<Sent>,
}

impl Mixture {
    fn new(args: &[&str]) -> Self {
        let stuck = StuckServer::start(args);
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
            // One slot stays free for a /ping.
            let burst = burst.min(IN_FLIGHT - 1 - self.lines_of(sender));
            let priorities: Vec<u8> = (0..burst).map(|_| random.below(10) as u8).collect();
            self.send(sender, &priorities);
        }
    }

    fn lines_of(&self, sender: usize) -> usize {
        self.sent.iter().filter(|sent| sent.sender == sender).count()
    }

    /// Unblocks the server, and returns the order in which it printed the waiting messages, as indices in the
    /// order of admission. Checks each line against what was sent, and each ACK against what was printed.
    fn process(&mut self) -> Vec<usize> {
        for sender in 0..SENDERS {
            let line = self.lines_of(sender) + 1;
            assert_eq!(
                self.senders[sender].ask("/ping"),
                format!("OK {line}"),
                "no ACK while the consumer is blocked"
            );
        }
        self.stuck.unplug();
        let names: Vec<String> =
            self.senders.iter().map(|sender| sender.stream.local_addr().unwrap().to_string()).collect();
        let (mut order, mut acks) = (Vec::new(), vec![BTreeMap::new(); SENDERS]);
        for (rank, msg) in self.stuck.printed.msgs(self.sent.len()).into_iter().enumerate() {
            let index: usize = msg.text.parse().unwrap();
            let Sent { priority, sender, line, .. } = self.sent[index];
            let expected =
                Msg { id: rank as u64 + 2, priority, from: names[sender].clone(), text: msg.text.clone() };
            assert_eq!(msg, expected);
            acks[sender].insert(msg.id, format!("ACK {line} {}", msg.id));
            order.push(index);
        }
        for (sender, acks) in self.senders.iter_mut().zip(acks) {
            // The ACKs come in the order of processing, too.
            assert_eq!(sender.lines(acks.len()), acks.into_values().collect::<Vec<_>>());
        }
        assert_eq!(self.stuck.first.line(), "ACK 1 1");
        order
    }

    /// The model without aging: by priority, then by admission.
    fn strict_order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.sent.len()).collect();
        order.sort_by_key(|&index| (9 - self.sent[index].priority, index));
        order
    }

    /// The model of aging, as far as the moments of admission are known exactly: whether the message with index
    /// `a` certainly goes before the one with index `b`.
    fn goes_before(&self, a: usize, b: usize, aging: Duration) -> bool {
        let due = |moment: Instant, index: usize| moment + aging * u32::from(9 - self.sent[index].priority);
        let earlier_and_not_less = a < b && self.sent[a].priority >= self.sent[b].priority;
        earlier_and_not_less || due(self.sent[a].before, a) < due(self.sent[b].after, b)
    }
}

#[test]
fn messages_are_processed_by_priority_and_then_by_admission() {
    for seed in 1..=20 {
        let mut mixture = Mixture::new(&[]);
        mixture.send_some(&mut Random(seed), 30);
        assert_eq!(mixture.process(), mixture.strict_order(), "seed {seed}");
    }
}

#[test]
fn long_aging_time_changes_nothing() {
    let mut mixture = Mixture::new(&["--aging", &AGING_MS_MAX.to_string()]);
    mixture.send_some(&mut Random(21), 30);
    assert_eq!(mixture.process(), mixture.strict_order());
}

#[test]
fn aging_raises_a_message_by_one_priority_for_each_aging_time() {
    let aging = Duration::from_millis(100);
    for seed in 22..=23 {
        let mut mixture = Mixture::new(&["--aging", "100"]);
        let random = &mut Random(seed);
        mixture.send(0, &[0, 9, 5]);
        // The groups are two and a half aging times apart, which no delay of the machine outweighs.
        for _ in 0..3 {
            mixture.send_some(random, 8);
            std::thread::sleep(aging * 5 / 2);
        }
        // Now the very first message, of the lowest priority, is worth more than any new one.
        std::thread::sleep((mixture.sent[0].before + aging * 9).saturating_duration_since(Instant::now()));
        let late = mixture.sent.len();
        mixture.send(1, &[9, 0, 9]);
        mixture.send_some(random, 4);
        let order = mixture.process();
        for (rank, &b) in order.iter().enumerate() {
            let wrong = order[rank + 1..].iter().find(|&&a| mixture.goes_before(a, b, aging));
            assert_eq!(wrong, None, "it came after {b}; seed {seed}, order {order:?}");
        }
        let rank = |index| order.iter().position(|&other| other == index);
        assert!(rank(0) < rank(late), "the oldest is not overtaken by the urgent: {order:?}");
    }
}

/// A text whose printed form is four times as long, after these words. A batch of such texts exceeds the pipe,
/// so the consumer blocks in it until the test reads.
fn long(words: &str) -> String {
    words.to_string() + " " + &"\u{1}".repeat(TEXT_BYTES - words.len() - 1)
}

/// How many clients it takes to fill two batches with all their slots: when one batch is picked, another one waits.
const CLIENTS_FOR_TWO_BATCHES: usize = (2 * BATCH).div_ceil(IN_FLIGHT);

/// Sends `count` messages with that word before them, from as many clients as it takes. The blank lines between
/// them make each a run of its own, so that every batch is full.
fn send_long(stuck: &StuckServer, word: &str, count: usize) -> Vec<Client> {
    let mut clients: Vec<Client> = (0..count.div_ceil(IN_FLIGHT)).map(|_| stuck.server.connect()).collect();
    for number in 0..count {
        clients[number / IN_FLIGHT].send(format!("\n{word} {}\n", long(&number.to_string())));
    }
    clients
}

#[test]
fn urgent_message_waits_for_the_picked_batch_only() {
    let mut stuck = StuckServer::start(&[]);
    let _clients = send_long(&stuck, "/low", 3 * BATCH);
    stuck.wait_for_waiting(3 * BATCH);
    stuck.unplug();
    stuck.wait_for_waiting(2 * BATCH);
    let mut urgent = stuck.server.connect();
    urgent.send("/urgent smoke in the workshop\n");
    stuck.wait_for_waiting(2 * BATCH + 1);
    let msgs = stuck.printed.msgs(3 * BATCH + 1);
    let rank = msgs.iter().position(|msg| msg.priority == 9);
    assert_eq!(rank, Some(BATCH), "exactly one batch of low priority goes before");
    assert_eq!(urgent.line(), format!("ACK 1 {}", 2 + BATCH));
}

#[test]
fn runs_are_picked_whole_and_delay_an_urgent_message_by_one_batch_at_most() {
    // Two of these runs exceed a batch.
    const RUN: usize = BATCH / 2 + 1;
    let mut stuck = StuckServer::start(&[]);
    let mut clients: Vec<Client> = (0..4).map(|_| stuck.server.connect()).collect();
    let texts = |client: usize| (0..RUN).map(move |number| format!("{client}-{number}-"));
    for (client, number) in clients.iter_mut().zip(0..) {
        // The lines are short: the worker receives all of them at once, if nothing comes in between.
        client.send(texts(number).map(|text| format!("/low {text} \n")).collect::<String>());
    }
    stuck.wait_for_waiting(4 * RUN);
    let mut urgent = stuck.server.connect();
    urgent.send("/urgent smoke in the workshop\n");
    stuck.wait_for_waiting(4 * RUN + 1);
    stuck.unplug();
    let msgs = stuck.printed.msgs(4 * RUN + 1);
    assert_eq!(msgs[0].priority, 9, "it was admitted before another batch was picked");
    let mut printed: Vec<&str> = msgs[1..].iter().map(|msg| msg.text.trim_end()).collect();
    // The order of the clients is arbitrary; the messages of each client stay in order.
    printed.sort_by_key(|text| text.split('-').next().map(str::to_string));
    assert!(printed.iter().map(|text| text.to_string()).eq((0..4).flat_map(texts)));
    for (client, number) in clients.iter_mut().zip(0..) {
        let ids = msgs.iter().filter(|msg| msg.text.starts_with(&format!("{number}-"))).map(|msg| msg.id);
        let acks: Vec<String> = ids.zip(1..).map(|(id, line)| format!("ACK {line} {id}")).collect();
        assert_eq!(client.lines(RUN), acks);
    }
}

#[test]
fn no_ack_comes_before_its_message_is_printed() {
    let mut stuck = StuckServer::start(&[]);
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

/// Keeps a batch of urgent messages waiting all the time, behind which one message of low priority waits from
/// the start.
struct UrgentStream {
    stuck: StuckServer,
    clients: Vec<Client>,
    _low: Client,
    /// The message of low priority was admitted before this moment.
    low_before: Instant,
    /// When each urgent message was sent, and by which client.
    sent: HashMap<String, (Instant, usize)>,
}

impl UrgentStream {
    fn new(args: &[&str]) -> Self {
        let stuck = StuckServer::start(args);
        let mut low = stuck.server.connect();
        low.send("/low forgotten\n");
        stuck.wait_for_waiting(1);
        let low_before = Instant::now();
        let clients = (0..CLIENTS_FOR_TWO_BATCHES).map(|_| stuck.server.connect()).collect();
        let mut stream = Self { stuck, clients, _low: low, low_before, sent: HashMap::new() };
        for number in 0..CLIENTS_FOR_TWO_BATCHES * IN_FLIGHT {
            stream.send(number / IN_FLIGHT);
        }
        stream.stuck.wait_for_waiting(1 + CLIENTS_FOR_TWO_BATCHES * IN_FLIGHT);
        stream.stuck.unplug();
        stream
    }

    fn send(&mut self, client: usize) {
        let number = self.sent.len().to_string();
        // The blank line makes each message a run of its own, so that every batch is full.
        let line = format!("\n/urgent {}\n", long(&number));
        self.sent.insert(number, (Instant::now(), client));
        self.clients[client].send(line);
    }

    /// When and by which client a printed message was sent; `None` for the one of low priority.
    fn sent_by(&self, msg: &Msg) -> Option<(Instant, usize)> {
        (msg.text != "forgotten").then(|| self.sent[msg.text.split(' ').next().unwrap()])
    }

    /// Reads the lines of a batch, sends a new urgent message for each one that is acknowledged, and waits
    /// until the new ones are admitted. Returns the batch.
    fn read_batch(&mut self) -> Vec<Msg> {
        let msgs = self.stuck.printed.msgs(BATCH);
        for msg in &msgs {
            if let Some((_, client)) = self.sent_by(msg) {
                assert_eq!(id_of(&self.clients[client].line()), msg.id);
                self.send(client);
            }
        }
        let all = self.sent.len() as u64;
        self.stuck
            .server
            .wait_for_stats("the new messages are admitted", |stats| stats.get("p9-admitted") == Some(&all));
        msgs
    }
}

#[test]
fn without_aging_urgent_messages_starve_low_priority() {
    let mut stream = UrgentStream::new(&[]);
    for _ in 0..6 {
        assert!(stream.read_batch().iter().all(|msg| msg.priority == 9));
    }
    let msgs = stream.stuck.printed.msgs(CLIENTS_FOR_TWO_BATCHES * IN_FLIGHT + 1);
    assert_eq!(msgs.last().unwrap().text, "forgotten");
}

#[test]
fn with_aging_low_priority_waits_no_longer_than_documented() {
    let mut stream = UrgentStream::new(&["--aging", "50"]);
    // From priority 1 to 9.
    let bound = 8 * Duration::from_millis(50);
    let mut before: Vec<Msg> = Vec::new();
    while before.iter().all(|msg| msg.priority == 9) {
        assert!(stream.low_before.elapsed() < LIMIT, "the message starves");
        before.extend(stream.read_batch());
    }
    for msg in before.iter().take_while(|msg| msg.priority == 9) {
        let (sent, _) = stream.sent_by(msg).unwrap();
        assert!(sent < stream.low_before + bound, "sent {:?} after it", sent - stream.low_before);
    }
}
