//! The time-outs and shares that the options choose.

use crate::hub::handling::fate::Rules;
use crate::hub::rate_limit::Rate;
use crate::limits::{CLIENTS, RATE_BURST_MS, TASK_MS, URGENT_BURST_MS};
use crate::options::Options;
use crate::queue::Order;
use std::time::Duration;

/// The time-outs and shares that the options choose.
pub struct Settings {
    /// How many connections one address may have, or `None` if it may have all of them.
    pub per_address: Option<usize>,
    /// How many lines a client may send, or `None` if there is no limit.
    pub rate: Option<Rate>,
    /// How many messages of a client keep a high priority, or `None` if all of them do.
    pub urgent_rate: Option<Rate>,
    /// How long a client is idle before the server may evict it for another, in nanoseconds, or `None` if it never
    /// does.
    pub idle_grace_ns: Option<u64>,
    /// How long a client may take for a line, in nanoseconds, or `None` if there is no limit.
    pub line_timeout_ns: Option<u64>,
    /// How long a client may send nothing, in nanoseconds, or `None` if there is no limit.
    pub idle_timeout_ns: Option<u64>,
    /// How long a client may leave its bytes unread, in nanoseconds, or `None` if there is no limit.
    pub write_timeout_ns: Option<u64>,
    /// How long the shutdown may take.
    pub drain_timeout: Duration,
}

impl Settings {
    /// The settings that `options` choose.
    pub fn new(options: &Options) -> Self {
        let ns = |timeout: Duration| timeout.as_nanos() as u64;
        let rate = |count: usize, period_s: u64, burst_ms: u64| {
            Rate::new(count as u64, period_s * 1_000_000_000, burst_ms * 1_000_000)
        };
        Self {
            per_address: options.per_address.filter(|count| *count < CLIENTS),
            rate: options.rate.map(|count| rate(count, 1, RATE_BURST_MS)),
            urgent_rate: options.urgent_rate.map(|count| rate(count, 60, URGENT_BURST_MS)),
            idle_grace_ns: options.idle_grace.map(ns),
            line_timeout_ns: options.line_timeout.map(ns),
            idle_timeout_ns: options.idle_timeout.map(ns),
            write_timeout_ns: options.write_timeout.map(ns),
            drain_timeout: options.drain_timeout,
        }
    }

    /// How long a client may leave its bytes unread, in milliseconds, or `None` if there is no limit.
    pub fn write_timeout_ms(&self) -> Option<u32> {
        self.write_timeout_ns.map(|timeout_ns| (timeout_ns / 1_000_000) as u32)
    }
}

/// The rules of handling that `options` choose.
pub fn rules(options: &Options) -> Rules {
    let limit_ns = options.handle_limit.as_nanos() as u64;
    Rules {
        wait_ns: options.handle_wait.as_nanos() as u64,
        time_ns: limit_ns.min(TASK_MS * 1_000_000),
        limit_ns,
        attempts: options.attempts,
    }
}

/// The order of messages that `options` choose.
pub fn order(options: &Options) -> Order {
    options.aging.map_or(Order::STRICT, |aging| Order::aging(aging.as_nanos() as u64))
}
