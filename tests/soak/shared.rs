//! What all clients share: the server's address, the ledger, whether the soak is over, and the latency of
//! urgent messages.

use crate::support::LIMIT;
use crate::support::accounts::{Account, Ledger, Reply, Speaker, Violation};
use firstline::histogram::Histogram;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The shared state of the clients.
pub struct Shared {
    pub address: SocketAddr,
    /// How many clients the server serves at once.
    pub places: usize,
    pub write_timeout: Duration,
    pub ledger: Arc<Ledger>,
    over: AtomicBool,
    /// How many clients may still send messages for handlers.
    senders: AtomicUsize,
    urgent: Mutex<Histogram>,
    violation: Mutex<Option<Violation>>,
}

/// The result of a connection attempt.
pub enum Arrival {
    Served(Speaker),
    /// The server was full.
    Rejected,
}

impl Shared {
    /// `handled_from`: the least priority that handlers process.
    pub fn new(
        address: SocketAddr,
        places: usize,
        write_timeout: Duration,
        handled_from: Option<u8>,
    ) -> Self {
        Self {
            address,
            places,
            write_timeout,
            ledger: Arc::new(Ledger::with_handlers(handled_from)),
            over: AtomicBool::new(false),
            senders: AtomicUsize::new(0),
            urgent: Mutex::default(),
            violation: Mutex::default(),
        }
    }

    /// A connection that the server may reject.
    pub fn connect(&self, name: &str) -> Result<Speaker, Violation> {
        let stream = TcpStream::connect_timeout(&self.address, LIMIT)
            .map_err(|error| format!("{name}: cannot connect: {error}"))?;
        Ok(Speaker::new(stream, Account::open(&self.ledger, name)))
    }

    /// A connection with a place: one command was answered.
    pub fn arrive(&self, name: &str) -> Result<Arrival, Violation> {
        let mut speaker = self.connect(name)?;
        let ping = speaker.account.command("/ping");
        if speaker.send(&ping).is_ok() {
            match speaker.next()? {
                Some(Reply::Closed) => return Ok(Arrival::Served(speaker)),
                Some(Reply::Other(line)) if line.starts_with("ERR 0 full ") => {}
                Some(reply) => return Err(format!("{name}: {reply:?} in place of OK or full")),
                // Closed at once: too many connections were waiting for the reason.
                None => {}
            }
        }
        speaker.vanish();
        Ok(Arrival::Rejected)
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Tells all clients to end.
    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub fn add_senders(&self, count: usize) {
        self.senders.fetch_add(count, Ordering::Relaxed);
    }

    pub fn sender_has_gone(&self) {
        self.senders.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether a client may still send messages. Reliable handlers stay until then; otherwise each message would wait
    /// for `--handle-wait`.
    pub fn has_senders(&self) -> bool {
        self.senders.load(Ordering::Relaxed) > 0
    }

    /// Records a violation, which ends the soak. The first one counts.
    pub fn report(&self, violation: Violation) {
        self.violation.lock().unwrap().get_or_insert(violation);
        self.end();
    }

    /// The first violation, if there is one.
    pub fn verdict(&self) -> Result<(), Violation> {
        self.violation.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    pub fn urgent_took(&self, time: Duration) {
        self.urgent.lock().unwrap().record(time.as_nanos() as u64);
    }

    /// The latencies of urgent messages since the last call.
    pub fn take_urgent(&self) -> Histogram {
        std::mem::take(&mut self.urgent.lock().unwrap())
    }
}
