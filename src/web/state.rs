//! The data about the hub, and the events for viewers. The poller's thread writes it, and the server of the page reads
//! it. No thread holds the lock over a system call.

use crate::bridge;
use crate::figures::Figures;
use crate::history::{Columns, History};
use crate::limits::EVENTS_WAITING_MAX;
use crate::messages::{Batch, Messages, Shown};
use hyper::body::Bytes;
use serde::Serialize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::broadcast;

/// An event for viewers, ready to send. Clones share the bytes.
#[derive(Clone, Debug)]
pub struct Event {
    /// Whether it has names or texts. Then it goes only to viewers with the right to read.
    pub is_private: bool,
    /// The lines of `text/event-stream`.
    pub bytes: Bytes,
}

/// A client that is connected to the hub.
#[derive(Clone, Debug, Serialize)]
pub struct Client {
    /// Its name, without control characters.
    pub from: String,
    /// The least priority of its `/join`, if it has joined.
    pub min: Option<u8>,
    /// The time since its last line, in seconds.
    pub idle_s: u64,
}

/// Whether the hub answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Not connected, for this reason.
    Away(String),
    /// It answers.
    Here,
}

/// The data about the hub.
pub struct Known {
    /// Whether the hub answers.
    pub presence: Presence,
    /// When it last began or ceased to answer.
    pub since: Instant,
    /// The counters at the last answer; none while the hub is away.
    pub figures: Option<Arc<Figures>>,
    /// The last hour.
    pub history: History,
    /// The last messages.
    pub messages: Messages,
    /// Whether the hub asks for tokens. Until the hub has answered, this is true.
    pub has_tokens: bool,
    /// Why the hub sends no messages, if it does not.
    pub unread: Option<String>,
    /// The counters of the bridge, or why there are none. `None` if no bridge is configured.
    pub bridge: Option<Result<bridge::Counters, String>>,
}

/// The data about the hub, as threads share it.
pub struct State {
    known: Mutex<Known>,
    events: broadcast::Sender<Event>,
    start: Instant,
    /// How many viewers of live events may read names and texts.
    readers: AtomicUsize,
}

/// Counts a viewer with the right to read until it is dropped.
pub struct Reader(Arc<State>);

#[derive(Serialize)]
struct Stats<'a> {
    at_ms: u64,
    is_here: bool,
    why: Option<&'a str>,
    since_s: u64,
    headroom_s: Option<u64>,
    unread: Option<&'a str>,
    bridge: Option<Bridge<'a>>,
    counters: std::collections::BTreeMap<&'a str, u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Bridge<'a> {
    Here(&'a bridge::Counters),
    Away(&'a str),
}

#[derive(Serialize)]
struct Clients<'a> {
    clients: &'a [Client],
    more: u64,
}

impl State {
    /// A state without data.
    pub fn new() -> Self {
        let known = Known {
            presence: Presence::Away("not connected yet".to_string()),
            since: Instant::now(),
            figures: None,
            history: History::default(),
            messages: Messages::default(),
            has_tokens: true,
            unread: None,
            bridge: None,
        };
        let events = broadcast::Sender::new(EVENTS_WAITING_MAX);
        Self { known: Mutex::new(known), events, start: Instant::now(), readers: AtomicUsize::new(0) }
    }

    /// The data, locked.
    pub fn known(&self) -> MutexGuard<'_, Known> {
        // A panic aborts the program, so no thread sees a poisoned lock.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A receiver of the events from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// The history's clock, in milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// Whether any viewer of live events may read names and texts. If not, the poller need not request them.
    pub fn has_readers(&self) -> bool {
        self.readers.load(Ordering::Relaxed) > 0
    }

    /// Takes the counters, and sends them to all viewers.
    pub fn take_figures(&self, figures: Figures) {
        let now_ms = self.now_ms();
        let point = {
            let mut known = self.known();
            let figures = Arc::new(figures);
            let has_point = known.history.take(now_ms, &figures);
            known.figures = Some(figures);
            if known.presence != Presence::Here {
                (known.presence, known.since) = (Presence::Here, Instant::now());
            }
            has_point.then(|| known.history.columns(false))
        };
        if let Some(point) = point {
            self.tell(false, "point", &point);
        }
        self.tell_stats();
    }

    /// Records that the hub is away. Returns whether that, or its reason, is new.
    pub fn set_away(&self, why: &str) -> bool {
        let is_news = {
            let mut known = self.known();
            if known.presence == Presence::Here {
                known.since = Instant::now();
            }
            let presence = Presence::Away(why.to_string());
            let is_news = known.presence != presence;
            known.presence = presence;
            known.figures = None;
            known.history.interrupt();
            is_news
        };
        self.tell_stats();
        is_news
    }

    /// Sends the counters to all viewers, or that the hub is away.
    pub fn tell_stats(&self) {
        let bytes = event("stats", &self.known().stats(self.now_ms()));
        self.send(Event { is_private: false, bytes });
    }

    /// Sends the list of clients to the viewers with the right to read; `more` is how many others there are.
    pub fn tell_clients(&self, clients: &[Client], more: u64) {
        self.tell(true, "clients", &Clients { clients, more });
    }

    /// Sends the messages since the last call to the viewers with the right to read.
    pub fn tell_messages(&self) {
        let batch: Batch = self.known().messages.take_fresh();
        self.tell(true, "messages", &batch);
    }

    /// The whole history.
    pub fn history(&self) -> Columns {
        self.known().history.columns(true)
    }

    /// The last messages.
    pub fn messages(&self) -> Vec<Shown> {
        self.known().messages.all()
    }

    fn tell(&self, is_private: bool, name: &str, what: &impl Serialize) {
        self.send(Event { is_private, bytes: event(name, what) });
    }

    fn send(&self, event: Event) {
        // This fails if there are no viewers.
        let _ = self.events.send(event);
    }
}

impl Known {
    /// For how long the journal keeps a message at the present rate, in seconds, if that is known.
    pub fn journal_headroom_s(&self) -> Option<u64> {
        self.history.journal_headroom_s(self.figures.as_ref()?.get("journal-capacity-bytes")?)
    }

    fn stats(&self, at_ms: u64) -> Stats<'_> {
        Stats {
            at_ms,
            is_here: self.presence == Presence::Here,
            why: if let Presence::Away(why) = &self.presence { Some(why) } else { None },
            since_s: self.since.elapsed().as_secs(),
            headroom_s: self.journal_headroom_s(),
            unread: self.unread.as_deref(),
            bridge: self.bridge.as_ref().map(|bridge| match bridge {
                Ok(counters) => Bridge::Here(counters),
                Err(why) => Bridge::Away(why),
            }),
            counters: self.figures.as_ref().map(|figures| figures.plain().collect()).unwrap_or_default(),
        }
    }
}

impl Reader {
    /// Counts one more viewer.
    pub fn new(state: &Arc<State>) -> Self {
        state.readers.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(state))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An event of `text/event-stream`. JSON has no line break, so its data is one line.
pub fn event(name: &str, what: &impl Serialize) -> Bytes {
    // This cannot fail: the maps have text or numbers as keys, and no type has a failing implementation.
    let data = serde_json::to_string(what).unwrap_or_default();
    format!("event: {name}\ndata: {data}\n\n").into()
}
