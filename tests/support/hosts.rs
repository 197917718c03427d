//! Machines that are network namespaces, with cables to the server's machine.
//!
//! The thread of a test has a namespace of its own, for its server, and so has each host. They end with the test.

use super::LIMIT;
use super::accounts::{Account, Speaker};
use super::mounted::run;
use nix::sched::{CloneFlags, setns, unshare};
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;

/// Gives the calling thread a network namespace of its own, with only a loopback interface.
pub fn enter_new_network() {
    unshare(CloneFlags::CLONE_NEWNET)
        .expect("only root may make namespaces; tests/run says which stages run without");
    ip("link set lo up");
}

/// Runs `ip` in the namespace of the calling thread.
pub fn ip(args: &str) {
    run("ip", &args.split(' ').collect::<Vec<_>>());
}

/// The namespace of the calling thread.
fn own_namespace() -> File {
    File::open("/proc/thread-self/ns/net").unwrap()
}

/// Another machine.
pub struct Host {
    namespace: File,
    number: u8,
}

impl Host {
    /// A machine without a cable; each has its own number.
    pub fn new(number: u8) -> Self {
        let in_its_own = || {
            enter_new_network();
            own_namespace()
        };
        Self { namespace: std::thread::spawn(in_its_own).join().unwrap(), number }
    }

    /// A machine with a cable, which is a pair of veth devices, to the namespace of the calling thread.
    pub fn wired(number: u8) -> Self {
        let host = Self::new(number);
        let (here, there) = (host.device(), "wire");
        let namespace = format!("/proc/{}/fd/{}", std::process::id(), host.namespace.as_raw_fd());
        ip(&format!("link add {here} type veth peer name {there} netns {namespace}"));
        ip(&format!("addr add {}/24 dev {here}", host.server_address()));
        ip(&format!("link set {here} up"));
        let address = host.address();
        host.on(move || {
            ip(&format!("addr add {address}/24 dev {there}"));
            ip(&format!("link set {there} up"));
        });
        host
    }

    /// Runs `what` on that machine.
    pub fn on<T: Send + 'static>(&self, what: impl FnOnce() -> T + Send + 'static) -> T {
        let namespace = self.namespace.try_clone().unwrap();
        let there = move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            what()
        };
        std::thread::spawn(there).join().unwrap()
    }

    /// The server's end of the cable.
    pub fn device(&self) -> String {
        format!("host{}", self.number)
    }

    /// The address of this machine.
    pub fn address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, self.number, 2)
    }

    /// The address of the server's machine, as this one sees it.
    pub fn server_address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, self.number, 1)
    }

    /// Pulls the cable.
    pub fn unplug(&self) {
        ip(&format!("link set {} down", self.device()));
    }

    /// Plugs the cable in again.
    pub fn plug(&self) {
        ip(&format!("link set {} up", self.device()));
    }

    /// Cuts the power of this machine. The server's end of the cable stays up, as behind a switch: nothing
    /// tells the server.
    pub fn lose_power(&self) {
        self.on(|| {
            ip("link set wire arp off");
            ip("addr flush dev wire");
        });
    }

    /// Connects from this machine to that port of the server's machine.
    pub fn speaker(&self, port: u16, account: Account) -> Speaker {
        let address = SocketAddr::from((self.server_address(), port));
        Speaker::new(self.on(move || TcpStream::connect_timeout(&address, LIMIT).unwrap()), account)
    }
}
