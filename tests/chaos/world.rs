//! What all clients share: where the server is, the books, whether it is over, and how long urgent messages took.

use crate::common::LIMIT;
use crate::common::accounts::{Account, Books, Reply, Speaker, Wrong};
use firstline::histogram::Histogram;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The world of the clients.
pub struct World {
    pub address: SocketAddr,
    /// How many clients the server serves at once.
    pub seats: usize,
    pub write_timeout: Duration,
    pub books: Arc<Books>,
    over: AtomicBool,
    urgent: Mutex<Histogram>,
    wrong: Mutex<Option<Wrong>>,
}

/// How a connection begins.
pub enum Arrival {
    Welcome(Speaker),
    /// The server was full.
    TurnedAway,
}

impl World {
    pub fn new(address: SocketAddr, seats: usize, write_timeout: Duration) -> Self {
        Self {
            address,
            seats,
            write_timeout,
            books: Arc::default(),
            over: AtomicBool::new(false),
            urgent: Mutex::default(),
            wrong: Mutex::default(),
        }
    }

    /// A connection that may be turned away.
    pub fn connect(&self, name: &str) -> Result<Speaker, Wrong> {
        let stream = TcpStream::connect_timeout(&self.address, LIMIT)
            .map_err(|error| format!("{name}: it cannot connect: {error}"))?;
        Ok(Speaker::new(stream, Account::open(&self.books, name)))
    }

    /// A connection that has a seat: it was answered once.
    pub fn arrive(&self, name: &str) -> Result<Arrival, Wrong> {
        let mut speaker = self.connect(name)?;
        let ping = speaker.account.command("/ping");
        if speaker.send(&ping).is_ok() {
            match speaker.next()? {
                Some(Reply::Closed) => return Ok(Arrival::Welcome(speaker)),
                Some(Reply::Other(line)) if line.starts_with("ERR 0 full ") => {}
                Some(reply) => return Err(format!("{name}: {reply:?} where it was to be welcome, or full")),
                // Closed at once: there were too many to tell them why.
                None => {}
            }
        }
        speaker.vanish();
        Ok(Arrival::TurnedAway)
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Clients are to come to their end.
    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Something is wrong: that ends it. The first is what counts.
    pub fn is_wrong(&self, wrong: Wrong) {
        self.wrong.lock().unwrap().get_or_insert(wrong);
        self.end();
    }

    /// What is wrong, if anything.
    pub fn verdict(&self) -> Result<(), Wrong> {
        self.wrong.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    pub fn urgent_took(&self, time: Duration) {
        self.urgent.lock().unwrap().record(time.as_nanos() as u64);
    }

    /// How long urgent messages took since the last time.
    pub fn take_urgent(&self) -> Histogram {
        std::mem::take(&mut self.urgent.lock().unwrap())
    }
}
