//! How far a command is, on a terminal whose user would see nothing otherwise: one line that is written over. Knows no clock: it is told
//! the time.

use std::io::{IsTerminal as _, stderr, stdout};
use std::time::{Duration, Instant};

/// What takes less long needs no progress.
const FIRST: Duration = Duration::from_secs(2);

/// How often the line changes.
const PAUSE: Duration = Duration::from_millis(500);

/// Goes to the beginning of the line and erases it (ECMA-48: EL).
pub const ERASE: &str = "\r\x1b[K";

/// When to show how far a command is.
#[derive(Debug)]
pub struct Progress {
    /// When to show it next; none: never.
    due: Option<Instant>,
    is_shown: bool,
    /// What was shown last.
    count: u64,
}

impl Progress {
    /// From now on, if standard error is a terminal and standard output is none: there, what is printed is progress enough.
    pub fn new(now: Instant) -> Self {
        Self::on(stderr().is_terminal() && !stdout().is_terminal(), now)
    }

    fn on(is_wanted: bool, now: Instant) -> Self {
        Self { due: is_wanted.then(|| now + FIRST), is_shown: false, count: 0 }
    }

    /// When to ask for it next.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// What to write now, if it is time and the count has changed: `text`, over what stands in the line.
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

    /// What to write before something else, or at the end.
    pub fn erase(&mut self) -> &'static str {
        if std::mem::take(&mut self.is_shown) { ERASE } else { "" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shown_where_it_takes_long_and_changes() {
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
