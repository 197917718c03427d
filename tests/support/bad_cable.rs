//! A cable that loses, doubles, delays and reorders packets, or carries none in one direction, on any kernel with TUN: a
//! device at each end, and this process between them. Few kernels of small machines have netem; if one has it, the
//! tests of the server use that as well.

#![expect(unsafe_code, reason = "no crate has this request to the kernel")]

use super::hosts::{Host, ip};
use super::random::Random;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Of a thousand packets, how many are lost, and how many come twice.
const LOST_PERMILLE: usize = 50;
const DOUBLED_PERMILLE: usize = 10;
/// Each packet has a random delay of at most this, so packets overtake one another.
const DELAY_MS_MAX: usize = 20;

/// What happened to the packets, in both directions.
#[derive(Default)]
struct Counts {
    passed: AtomicU64,
    lost: AtomicU64,
    overtaken: AtomicU64,
}

/// A direction of the cable.
#[derive(Clone, Copy, Debug)]
pub enum Direction {
    /// From the host to the namespace of the server.
    FromHost,
    ToHost,
}

/// What the threads that carry share with the test.
#[derive(Default)]
struct State {
    counts: Counts,
    /// Whether every packet in this direction is lost.
    is_dead: [AtomicBool; 2],
    is_cut: AtomicBool,
}

/// The cable; it is cut when this is dropped.
pub struct Cable {
    state: Arc<State>,
    carrying: Vec<JoinHandle<()>>,
}

impl Cable {
    /// Connects the host, which must have no cable yet, to the namespace of the calling thread.
    pub fn connect(host: &Host) -> Self {
        let (name, local, peer) = (host.device(), host.server_address(), host.address());
        let here = device(&name, &format!("{local} peer {peer}"));
        let there = host.on(move || device("wire", &format!("{peer} peer {local}")));
        let state = Arc::<State>::default();
        let carry = |direction, from: &File, to: &File| {
            let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            let state = Arc::clone(&state);
            std::thread::spawn(move || carry(direction, from, to, &state))
        };
        let carrying =
            vec![carry(Direction::ToHost, &here, &there), carry(Direction::FromHost, &there, &here)];
        Self { state, carrying }
    }

    /// Some packets must have been lost, and some must have overtaken others.
    pub fn assert_was_bad(&self) {
        let Counts { passed, lost, overtaken } = &self.state.counts;
        let [passed, lost, overtaken] = [passed, lost, overtaken].map(|count| count.load(Ordering::Relaxed));
        assert!(
            lost > passed / 100 && overtaken > passed / 100,
            "{passed} passed, {lost} lost, {overtaken} overtaken"
        );
    }

    /// Starts or stops dropping every packet in that direction.
    pub fn set_dead(&self, direction: Direction, is_dead: bool) {
        self.state.is_dead[direction as usize].store(is_dead, Ordering::Relaxed);
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.state.is_cut.store(true, Ordering::Relaxed);
        self.carrying.drain(..).for_each(|carrying| carrying.join().unwrap());
    }
}

/// A TUN device with that name and these addresses, in the namespace of the calling thread.
fn device(name: &str, addresses: &str) -> File {
    let tun = OpenOptions::new().read(true).write(true).open("/dev/net/tun");
    let tun = tun.expect("this kernel has no TUN devices, which the bad cable needs");
    let mut bytes = [0; libc::IFNAMSIZ];
    for (byte, character) in bytes.iter_mut().zip(name.bytes()) {
        *byte = character as libc::c_char;
    }
    let flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    let request =
        libc::ifreq { ifr_name: bytes, ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: flags } };
    // SAFETY: the descriptor is open, and the kernel reads and writes one ifreq, which outlives the call.
    let result = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF, &request) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    ip(&format!("addr add {addresses} dev {name}"));
    ip(&format!("link set {name} up"));
    tun
}

/// A packet on its way: when it arrives, its number, and its bytes.
type Packet = Reverse<(Instant, u64, Vec<u8>)>;

/// Carries packets in one direction, with losses and delays.
fn carry(direction: Direction, mut from: File, mut to: File, state: &State) {
    let State { counts, is_dead, is_cut } = state;
    let mut random = Random(direction as u64 + 1);
    let (mut under_way, mut number, mut last) = (BinaryHeap::<Packet>::new(), 0, 0);
    let mut buffer = vec![0; 64 * 1024];
    while !is_cut.load(Ordering::Relaxed) {
        if is_readable(&from, under_way.peek()) {
            let bytes = from.read(&mut buffer).unwrap();
            number += 1;
            let is_dead = is_dead[direction as usize].load(Ordering::Relaxed);
            if is_dead || random.below(1_000) < LOST_PERMILLE {
                counts.lost.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            for _ in 0..=usize::from(random.below(1_000) < DOUBLED_PERMILLE) {
                let due = Instant::now() + Duration::from_millis(random.below(DELAY_MS_MAX + 1) as u64);
                under_way.push(Reverse((due, number, buffer[..bytes].to_vec())));
            }
        }
        while under_way.peek().is_some_and(|Reverse((due, ..))| *due <= Instant::now()) {
            let Some(Reverse((_, number, packet))) = under_way.pop() else { break };
            counts.passed.fetch_add(1, Ordering::Relaxed);
            counts.overtaken.fetch_add(u64::from(number < last), Ordering::Relaxed);
            last = number.max(last);
            // A write to a device that is down fails. The packet is lost, though it counts as passed.
            let _ = to.write_all(&packet);
        }
    }
}

/// Waits for a packet, at most until the next one on its way is due.
fn is_readable(from: &File, next: Option<&Packet>) -> bool {
    let until = next.map_or(Duration::from_millis(100), |Reverse((due, ..))| {
        due.saturating_duration_since(Instant::now())
    });
    let mut fds = [PollFd::new(from.as_fd(), PollFlags::POLLIN)];
    let wait_ms = until.as_micros().div_ceil(1_000) as u16;
    poll(&mut fds, PollTimeout::from(wait_ms)).unwrap_or(0) > 0
}
