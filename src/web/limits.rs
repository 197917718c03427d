//! Every bound of `firstline-web`, each with its reason. Together they keep it below 24 MiB with 50 viewers.

use firstline::client::limits::TEXT_BYTES_MAX;

/// How often the poller asks the hub for its counters, in milliseconds. If the hub answers at once, the page is never
/// much older.
pub const POLL_MS: u64 = 1_000;

/// How long the hub may take to answer before it counts as away, in milliseconds. It answers commands at once, even if
/// many messages wait.
pub const ANSWER_MS_MAX: u64 = 5_000;

/// How often new messages go to the viewers, in milliseconds. A person does not notice the delay, and a flood of
/// messages costs only one event in each interval.
pub const FLUSH_MS: u64 = 200;

/// The most messages of one such event: more than a person can read in that time. If more come, the most urgent and
/// the newest stay, and the page says how many are left out.
pub const FLUSH_MESSAGES_MAX: usize = 25;

/// How many of the last messages are kept for new viewers.
pub const MESSAGES_MAX: usize = 100;

/// How much of a text is kept, in bytes. The text of a message of any board fits, unless it needs much escaping.
pub const SHOWN_TEXT_BYTES_MAX: usize = 1_024;

/// The clients that the page lists; it says how many more there are.
pub const CLIENTS_LISTED_MAX: usize = 200;

/// How many counters of the hub are kept. It has some 500 with all histograms; a newer hub may have more.
pub const STATS_MAX: usize = 1_024;

/// How much of the file of the bridge's counters is read, in bytes. It has some 400.
pub const BRIDGE_BYTES_MAX: u64 = 4 * 1024;

/// How long the bridge may not write its counters before it counts as away, in milliseconds. It writes them every 20 s
/// even if they do not change.
pub const BRIDGE_SILENCE_MS_MAX: u64 = 45_000;

/// The time between two points of the history, in seconds.
pub const POINT_S: u64 = 5;

/// The points of the history: those of an hour.
pub const POINTS_MAX: usize = 60 * 60 / POINT_S as usize;

/// How many events wait for a viewer that reads slowly. If more come, it misses the oldest, and learns how many it
/// missed.
pub const EVENTS_WAITING_MAX: usize = 16;

/// The pieces of the answer of one viewer that wait for its socket.
pub const PIECES_WAITING_MAX: usize = 2;

/// The connections at a time: a browser has two or three for each viewer.
pub const CONNECTIONS_MAX: usize = 192;

/// The connections of one address at a time, so that one host cannot take all places. Loopback addresses have no such
/// bound: a proxy for all viewers may run on this machine.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 48;

/// The viewers that get live events at a time.
pub const VIEWERS_MAX: usize = 64;

/// How long a request's head may take, and how long a connection may be idle, in milliseconds.
pub const HEAD_MS_MAX: u64 = 10_000;

/// How long a request's body may take, in milliseconds.
pub const BODY_MS_MAX: u64 = 10_000;

/// How long a viewer may read nothing while bytes wait for it, in milliseconds.
pub const WRITE_MS_MAX: u64 = 15_000;

/// The longest head of a request, in bytes. A browser sends some hundred bytes for this page; hyper accepts no lower
/// bound.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;

/// The fields of a head.
pub const HEAD_FIELDS_MAX: usize = 64;

/// The longest body: the longest text with every byte encoded as `%NN`, and the names of the fields.
pub const BODY_BYTES_MAX: usize = 3 * TEXT_BYTES_MAX + 512;

/// The size requested for a viewer's send buffer, in bytes: some seconds of events.
pub const SEND_BUFFER_BYTES: u32 = 64 * 1024;

/// Viewers that have shown the token. The oldest session ends when there is another one.
pub const SESSIONS_MAX: usize = 64;

/// How long a session lasts, in seconds: half a day. Then the viewer has to show the token again.
pub const SESSION_S: u64 = 12 * 60 * 60;

/// After a wrong token, the server checks no other token for this time, in milliseconds. So all guessers together have
/// 60 guesses a minute.
pub const WRONG_TOKEN_MS: u64 = 1_000;

/// How long a token waits for its check, in milliseconds. A guesser's tokens may wait before it.
pub const LOGIN_WAIT_MS_MAX: u64 = 10_000;

/// The answers with the history that are being sent at a time. Each has up to 400 kB, and a viewer may read slowly.
pub const HISTORIES_MAX: usize = 24;

/// The messages of viewers that wait for the hub's answer.
pub const SUBMISSIONS_MAX: usize = 32;

/// How long a viewer's request waits for the outcome of its message, in milliseconds. Then the answer is that the
/// outcome is unknown.
pub const SUBMISSION_MS_MAX: u64 = 10_000;

/// The addresses that may be listened on.
pub const LISTENERS_MAX: usize = 8;

/// The names of `--host`.
pub const HOSTS_MAX: usize = 16;

/// The bytes of a host's name: that of DNS (RFC 1035, section 2.3.4).
pub const HOST_BYTES_MAX: usize = 255;

/// The stack of the thread that speaks with the hub, in bytes. It has no deep calls.
pub const POLLER_STACK_BYTES: usize = 256 * 1024;

/// The largest size of the page, in bytes, so that it loads quickly on a slow link.
pub const PAGE_BYTES_MAX: usize = 60_000;

const _: () = {
    assert!(POLL_MS < ANSWER_MS_MAX && FLUSH_MS < POLL_MS);
    assert!(FLUSH_MESSAGES_MAX <= MESSAGES_MAX);
    assert!(VIEWERS_MAX < CONNECTIONS_MAX && CONNECTIONS_PER_ADDRESS_MAX < CONNECTIONS_MAX);
    // All viewers share the events that wait. Even with every byte of every text escaped as JSON, they take less than
    // 3 MB.
    assert!(EVENTS_WAITING_MAX * FLUSH_MESSAGES_MAX * SHOWN_TEXT_BYTES_MAX * 6 < 3 << 20);
};
