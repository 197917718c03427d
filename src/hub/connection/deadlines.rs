//! Every time-out of a connection: which ones run, and when they end. Knows no socket and no outbox: it is told what
//! the connection waits for.

use crate::hub::settings::Settings;
use crate::limits::{
    AUTHENTICATION_MS_MAX, KEY_BYTES_MAX, TYPED_LINE_TIMEOUTS, TYPIST_KEYS_MIN, UNOWED_MS_MAX, WRITE_LOOKS,
};

/// A time-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// The server ends, and the client does not read what is left after its replies.
    Unowed,
    /// The client does not read.
    TooSlow,
    /// The client shows no token.
    NotAuthenticated,
    /// The client says nothing.
    Idle,
    /// The client does not end a line.
    Line,
}

/// What a connection waits for: it decides which time-outs run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Waits {
    /// Since when the socket takes nothing, in nanoseconds; none: it does, or nothing is to be sent.
    pub stalled_since_ns: Option<u64>,
    /// Whether the server ends, and the client has all its replies.
    pub is_unowed: bool,
    /// Whether the client has to show a token, and has not.
    pub must_log_in: bool,
    /// Since when the client says nothing and waits for nothing, in nanoseconds; none: it need not speak.
    pub idle_since_ns: Option<u64>,
}

/// What the kernel holds for a client whose socket takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Untaken {
    /// Since when it takes no more, in nanoseconds.
    since_ns: u64,
    /// When that was looked at last, in nanoseconds.
    looked_ns: u64,
    /// How many bytes the kernel held then.
    bytes: usize,
}

/// The times from which a connection's time-outs run.
pub struct Deadlines {
    /// When the client connected, in nanoseconds.
    arrived_ns: u64,
    /// When the connection stopped taking lines, in nanoseconds; zero: it has not.
    parted_ns: u64,
    /// Since when the end of a line that has begun is waited for, in nanoseconds.
    line_since_ns: Option<u64>,
    /// How many receives in a row have brought a single key, but for ends of lines: a person types, and each key is
    /// sent by itself.
    keys: u8,
    /// When the last of them came, in nanoseconds.
    key_ns: u64,
    /// What the client's socket has not taken, while it takes no more.
    untaken: Option<Untaken>,
    /// When time-outs are looked at next, in nanoseconds: no later than the first of them ends.
    look_ns: u64,
}

impl Deadlines {
    /// The deadlines of a client that connected at that time, in nanoseconds.
    pub fn new(arrived_ns: u64) -> Self {
        Self { arrived_ns, parted_ns: 0, line_since_ns: None, keys: 0, key_ns: 0, untaken: None, look_ns: 0 }
    }

    /// Every time-out that runs: when it ends, in nanoseconds. Of those that end at the same time, the first counts.
    ///
    /// While the socket takes nothing, the client has to read first: it need not show a token and may be silent.
    fn running(&self, waits: &Waits, settings: &Settings) -> [Option<(u64, Timeout)>; 5] {
        let after = |since_ns: Option<u64>, timeout_ns: Option<u64>| Some(since_ns? + timeout_ns?);
        let stalled_ns = waits.stalled_since_ns;
        let is_served = stalled_ns.is_none();
        let authentication_ns = Some(AUTHENTICATION_MS_MAX * 1_000_000);
        let unowed_ns = (!is_served && waits.is_unowed).then(|| self.unowed_until_ns());
        let arrived_ns = (is_served && waits.must_log_in).then_some(self.arrived_ns);
        let idle_since_ns = waits.idle_since_ns.filter(|_| is_served);
        [
            unowed_ns.map(|ns| (ns, Timeout::Unowed)),
            after(stalled_ns, settings.write_timeout_ns).map(|ns| (ns, Timeout::TooSlow)),
            after(arrived_ns, authentication_ns).map(|ns| (ns, Timeout::NotAuthenticated)),
            after(idle_since_ns, settings.idle_timeout_ns).map(|ns| (ns, Timeout::Idle)),
            self.line_ns(settings).map(|ns| (ns, Timeout::Line)),
        ]
    }

    /// The time-out that is over, if one is; but for that of a line, for which see
    /// [`is_line_overdue`](Self::is_line_overdue).
    pub fn overdue(&self, waits: &Waits, settings: &Settings, now_ns: u64) -> Option<Timeout> {
        let running = self.running(waits, settings).into_iter().flatten();
        let is_over = |(end_ns, timeout): &(u64, Timeout)| *end_ns <= now_ns && *timeout != Timeout::Line;
        running.filter(is_over).min_by_key(|(end_ns, _)| *end_ns).map(|(_, timeout)| timeout)
    }

    /// When to look at time-outs next, in nanoseconds: when one ends, or to see whether the client reads.
    pub fn next_ns(&self, waits: &Waits, settings: &Settings) -> Option<u64> {
        let ends_ns = self.running(waits, settings).into_iter().flatten().map(|(end_ns, _)| end_ns);
        ends_ns.chain(self.read_look_ns(settings)).min()
    }

    /// Says when time-outs are looked at next, in nanoseconds.
    pub fn set_look_ns(&mut self, look_ns: u64) {
        self.look_ns = look_ns;
    }

    /// Whether a time-out may be over.
    pub fn is_look_due(&self, now_ns: u64) -> bool {
        now_ns >= self.look_ns
    }

    // ---- Reading ---------------------------------------------------------------------------------------

    /// Notes what the kernel holds for the client, once for each time from which on the client does not read.
    /// `held_bytes` asks the kernel.
    pub fn note_stall(
        &mut self,
        since_ns: Option<u64>,
        held_bytes: impl FnOnce() -> Option<usize>,
        now_ns: u64,
    ) {
        if self.untaken.map(|untaken| untaken.since_ns) != since_ns {
            let untaken = |since_ns| Some(Untaken { since_ns, looked_ns: now_ns, bytes: held_bytes()? });
            self.untaken = since_ns.and_then(untaken);
        }
    }

    /// Whether the client has taken some of what the kernel holds for it since the last look. The kernel reports a
    /// socket only when a third of that is gone. That may take long if the client, or the network, is slow.
    pub fn has_read_some(&mut self, held_bytes: impl FnOnce() -> Option<usize>, now_ns: u64) -> bool {
        let Some(then) = self.untaken else { return false };
        let bytes = held_bytes().unwrap_or(then.bytes);
        self.untaken = Some(Untaken { looked_ns: now_ns, bytes, ..then });
        bytes < then.bytes
    }

    /// When to look again whether the client reads, in nanoseconds. The client's kernel takes something at first even
    /// if the client does not read. The first of these looks sees that, and it costs no more than that look.
    fn read_look_ns(&self, settings: &Settings) -> Option<u64> {
        Some(self.untaken?.looked_ns + settings.write_timeout_ns? / WRITE_LOOKS)
    }

    // ---- Lines -----------------------------------------------------------------------------------------

    /// Notes that bytes came, of which the last one `ends_line` or does not. True: they are keys of a person who
    /// types. Each key may erase another, and gives the line new time.
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

    /// The end of a line is waited for, from now on if it was not before.
    pub fn await_line(&mut self, now_ns: u64) {
        self.line_since_ns.get_or_insert(now_ns);
    }

    /// The end of a line is not waited for, or no longer.
    pub fn stop_line(&mut self) {
        self.line_since_ns = None;
    }

    /// Whether the line that has begun should have ended by now.
    pub fn is_line_overdue(&self, settings: &Settings, now_ns: u64) -> bool {
        self.line_ns(settings).is_some_and(|end_ns| end_ns <= now_ns)
    }

    /// When the line that has begun has to have ended, in nanoseconds. Each key of a typed line puts that off, up to
    /// a bound.
    fn line_ns(&self, settings: &Settings) -> Option<u64> {
        let (since_ns, timeout_ns) = (self.line_since_ns?, settings.line_timeout_ns?);
        if self.is_typed() {
            let end_ns = self.key_ns.max(since_ns) + timeout_ns;
            return Some(end_ns.min(since_ns + TYPED_LINE_TIMEOUTS * timeout_ns));
        }
        Some(since_ns + timeout_ns)
    }

    // ---- The end ---------------------------------------------------------------------------------------

    /// The connection takes no more lines.
    pub fn part(&mut self, now_ns: u64) {
        self.line_since_ns = None;
        self.parted_ns = now_ns;
    }

    /// When the server ends: until when a client that has its replies may read the rest, in nanoseconds.
    pub fn unowed_until_ns(&self) -> u64 {
        self.parted_ns + UNOWED_MS_MAX * 1_000_000
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
    fn stall_suspends_the_time_outs_of_silence() {
        let deadlines = Deadlines::new(0);
        let silent = Waits { must_log_in: true, idle_since_ns: Some(0), ..Waits::default() };
        let stalled = Waits { stalled_since_ns: Some(100 * SECOND_NS), ..silent };
        let overdue = |waits, seconds| deadlines.overdue(waits, &settings(), seconds * SECOND_NS);
        assert_eq!(overdue(&silent, 19), None);
        assert_eq!(overdue(&silent, 31), Some(Timeout::NotAuthenticated), "the one that ended first");
        assert_eq!(overdue(&stalled, 107), None);
        assert_eq!(overdue(&stalled, 108), Some(Timeout::TooSlow));
    }

    #[test]
    fn unowed_client_has_less_time_to_read() {
        let mut deadlines = Deadlines::new(0);
        deadlines.part(10 * SECOND_NS);
        let owed = Waits { stalled_since_ns: Some(10 * SECOND_NS), ..Waits::default() };
        let unowed = Waits { is_unowed: true, ..owed };
        assert_eq!(deadlines.next_ns(&owed, &settings()), Some(18 * SECOND_NS));
        assert_eq!(deadlines.next_ns(&unowed, &settings()), Some(deadlines.unowed_until_ns()));
        assert_eq!(deadlines.overdue(&unowed, &settings(), 11 * SECOND_NS), Some(Timeout::Unowed));
    }

    #[test]
    fn keys_postpone_the_end_of_a_line_up_to_a_bound() {
        let mut deadlines = Deadlines::new(0);
        deadlines.await_line(0);
        assert!(deadlines.is_line_overdue(&settings(), 10 * SECOND_NS));
        assert_eq!(
            deadlines.overdue(&Waits::default(), &settings(), 10 * SECOND_NS),
            None,
            "asked for by itself"
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
    fn slow_reader_is_looked_at_within_the_write_timeout() {
        let mut deadlines = Deadlines::new(0);
        let waits = Waits { stalled_since_ns: Some(0), ..Waits::default() };
        deadlines.note_stall(waits.stalled_since_ns, || Some(1_000), 0);
        assert_eq!(deadlines.next_ns(&waits, &settings()), Some(8 * SECOND_NS / WRITE_LOOKS));
        assert!(!deadlines.has_read_some(|| Some(1_000), SECOND_NS));
        assert!(deadlines.has_read_some(|| Some(999), 2 * SECOND_NS));
        assert!(!deadlines.has_read_some(|| None, 3 * SECOND_NS), "the kernel does not tell");
        deadlines.note_stall(None, || unreachable!("nothing is held"), 3 * SECOND_NS);
        assert!(!deadlines.has_read_some(|| Some(0), 3 * SECOND_NS));
    }
}
