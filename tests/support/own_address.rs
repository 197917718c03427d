//! Addresses that only this test process uses.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the ports that the kernel gives to programs that ask for any.
const FIRST_PORT: u16 = 10_000;

/// An address at which no server listens, and none will but the caller's, also while that one is down: the IP address
/// is the test process's own, and no two calls return the same port.
pub fn own_address() -> SocketAddr {
    static NEXT_PORT: AtomicU16 = AtomicU16::new(FIRST_PORT);
    let [.., high, low] = std::process::id().to_be_bytes();
    let ip = Ipv4Addr::new(127, 78, high, low.clamp(1, 254));
    SocketAddr::from((ip, NEXT_PORT.fetch_add(1, Ordering::Relaxed)))
}
