//! What the bridge says on standard error, a line each. The journal of systemd adds the time.

use super::limits::REPEAT_MS;
use std::fmt::{Arguments, Display};
use std::time::{Duration, Instant};

/// Says one line.
pub fn say(line: Arguments<'_>) {
    eprintln!("firstline-bridge: {line}");
}

/// A trouble that lasts is said once, and again after a while.
#[derive(Debug, Default)]
pub struct Throttle {
    said: Option<(String, Instant)>,
}

impl Throttle {
    /// Says it, unless it was said lately.
    pub fn say(&mut self, trouble: impl Display) {
        let (line, now) = (trouble.to_string(), Instant::now());
        let is_known = |(said, at): &(String, Instant)| {
            *said == line && now.duration_since(*at) < Duration::from_millis(REPEAT_MS)
        };
        if !self.said.as_ref().is_some_and(is_known) {
            say(format_args!("{line}"));
            self.said = Some((line, now));
        }
    }

    /// It is over. True: it was said.
    pub fn clear(&mut self) -> bool {
        self.said.take().is_some()
    }
}
