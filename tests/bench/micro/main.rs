//! The cost of single steps of a message's way: framing and parsing, admission and picking, escaping, the outbox.
//!
//! `tests/bench/run --micro`

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use firstline::hub::egress::buffer::Buffer;
use firstline::hub::egress::outbox::Outbox;
use firstline::limits::{IN_FLIGHT, MSG_BYTES_MAX, RECEIVE_BYTES, SEND_BYTES_MAX};
use firstline::protocol::Priority;
use firstline::protocol::command::Request;
use firstline::protocol::framing::Framer;
use firstline::protocol::reply;
use firstline::queue::{Chain, Order, Run, Slot, Slots, Waiting};

fn main() {
    divan::main();
}

/// Lines of 64 bytes, as many as one receive may bring.
fn lines() -> Vec<u8> {
    let line = [b"/7 ".as_slice(), &[b'x'; 61], b"\n"].concat();
    line.repeat(RECEIVE_BYTES / line.len())
}

#[divan::bench]
fn frame_and_parse(bencher: Bencher) {
    let lines = lines();
    let count = lines.len() / 65;
    let framer = Framer::<RECEIVE_BYTES>::new(Box::leak(Box::new([0; RECEIVE_BYTES])));
    let framer = std::cell::RefCell::new(framer);
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        let mut framer = framer.borrow_mut();
        framer.free()[..lines.len()].copy_from_slice(&lines);
        framer.commit(lines.len());
        while let Some(frame) = framer.next() {
            black_box(Request::from(frame));
        }
    });
}

/// A message that is a run of its own.
struct Single(u64);

impl Run for Single {
    fn len(&self) -> usize {
        1
    }
}

/// One admission and one pick while `DEPTH` messages wait, each a run of its own.
#[divan::bench(consts = [64, 1024, 4096, 16384, 65536])]
fn admit_and_pick<const DEPTH: usize>(bencher: Bencher) {
    let mut waiting: Box<Waiting<Single, DEPTH>> = Box::default();
    waiting.set_order(Order::STRICT);
    let mut number = 0_u64;
    let mut push = |waiting: &mut Waiting<Single, DEPTH>| {
        // Priorities in a scattered order, the same in each run.
        number += 1;
        let priority = Priority::new((number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u8 % 10).unwrap();
        assert!(waiting.push(Single(number), priority, number).is_ok());
    };
    (0..DEPTH - 1).for_each(|_| push(&mut waiting));
    bencher.bench_local(|| {
        push(&mut waiting);
        black_box(waiting.pop(1).map(|picked| picked.item.0));
    });
}

/// Texts that are copied, checked character by character, and escaped byte by byte.
const TEXTS: [(&str, &[u8]); 3] = [
    ("ascii", b"the temperature in the workshop is 21.5 degrees, all is well now"),
    ("german", "im Gewächshaus ist es zu heiß; bitte die Türen öffnen, und lüften".as_bytes()),
    ("binary", &[0xff; 64]),
];

#[divan::bench(args = TEXTS.map(|(name, _)| name))]
fn msg_line(bencher: Bencher, name: &str) {
    let (_, text) = TEXTS.into_iter().find(|text| text.0 == name).expect("the name is in TEXTS");
    let mut batch = heapless::Vec::<u8, MSG_BYTES_MAX>::new();
    bencher.counter(BytesCount::new(text.len())).bench_local(|| {
        batch.clear();
        reply::msg(&mut batch, black_box(1_234_567), Priority::NORMAL, "workshop", text)
    });
}

/// Grants, fills, answers and sends a client's messages.
#[divan::bench]
fn outbox_round(bencher: Bencher) {
    let mut outbox = Outbox::new();
    outbox.attach(Box::leak(Box::new(Buffer::new())));
    for slot in Box::leak(Box::new([const { Slot::EMPTY }; IN_FLIGHT])) {
        outbox.release_slots(Chain::of(slot));
    }
    let (socket, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
    outbox.open(socket.into(), 1);
    let (mut credits, mut chunk) = (Slots::new(), heapless::Vec::<u8, SEND_BYTES_MAX>::new());
    let (mut runs, mut line) = (heapless::Vec::<Chain, IN_FLIGHT>::new(), 1_000);
    bencher.counter(ItemsCount::new(IN_FLIGHT)).bench_local(|| {
        outbox.grant(&mut credits);
        while let Some(slot) = credits.pop() {
            line += 1;
            slot.fill(firstline::conn_id::ConnId::FIRST, line, Priority::NORMAL, b"");
            Chain::append(slot, &mut runs);
        }
        while let Some(run) = runs.pop() {
            let lines = run.lines();
            outbox.reply(run, |out| reply::acks(out, lines, black_box(1_000_000), black_box(false)));
        }
        while outbox.begin_send(&mut chunk).is_some() {
            outbox.end_send(firstline::hub::egress::send_state::Sent::Bytes(chunk.len()), || 1);
        }
    });
}
