//! Connections that a broker accepts and soon closes, again and again. The usual cause is that another client has the
//! same name: when one of them connects, the broker closes the connection of the other. Knows no connection.

use super::limits::{SHORT_CONNECTIONS_MAX, SHORT_MS};
use std::time::Duration;

/// How many connections in a row were short.
#[derive(Debug, Default)]
pub struct Flapping {
    in_a_row: u32,
}

impl Flapping {
    /// Records that an accepted connection has ended after that time. `was_closed` says that the broker closed it
    /// cleanly.
    pub fn ended(&mut self, lasted: Duration, was_closed: bool) {
        let is_short = was_closed && lasted < Duration::from_millis(SHORT_MS);
        self.in_a_row = if is_short { self.in_a_row + 1 } else { 0 };
    }

    /// Records how long the current connection has lasted.
    pub fn lasts(&mut self, lasted: Duration) {
        if lasted >= Duration::from_millis(SHORT_MS) {
            self.in_a_row = 0;
        }
    }

    /// Whether the next connection is likely to be short, too. Then the bridge does not reconnect at once, even if this
    /// connection succeeded.
    pub fn is_likely(&self) -> bool {
        self.in_a_row >= SHORT_CONNECTIONS_MAX
    }

    /// The reason for an end, with advice. It is the same text each time, so that the log can suppress repetitions.
    pub fn explain(&self, reason: &str) -> String {
        if !self.is_likely() {
            return reason.to_string();
        }
        format!(
            "{reason}, each time soon after it accepted the connection; if another client has the same client ID, give each board its own --node, or \
             each bridge its own --client-id"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_connections_in_a_row_count() {
        let (mut flapping, short) = (Flapping::default(), Duration::from_millis(SHORT_MS - 1));
        for _ in 1..SHORT_CONNECTIONS_MAX {
            flapping.ended(short, true);
            assert!(!flapping.is_likely() && flapping.explain("closed") == "closed");
        }
        flapping.ended(short, true);
        assert!(flapping.is_likely() && flapping.explain("closed").contains("--client-id"));
        flapping.lasts(short);
        assert!(flapping.is_likely());
        flapping.lasts(Duration::from_millis(SHORT_MS));
        assert!(!flapping.is_likely());
        for _ in 0..10 {
            flapping.ended(short, true);
            flapping.ended(short, false);
        }
        assert!(!flapping.is_likely(), "after a lost network no other client is likely");
    }
}
