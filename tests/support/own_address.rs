//! Addresses that only this test process uses.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the kernel's default range of ephemeral ports.
const FIRST_PORT: u16 = 20_000;

/// An address for one server of this process. It stays unused while that server is down: the IP address contains the
/// process ID, which has 22 bits at most, and each call returns another port.
pub fn own_address() -> SocketAddr {
    static NEXT_PORT: AtomicU16 = AtomicU16::new(FIRST_PORT);
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let ip = Ipv4Addr::new(127, 64 + high, middle, low);
    SocketAddr::from((ip, NEXT_PORT.fetch_add(1, Ordering::Relaxed)))
}
