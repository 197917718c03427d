//! Shows the progress of a command in one line on a terminal, which each update overwrites. Shows it only if the user
//! would see nothing otherwise. Knows no clock: callers pass the time.

use std::io::{IsTerminal as _, stderr, stdout};
use std::time::{Duration, Instant};

/// A command that takes less time shows no progress.
const FIRST: Duration = Duration::from_secs(2);

/// The least time between two updates.
const PAUSE: Duration = Duration::from_millis(500);

/// Moves the cursor to the beginning of the line, and erases the line (ECMA-48: EL).
pub const ERASE: &str = "\r\x1b[K";

/// The progress of a command.
#[derive(Debug)]
pub struct Progress {
    /// When to update the line next; `None`: never.
    due: Option<Instant>,
    is_shown: bool,
    /// The count that was shown last.
    count: u64,
}

impl Progress {
    /// The progress of a command that starts now. It is shown only if standard error is a terminal and standard output
    /// is not: on a terminal, the lines of standard output show the progress.
    pub fn new(now: Instant) -> Self {
        Self::on(stderr().is_terminal() && !stdout().is_terminal(), now)
    }

    fn on(is_wanted: bool, now: Instant) -> Self {
        Self { due: is_wanted.then(|| now + FIRST), is_shown: false, count: 0 }
    }

    /// When to call [`show`](Self::show) next; `None`: never.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// If an update is due and the count has changed, returns what to write: `text`, after the sequence that erases the
    /// line.
    pub fn show(&mut self, now: Instant, count: u64, text: impl FnOnce() -> String) -> Option<String> {
        if self.due.is_none_or(|due| now < due) {
            return None;
        }
        self.due = Some(now + PAUSE);
        if count == self.count {
            return None;
        }
        (self.count, self.is_shown) = (count, true);
        Some(format!("{ERASE}{}", text()))
    }

    /// What to write before other output and at the end: it erases the line if one is shown.
    pub fn erase(&mut self) -> &'static str {
        if std::mem::take(&mut self.is_shown) { ERASE } else { "" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_shown_after_a_while_and_on_change() {
        let now = Instant::now();
        let text = || "5 messages".to_string();
        let mut progress = Progress::on(true, now);
        assert_eq!(progress.show(now + FIRST - PAUSE, 5, text), None);
        assert_eq!(progress.erase(), "");
        assert_eq!(progress.show(now + FIRST, 5, text).as_deref(), Some("\r\x1b[K5 messages"));
        assert_eq!(progress.due(), Some(now + FIRST + PAUSE));
        assert_eq!(progress.show(now + FIRST + PAUSE, 5, text), None, "nothing has changed");
        assert_eq!((progress.erase(), progress.erase()), (ERASE, ""));
        let mut quiet = Progress::on(false, now);
        assert_eq!((quiet.due(), quiet.show(now + FIRST, 5, text)), (None, None));
    }
}
