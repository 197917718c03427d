//! Every bound of the server. The values of a board are in `targets/boards/*.toml`. The bounds that follow from them
//! are in the modules below, each with its reason. The compiler checks the invariants between them.
//!
//! This module knows no operating system and no other module. [`crate::budget`] sums up the memory that the bounds
//! need.

mod accepting;
mod connections;
mod dispatch;
mod handling;
mod histograms;
mod journal;
mod lines;
mod log;
mod login;
mod times;

pub use accepting::*;
pub use connections::*;
pub use dispatch::*;
pub use handling::*;
pub use histograms::*;
pub use journal::*;
pub use lines::*;
pub use log::*;
pub use login::*;
pub use times::*;

include!(concat!(env!("OUT_DIR"), "/board.rs"));

/// The highest `--realtime`: above it run only the kernel's own threads, which move others between processors.
pub const REALTIME_PRIORITY_MAX: u32 = 98;

/// The longest datagram to the service manager, in bytes: a short status.
pub const SERVICE_DATAGRAM_BYTES_MAX: usize = 160;

/// How much of a wrong value the error about an option shows, in bytes before they are escaped.
pub const USAGE_GIVEN_BYTES_MAX: usize = 64;

/// Descriptors besides those of clients and workers: standard streams, listeners, signals, log files, rejected and
/// pending connections, one being accepted, one to the service manager, one for the networks of the interfaces, one
/// for their names, and the segments of the journal with their directory, for the writer and for the replay, and once
/// more while each of them reopens them.
pub const DESCRIPTORS_OTHER: usize =
    3 + LISTENERS_MAX + REJECTED_MAX + PENDING_MAX + 10 + 4 * (JOURNAL_SEGMENTS + 1);

const _: () = {
    assert!(CLIENTS <= u16::MAX as usize, "a connection's ID has 16 bits");
    assert!(HANDLERS <= CLIENTS, "a handler is a client");
    assert!(TASKS_MAX <= u16::MAX as usize, "a task's ID has 16 bits");
    assert!(ATTEMPTS_MAX < u8::MAX as usize, "the attempts at a task are counted in 8 bits");
    assert!(
        "/extend ".len() + NUMBER_BYTES_MAX + " ".len() + HANDLER_TEXT_BYTES <= LINE_BYTES_MAX,
        "the text of a handler fits a line"
    );
    assert!(
        OUTBOX_BYTES >= REPLY_ROOM_BYTES + TASK_BYTES_MAX,
        "an empty outbox has room for a task beside the replies"
    );
    assert!(
        TIMEOUT_MS_MIN <= HANDLE_WAIT_MS_DEFAULT
            && HANDLE_WAIT_MS_DEFAULT <= HANDLE_WAIT_MS_MAX
            && TIMEOUT_MS_MIN <= HANDLE_LIMIT_MS_DEFAULT
            && HANDLE_LIMIT_MS_DEFAULT <= HANDLE_LIMIT_MS_MAX
    );
    assert!(IN_FLIGHT <= 64, "more is not tested; the room for replies in an outbox grows with it");
    assert!(BATCH <= 64, "the protocol promises a batch of 64 at most");
    assert!(TIMEOUT_MS_MIN <= DRAIN_TIMEOUT_MS_DEFAULT && DRAIN_TIMEOUT_MS_DEFAULT <= DRAIN_TIMEOUT_MS_MAX);
    assert!(TIMEOUT_MS_MIN <= WRITE_TIMEOUT_MS_DEFAULT && WRITE_TIMEOUT_MS_DEFAULT <= WRITE_TIMEOUT_MS_MAX);
    assert!(ACCEPT_RETRY_MS <= ACCEPT_RETRY_MS_MAX);
    assert!(RATE_PAUSE_MS < RATE_BURST_MS, "a limiter holds what comes in a pause");
    assert!(TIMEOUT_MS_MIN <= LINE_TIMEOUT_MS_DEFAULT && LINE_TIMEOUT_MS_DEFAULT <= LINE_TIMEOUT_MS_MAX);
    assert!(TIMEOUT_MS_MIN <= IDLE_GRACE_MS_DEFAULT && IDLE_GRACE_MS_DEFAULT <= IDLE_GRACE_MS_MAX);
    assert!(TIMEOUT_MS_MIN <= IDLE_TIMEOUT_MS_DEFAULT && IDLE_TIMEOUT_MS_DEFAULT <= IDLE_TIMEOUT_MS_MAX);
    assert!(LOG_FILE_BYTES_MIN <= LOG_FILE_BYTES_DEFAULT && LOG_FILE_BYTES_DEFAULT <= LOG_FILE_BYTES_MAX);
    assert!(
        0 < HISTOGRAM_PRECISION_BITS && HISTOGRAM_PRECISION_BITS < HISTOGRAM_VALUE_BITS,
        "a histogram needs precision bits, and values with more bits"
    );
    assert!(HISTOGRAM_VALUE_BITS < u64::BITS, "a histogram's values have 64 bits");
    let probed_ms = (KEEPALIVE_IDLE_S + KEEPALIVE_PROBES * KEEPALIVE_INTERVAL_S) * 1_000;
    assert!(
        UNANSWERED_MIN as u32 <= KEEPALIVE_PROBES,
        "a connection counts as unanswered before the kernel ends it"
    );
    assert!(probed_ms <= UNACKNOWLEDGED_MS_MAX, "the kernel probes for the longer of the two times");
    assert!(
        (probed_ms + UNACKNOWLEDGED_MS_MAX) / 8 + probed_ms + UNACKNOWLEDGED_MS_MAX <= 90_000,
        "the loss of a board's power is detected within 90 s"
    );
    assert!(WORKERS <= CLIENTS, "a worker without a client would only cost its stack");
    assert!(TEXT_BYTES <= u16::MAX as usize, "the length of a text has 16 bits");
    assert!("/auth ".len() + TOKEN_BYTES_MAX <= LINE_BYTES_MAX, "a token fits a line");
    assert!(
        WRONG_TOKEN_MS <= WRONG_TOKEN_MS_MAX && WRONG_TOKEN_MS_MAX < AUTHENTICATION_MS_MAX,
        "a wrong token gets its reply before the time-out for the login"
    );
    assert!(
        PER_ADDRESS_DEFAULT as u64 * WRONG_TOKEN_MS < AUTHENTICATION_MS_MAX,
        "a client that shares its address with others that try wrong tokens still has time to log in"
    );
    assert!(RECEIVE_BYTES >= LINE_BYTES_MAX + "\r\n".len(), "a whole line must fit the receive buffer");
    assert!(
        OUTBOX_BYTES >= REPLY_ROOM_BYTES + 2 * MSG_BYTES_MAX && REPLAY_ROOM_BYTES < 2 * MSG_BYTES_MAX,
        "an outbox needs its reply room, and room for some MSG lines"
    );
    assert!(
        OUTBOX_BYTES >= REPLY_ROOM_BYTES + ANSWER_LINE_BYTES_MAX,
        "an empty outbox has room for a line of a listing"
    );
    assert!(
        SEGMENT_HEADER_BYTES + JOURNAL_BATCH_BYTES + SEGMENT_MARKS_BYTES
            < JOURNAL_BYTES_MIN as usize / JOURNAL_SEGMENTS,
        "a segment holds a batch"
    );
    assert!(JOURNAL_READ_BYTES >= 2 * RECORD_BYTES_MAX, "a read holds a record wherever it begins");
    assert!(JOURNAL_READ_BYTES >= JOURNAL_PROBE_BYTES, "a probe fits the buffer for a read");
    assert!(REPLAY_BYTES_PER_POLL as usize >= 32 * JOURNAL_PROBE_BYTES, "a binary search fits one poll");
    assert!(
        JOURNAL_BYTES_MAX / JOURNAL_SEGMENTS as u64 / JOURNAL_STRETCH_BYTES as u64 <= 128,
        "the search for the end of a segment takes few looks"
    );
    assert!(
        LOG_ORIGIN_BYTES_MAX < LOG_TEXT_BYTES_MAX / 2,
        "module and line leave most of a log line to its text"
    );
    assert!(
        LOG_BATCH_BYTES >= 4 * LOG_LINE_BYTES_MAX,
        "a batch has room for a jump of the date, an earlier loss, a loss and a record"
    );
    assert!(LOG_FILE_BYTES_MIN / 2 >= LOG_BATCH_BYTES as u64, "a batch must fit a log file");
    assert!(ANSWER_LINE_BYTES_MAX >= "WHO  p9 ".len() + FROM_BYTES_MAX + NUMBER_BYTES_MAX + "\n".len());
};
