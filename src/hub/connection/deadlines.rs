//! Every time-out of a connection: which ones run, and when they expire. Knows no socket and no outbox: the caller
//! says what the connection waits for.

use crate::hub::settings::Settings;
use crate::limits::{
    AUTHENTICATION_MS_MAX, KEY_BYTES_MAX, SHUTDOWN_REST_MS_MAX, TYPED_LINE_TIMEOUTS, TYPIST_KEYS_MIN,
    WRITE_CHECKS,
};

/// A time-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// The server shuts down, and the client does not read the lines after its replies.
    ShutdownRest,
    /// The client does not read.
    TooSlow,
    /// The client shows no token.
    NotAuthenticated,
    /// The client sends nothing.
    Idle,
    /// The client does not end a line.
    Line,
}

/// What a connection waits for. This decides which time-outs run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Waits {
    /// Since when the socket accepts nothing, in nanoseconds, or `None` if it accepts bytes or there is nothing to
    /// send.
    pub stalled_since_ns: Option<u64>,
    /// Whether the server shuts down and the client has all its replies, so that only the rest is left to read.
    pub is_shutdown_rest: bool,
    /// Whether the client still has to show a token.
    pub must_log_in: bool,
    /// Since when the client sends nothing and waits for nothing, in nanoseconds, or `None` if it may be silent.
    pub idle_since_ns: Option<u64>,
}

/// The bytes that the kernel holds for a client whose socket accepts nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Untaken {
    /// Since when the socket accepts nothing, in nanoseconds.
    since_ns: u64,
    /// The time of the last check, in nanoseconds.
    checked_ns: u64,
    /// How many bytes the kernel held at that check.
    bytes: usize,
}

/// The times from which a connection's time-outs run.
pub struct Deadlines {
    /// When the client connected, in nanoseconds.
    arrived_ns: u64,
    /// When the connection stopped taking lines, in nanoseconds, or zero if it takes lines.
    closing_since_ns: u64,
    /// Since when the connection waits for the end of a begun line, in nanoseconds.
    line_since_ns: Option<u64>,
    /// How many receives in a row, apart from ends of lines, have brought a single key: a person types, and the client
    /// program sends each key by itself.
    keys: u8,
    /// When the last key arrived, in nanoseconds.
    key_ns: u64,
    /// The bytes that the kernel holds for the client, while the socket accepts nothing.
    untaken: Option<Untaken>,
    /// When to check the time-outs next, in nanoseconds: no later than the first of them expires.
    check_ns: u64,
}

impl Deadlines {
    /// The deadlines of a client that connected at `arrived_ns`, in nanoseconds.
    pub fn new(arrived_ns: u64) -> Self {
        Self {
            arrived_ns,
            closing_since_ns: 0,
            line_since_ns: None,
            keys: 0,
            key_ns: 0,
            untaken: None,
            check_ns: 0,
        }
    }

    /// Every running time-out, with the time at which it expires, in nanoseconds. Of time-outs that expire at the same
    /// time, the first counts.
    ///
    /// While the socket accepts nothing, the client has to read first: the time-outs for a token and for silence do
    /// not run.
    fn running(&self, waits: &Waits, settings: &Settings) -> [Option<(u64, Timeout)>; 5] {
        let after = |since_ns: Option<u64>, timeout_ns: Option<u64>| Some(since_ns? + timeout_ns?);
        let stalled_ns = waits.stalled_since_ns;
        let is_served = stalled_ns.is_none();
        let authentication_ns = Some(AUTHENTICATION_MS_MAX * 1_000_000);
        let rest_end_ns = (!is_served && waits.is_shutdown_rest).then(|| self.shutdown_rest_end_ns());
        let arrived_ns = (is_served && waits.must_log_in).then_some(self.arrived_ns);
        let idle_since_ns = waits.idle_since_ns.filter(|_| is_served);
        [
            rest_end_ns.map(|ns| (ns, Timeout::ShutdownRest)),
            after(stalled_ns, settings.write_timeout_ns).map(|ns| (ns, Timeout::TooSlow)),
            after(arrived_ns, authentication_ns).map(|ns| (ns, Timeout::NotAuthenticated)),
            after(idle_since_ns, settings.idle_timeout_ns).map(|ns| (ns, Timeout::Idle)),
            self.line_ns(settings).map(|ns| (ns, Timeout::Line)),
        ]
    }

    /// The time-out that expired first, or `None` if none has expired. It ignores the time-out of a line: see
    /// [`is_line_overdue`](Self::is_line_overdue).
    pub fn overdue(&self, waits: &Waits, settings: &Settings, now_ns: u64) -> Option<Timeout> {
        let running = self.running(waits, settings).into_iter().flatten();
        let is_expired = |(end_ns, timeout): &(u64, Timeout)| *end_ns <= now_ns && *timeout != Timeout::Line;
        running.filter(is_expired).min_by_key(|(end_ns, _)| *end_ns).map(|(_, timeout)| timeout)
    }

    /// When to check the time-outs next, in nanoseconds: when one expires, or earlier to see whether the client reads.
    pub fn next_ns(&self, waits: &Waits, settings: &Settings) -> Option<u64> {
        let ends_ns = self.running(waits, settings).into_iter().flatten().map(|(end_ns, _)| end_ns);
        ends_ns.chain(self.read_check_ns(settings)).min()
    }

    /// Sets when to check the time-outs next, in nanoseconds.
    pub fn set_check_ns(&mut self, check_ns: u64) {
        self.check_ns = check_ns;
    }

    /// Whether a time-out may have expired.
    pub fn is_check_due(&self, now_ns: u64) -> bool {
        now_ns >= self.check_ns
    }

    // ---- Reading ---------------------------------------------------------------------------------------

    /// At the beginning of a stall, records how many bytes the kernel holds for the client. `held_bytes` asks the
    /// kernel.
    pub fn note_stall(
        &mut self,
        since_ns: Option<u64>,
        held_bytes: impl FnOnce() -> Option<usize>,
        now_ns: u64,
    ) {
        if self.untaken.map(|untaken| untaken.since_ns) != since_ns {
            let untaken = |since_ns| Some(Untaken { since_ns, checked_ns: now_ns, bytes: held_bytes()? });
            self.untaken = since_ns.and_then(untaken);
        }
    }

    /// Whether the client has read some of the bytes that the kernel holds for it since the last check. The kernel
    /// reports a socket as writable only when a third of its buffer is free. That may take long if the client or the
    /// network is slow.
    pub fn has_progressed(&mut self, held_bytes: impl FnOnce() -> Option<usize>, now_ns: u64) -> bool {
        let Some(then) = self.untaken else { return false };
        let bytes = held_bytes().unwrap_or(then.bytes);
        self.untaken = Some(Untaken { checked_ns: now_ns, bytes, ..then });
        bytes < then.bytes
    }

    /// When to check again whether the client reads, in nanoseconds. At first the client's kernel accepts bytes even
    /// if the client does not read. The first check takes that for progress; this extends the time-out only by the
    /// time until that check.
    fn read_check_ns(&self, settings: &Settings) -> Option<u64> {
        Some(self.untaken?.checked_ns + settings.write_timeout_ns? / WRITE_CHECKS)
    }

    // ---- Lines -----------------------------------------------------------------------------------------

    /// Records that bytes arrived; `ends_line` says whether the last of them ends a line. Returns true if a person
    /// types them: then a key may erase the previous one, and each key extends the time-out of the line.
    pub fn note_keys(&mut self, bytes: usize, ends_line: bool, now_ns: u64) -> bool {
        if bytes <= KEY_BYTES_MAX && !ends_line {
            self.keys = self.keys.saturating_add(1);
            self.key_ns = now_ns;
        } else if bytes > KEY_BYTES_MAX {
            self.keys = 0;
        }
        self.is_typed()
    }

    fn is_typed(&self) -> bool {
        self.keys >= TYPIST_KEYS_MIN
    }

    /// Starts to wait for the end of a line, unless the connection waits for one already.
    pub fn await_line(&mut self, now_ns: u64) {
        self.line_since_ns.get_or_insert(now_ns);
    }

    /// Stops waiting for the end of a line.
    pub fn stop_line(&mut self) {
        self.line_since_ns = None;
    }

    /// Whether the time-out of the begun line has expired.
    pub fn is_line_overdue(&self, settings: &Settings, now_ns: u64) -> bool {
        self.line_ns(settings).is_some_and(|end_ns| end_ns <= now_ns)
    }

    /// When the time-out of the begun line expires, in nanoseconds. Each key of a typed line extends it, up to a bound.
    fn line_ns(&self, settings: &Settings) -> Option<u64> {
        let (since_ns, timeout_ns) = (self.line_since_ns?, settings.line_timeout_ns?);
        if self.is_typed() {
            let end_ns = self.key_ns.max(since_ns) + timeout_ns;
            return Some(end_ns.min(since_ns + TYPED_LINE_TIMEOUTS * timeout_ns));
        }
        Some(since_ns + timeout_ns)
    }

    // ---- The end ---------------------------------------------------------------------------------------

    /// Records that the connection takes no more lines.
    pub fn stop_taking_lines(&mut self, now_ns: u64) {
        self.line_since_ns = None;
        self.closing_since_ns = now_ns;
    }

    /// In a shutdown: until when a client that has all its replies may read the rest, in nanoseconds.
    pub fn shutdown_rest_end_ns(&self) -> u64 {
        self.closing_since_ns + SHUTDOWN_REST_MS_MAX * 1_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use std::time::Duration;

    const SECOND_NS: u64 = 1_000_000_000;

    fn settings() -> Settings {
        let timeout = |seconds| Some(Duration::from_secs(seconds));
        Settings::new(&Options {
            line_timeout: timeout(10),
            idle_timeout: timeout(30),
            write_timeout: timeout(8),
            ..Options::default()
        })
    }

    #[test]
    fn stall_suspends_time_outs_of_silence() {
        let deadlines = Deadlines::new(0);
        let silent = Waits { must_log_in: true, idle_since_ns: Some(0), ..Waits::default() };
        let stalled = Waits { stalled_since_ns: Some(100 * SECOND_NS), ..silent };
        let overdue = |waits, seconds| deadlines.overdue(waits, &settings(), seconds * SECOND_NS);
        assert_eq!(overdue(&silent, 19), None);
        assert_eq!(overdue(&silent, 31), Some(Timeout::NotAuthenticated), "the one that expired first");
        assert_eq!(overdue(&stalled, 107), None);
        assert_eq!(overdue(&stalled, 108), Some(Timeout::TooSlow));
    }

    #[test]
    fn client_with_all_replies_has_less_time_to_read_in_a_shutdown() {
        let mut deadlines = Deadlines::new(0);
        deadlines.stop_taking_lines(10 * SECOND_NS);
        let all = Waits { stalled_since_ns: Some(10 * SECOND_NS), ..Waits::default() };
        let rest = Waits { is_shutdown_rest: true, ..all };
        assert_eq!(deadlines.next_ns(&all, &settings()), Some(18 * SECOND_NS));
        assert_eq!(deadlines.next_ns(&rest, &settings()), Some(deadlines.shutdown_rest_end_ns()));
        assert_eq!(deadlines.overdue(&rest, &settings(), 11 * SECOND_NS), Some(Timeout::ShutdownRest));
    }

    #[test]
    fn keys_extend_the_time_of_a_line_up_to_a_bound() {
        let mut deadlines = Deadlines::new(0);
        deadlines.await_line(0);
        assert!(deadlines.is_line_overdue(&settings(), 10 * SECOND_NS));
        assert_eq!(
            deadlines.overdue(&Waits::default(), &settings(), 10 * SECOND_NS),
            None,
            "is_line_overdue says so"
        );
        assert!(!deadlines.note_keys(1, false, 0), "a line may come in two parts");
        assert!(deadlines.note_keys(1, false, 9 * SECOND_NS));
        assert!(!deadlines.is_line_overdue(&settings(), 10 * SECOND_NS));
        assert!(deadlines.is_line_overdue(&settings(), 19 * SECOND_NS));
        let bound_ns = 10 * SECOND_NS * TYPED_LINE_TIMEOUTS;
        deadlines.note_keys(1, false, bound_ns - 1);
        assert!(!deadlines.is_line_overdue(&settings(), bound_ns - 1));
        assert!(deadlines.is_line_overdue(&settings(), bound_ns));
    }

    #[test]
    fn slow_reader_is_checked_within_the_write_timeout() {
        let mut deadlines = Deadlines::new(0);
        let waits = Waits { stalled_since_ns: Some(0), ..Waits::default() };
        deadlines.note_stall(waits.stalled_since_ns, || Some(1_000), 0);
        assert_eq!(deadlines.next_ns(&waits, &settings()), Some(8 * SECOND_NS / WRITE_CHECKS));
        assert!(!deadlines.has_progressed(|| Some(1_000), SECOND_NS));
        assert!(deadlines.has_progressed(|| Some(999), 2 * SECOND_NS));
        assert!(!deadlines.has_progressed(|| None, 3 * SECOND_NS), "the kernel does not tell");
        deadlines.note_stall(None, || unreachable!("nothing is held"), 3 * SECOND_NS);
        assert!(!deadlines.has_progressed(|| Some(0), 3 * SECOND_NS));
    }
}
