//! Connections that a broker accepts and soon closes, again and again. Mostly another client has the same name, and the
//! broker closes the connection of one when the other connects. Knows no connection.

use super::limits::{SHORT_CONNECTIONS_MAX, SHORT_MS};
use std::time::Duration;

/// How many connections in a row were short.
#[derive(Debug, Default)]
pub struct Flapping {
    in_a_row: u32,
}

impl Flapping {
    /// A connection that was accepted has ended after that time. `was_closed`: the broker closed it in order.
    pub fn ended(&mut self, lasted: Duration, was_closed: bool) {
        let is_short = was_closed && lasted < Duration::from_millis(SHORT_MS);
        self.in_a_row = if is_short { self.in_a_row + 1 } else { 0 };
    }

    /// The connection has lasted that long.
    pub fn lasts(&mut self, lasted: Duration) {
        if lasted >= Duration::from_millis(SHORT_MS) {
            self.in_a_row = 0;
        }
    }

    /// Whether the next connection will be short, too: then success is no reason to come back at once.
    pub fn is_likely(&self) -> bool {
        self.in_a_row >= SHORT_CONNECTIONS_MAX
    }

    /// The reason of an end, with what to do about it. It is the same text each time, so that the log can hold it back.
    pub fn explain(&self, reason: &str) -> String {
        if !self.is_likely() {
            return reason.to_string();
        }
        format!(
            "{reason}, again and again soon after it had accepted this one; if another client has the same name, give each board its own --node, or \
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
