//! The counters as metrics, in the two text formats of Prometheus. The only labels are `priority`, `reason`, the `le`
//! of buckets, and the `version` of this program. Names and texts of clients are never labels, so the number of series
//! is bounded.

use crate::bridge;
use crate::figures::{Figures, Histogram};
use firstline::limits::STAT_BUCKETS_US;
use firstline::protocol::Priority;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::Arc;

/// The media type of OpenMetrics.
const OPEN_METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The data for one scrape.
#[derive(Debug)]
pub struct Scrape {
    /// The counters; none while the hub is away.
    pub figures: Option<Arc<Figures>>,
    /// For how long the journal keeps a message, in seconds.
    pub journal_headroom_s: Option<u64>,
    /// The counters of the bridge: `None` if no bridge is configured, `Some(None)` while it is away.
    pub bridge: Option<Option<bridge::Counters>>,
    /// How many viewers get live events.
    pub viewers: usize,
}

/// How a counter of the hub becomes a metric.
struct Metric {
    /// Its name in `/stats`; without `pN-` for a metric of a priority.
    stat: &'static str,
    name: &'static str,
    unit: Option<Unit>,
    kind: Kind,
    help: &'static str,
}

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    /// A gauge; the hub counts thousandths of its unit.
    GaugeMilli,
}

macro_rules! metrics {
    ($(($stat:literal, $name:literal, $unit:expr, $kind:ident, $help:literal)),* $(,)?) => {
        &[$(Metric { stat: $stat, name: $name, unit: $unit, kind: Kind::$kind, help: $help }),*]
    };
}

const B: Option<Unit> = Some(Unit::Bytes);
const S: Option<Unit> = Some(Unit::Seconds);

/// The metrics of the whole hub.
const GENERAL: &[Metric] = metrics![
    ("uptime-s", "firstline_uptime", S, Gauge, "Time since the hub started"),
    ("clients", "firstline_clients", None, Gauge, "Clients that are connected"),
    ("clients-max", "firstline_clients_peak", None, Gauge, "Most clients that were connected at a time"),
    ("clients-turned-away", "firstline_clients_turned_away", None, Counter, "Connections that got no place"),
    ("wrong-tokens", "firstline_wrong_tokens", None, Counter, "Wrong tokens that clients showed"),
    (
        "lowered",
        "firstline_messages_lowered",
        None,
        Counter,
        "Messages admitted with a lower priority than asked for"
    ),
    ("msgs-sent", "firstline_forwarded_messages", None, Counter, "MSG lines for clients that joined"),
    (
        "msgs-lost",
        "firstline_forwarded_messages_lost",
        None,
        Counter,
        "MSG lines lost because their reader was too slow"
    ),
    ("bytes-in", "firstline_received", B, Counter, "Bytes received from clients"),
    ("bytes-out", "firstline_sent", B, Counter, "Bytes sent to clients"),
    ("replies-unsent", "firstline_replies_unsent", None, Counter, "Replies whose client was gone"),
    (
        "lines-cut-off",
        "firstline_lines_cut_off",
        None,
        Counter,
        "Lines cut off because their connection broke"
    ),
    (
        "log-records-lost",
        "firstline_log_records_lost",
        None,
        Counter,
        "Log records lost because the log was too slow"
    ),
    ("commands-refused", "firstline_commands_refused", None, Counter, "Refused commands"),
    ("handlers", "firstline_handlers", None, Gauge, "Clients that process messages"),
    (
        "tasks-with-handlers",
        "firstline_tasks_with_handlers",
        None,
        Gauge,
        "Messages that handlers process now"
    ),
    ("journal-works", "firstline_journal_works", None, Gauge, "Whether the journal can keep messages"),
    ("journal-capacity-bytes", "firstline_journal_capacity", B, Gauge, "Size of the journal's files"),
    ("journal-bytes", "firstline_journal_record", B, Counter, "Bytes of committed records"),
    ("journal-page-bytes", "firstline_journal_page", B, Counter, "Bytes that the disk had to write for them"),
    ("journal-syncs", "firstline_journal_syncs", None, Counter, "Syncs of the journal"),
    ("journal-failures", "firstline_journal_failures", None, Counter, "Failed commits of the journal"),
    (
        "journal-damaged-bytes-read",
        "firstline_journal_damaged",
        B,
        Counter,
        "Damaged bytes that reads of the journal met"
    ),
];

/// The metrics of a priority.
const BY_PRIORITY: &[Metric] = metrics![
    ("admitted", "firstline_messages_admitted", None, Counter, "Messages admitted"),
    ("processed", "firstline_messages_processed", None, Counter, "Messages acknowledged"),
    ("waiting", "firstline_messages_waiting", None, Gauge, "Messages that wait to be processed"),
    ("waiting-max", "firstline_messages_waiting_peak", None, Gauge, "Most messages that waited at a time"),
    ("oldest-ms", "firstline_oldest_waiting", S, GaugeMilli, "For how long the oldest message waits"),
];

/// The metrics of a priority that handlers process.
const TASKS: &[Metric] = metrics![
    ("tasks-given", "firstline_tasks_given", None, Counter, "Messages given to handlers"),
    ("tasks-done", "firstline_tasks_done", None, Counter, "Messages that handlers have done"),
    ("tasks-refused", "firstline_tasks_refused", None, Counter, "Messages that handlers refused"),
    ("tasks-lost", "firstline_tasks_lost", None, Counter, "Messages whose handler's connection broke"),
    ("tasks-timed-out", "firstline_tasks_timed_out", None, Counter, "Messages that exceeded their time"),
    ("tasks-put-back", "firstline_tasks_put_back", None, Counter, "Messages that wait for a handler again"),
];

/// The histograms of times of the whole hub: the beginning of their names in `/stats full`, name and help.
const HISTOGRAMS: [(&str, &str, &str); 3] = [
    ("journal-sync", "firstline_journal_sync", "Time that a sync of the journal took"),
    ("task-wait", "firstline_task_wait", "Time that messages waited for a handler"),
    ("task-work", "firstline_task_work", "Time that handlers had messages"),
];

/// The metrics by reason: the beginning of their names in `/stats`, name and help.
const BY_REASON: [(&str, &str, &str); 2] = [
    ("refused-", "firstline_messages_refused", "Messages refused"),
    ("closed-", "firstline_connections_closed", "Connections that the hub closed"),
];

/// The metrics and their media type: OpenMetrics if `accept` asks for it, or else the older text format of Prometheus.
pub fn render(scrape: Scrape, accept: &str) -> (String, &'static str) {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut out = String::new();
    // A String takes everything.
    if accept.contains("application/openmetrics-text") {
        let _ = text::encode(&mut out, &registry);
        return (out, OPEN_METRICS_TYPE);
    }
    let _ = prometheus_text::encode(&mut out, &registry);
    (out, prometheus_text::CONTENT_TYPE)
}

impl Collector for Scrape {
    fn encode(&self, mut out: DescriptorEncoder) -> fmt::Result {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        let mut build = out.encode_descriptor(
            "firstline_build_info",
            "The version of firstline-web",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(1_u32).encode(build.encode_family(&version)?)?;
        gauge(&mut out, "firstline_up", "Whether the hub answers", None, u64::from(self.figures.is_some()))?;
        gauge(&mut out, "firstline_web_viewers", "Viewers of live events", None, self.viewers as u64)?;
        if let Some(counters) = &self.bridge {
            bridge(counters.as_ref(), &mut out)?;
        }
        let Some(figures) = &self.figures else { return Ok(()) };
        for metric in GENERAL {
            if let Some(value) = figures.get(metric.stat) {
                metric.encode(metric.begin(&mut out)?, value)?;
            }
        }
        if let Some(seconds) = self.journal_headroom_s {
            let help = "For how long the journal keeps a message, at the rate of the last hour";
            gauge(&mut out, "firstline_journal_headroom", help, S, seconds)?;
        }
        by_priority(BY_PRIORITY, figures, &mut out)?;
        if figures.get("handlers").is_some() {
            by_priority(TASKS, figures, &mut out)?;
        }
        by_reason(figures, &mut out)?;
        histograms(figures, &mut out)
    }
}

impl Metric {
    fn begin<'s>(&'s self, out: &'s mut DescriptorEncoder) -> Result<MetricEncoder<'s>, fmt::Error> {
        let kind = if matches!(self.kind, Kind::Counter) { MetricType::Counter } else { MetricType::Gauge };
        out.encode_descriptor(self.name, self.help, self.unit.as_ref(), kind)
    }

    fn encode(&self, out: MetricEncoder, value: u64) -> fmt::Result {
        match self.kind {
            Kind::Counter => ConstCounter::new(value).encode(out),
            Kind::Gauge => ConstGauge::new(value).encode(out),
            Kind::GaugeMilli => ConstGauge::new(value as f64 / 1e3).encode(out),
        }
    }
}

fn gauge(out: &mut DescriptorEncoder, name: &str, help: &str, unit: Option<Unit>, value: u64) -> fmt::Result {
    let metric = out.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
    ConstGauge::new(value).encode(metric)
}

fn by_priority(metrics: &[Metric], figures: &Figures, out: &mut DescriptorEncoder) -> fmt::Result {
    for metric in metrics {
        let mut family = metric.begin(out)?;
        for priority in Priority::all() {
            if let Some(value) = figures.of(priority, metric.stat) {
                metric.encode(family.encode_family(&[("priority", priority.number())])?, value)?;
            }
        }
    }
    Ok(())
}

fn by_reason(figures: &Figures, out: &mut DescriptorEncoder) -> fmt::Result {
    for (prefix, name, help) in BY_REASON {
        let mut family = out.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (reason, value) in figures.with_prefix(prefix) {
            ConstCounter::new(value).encode(family.encode_family(&[("reason", reason)])?)?;
        }
    }
    Ok(())
}

fn histograms(figures: &Figures, out: &mut DescriptorEncoder) -> fmt::Result {
    let help = "Time from admission to acknowledgement";
    let mut family =
        out.encode_descriptor("firstline_ack_latency", help, S.as_ref(), MetricType::Histogram)?;
    for priority in Priority::all() {
        if let Some(histogram) = figures.histogram(&format!("{priority}-ack")) {
            encode_histogram(&histogram, family.encode_family(&[("priority", priority.number())])?)?;
        }
    }
    for (stat, name, help) in HISTOGRAMS {
        if let Some(histogram) = figures.histogram(stat) {
            let metric = out.encode_descriptor(name, help, S.as_ref(), MetricType::Histogram)?;
            encode_histogram(&histogram, metric)?;
        }
    }
    Ok(())
}

/// The metrics of the bridge. Without counters, they only say that the bridge is away.
fn bridge(counters: Option<&bridge::Counters>, out: &mut DescriptorEncoder) -> fmt::Result {
    let is_up = u64::from(counters.is_some());
    gauge(out, "firstline_bridge_up", "Whether the bridge writes its counters", None, is_up)?;
    let Some(counters) = counters else { return Ok(()) };
    let help = "Whether the broker takes messages from the bridge";
    gauge(out, "firstline_bridge_connected", help, None, counters.connected.into())?;
    let help = "Messages in the bridge's memory that the broker has not acknowledged";
    gauge(out, "firstline_bridge_messages_waiting", help, None, counters.waiting_in_memory)?;
    if let Some(seconds) = counters.headroom_seconds {
        let help = "How long until the journal overwrites a message that the bridge has not sent";
        gauge(out, "firstline_bridge_headroom", help, S, seconds)?;
    }
    let totals = [
        ("connections", "Connections that the broker accepted", counters.connections),
        ("urgent_acknowledged", "Urgent messages that the broker acknowledged", counters.acknowledged_urgent),
        ("rest_acknowledged", "Other messages that the broker acknowledged", counters.acknowledged_rest),
        ("commands_done", "Commands from the broker that the hub acknowledged", counters.commands_done),
        ("commands_refused", "Commands from the broker that were refused", counters.commands_refused),
    ];
    for (name, help, value) in totals {
        let name = format!("firstline_bridge_{name}");
        ConstCounter::new(value).encode(out.encode_descriptor(&name, help, None, MetricType::Counter)?)?;
    }
    let help = "Messages that the bridge will not send";
    let mut family =
        out.encode_descriptor("firstline_bridge_messages_lost", help, None, MetricType::Counter)?;
    for (reason, value) in counters.lost() {
        ConstCounter::new(value).encode(family.encode_family(&[("reason", reason)])?)?;
    }
    Ok(())
}

fn encode_histogram(histogram: &Histogram, mut out: MetricEncoder) -> fmt::Result {
    let mut below = 0;
    let mut buckets: Vec<_> = STAT_BUCKETS_US
        .into_iter()
        .zip(histogram.cumulative)
        .map(|(bound_us, count)| {
            (bound_us as f64 / 1e6, count.saturating_sub(std::mem::replace(&mut below, count)))
        })
        .collect();
    buckets.push((f64::INFINITY, histogram.count.saturating_sub(below)));
    out.encode_histogram::<[(&str, &str); 0]>(histogram.sum_us as f64 / 1e6, histogram.count, &buckets, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(names: &[(&str, u64)], accept: &str) -> (String, &'static str) {
        let mut figures = Figures::default();
        names.iter().for_each(|(name, value)| figures.insert(name.to_string(), *value));
        render(
            Scrape {
                figures: Some(Arc::new(figures)),
                journal_headroom_s: Some(7),
                bridge: None,
                viewers: 3,
            },
            accept,
        )
    }

    #[test]
    fn both_formats_have_the_same_values() {
        let names = [("p9-oldest-ms", 1_500), ("bytes-in", 7), ("refused-too-long", 2)];
        let (older, older_type) = rendered(&names, "text/plain");
        let (open, open_type) =
            rendered(&names, "application/openmetrics-text; version=1.0.0,text/plain;q=0.5");
        assert!(
            older_type.starts_with("text/plain; version=0.0.4")
                && open_type.starts_with("application/openmetrics")
        );
        for line in [
            "firstline_up 1",
            "firstline_oldest_waiting_seconds{priority=\"9\"} 1.5",
            "firstline_received_bytes_total 7",
            "firstline_messages_refused_total{reason=\"too-long\"} 2",
            "firstline_journal_headroom_seconds 7",
        ] {
            assert!(older.lines().any(|found| found == line), "{line} is not in\n{older}");
            assert!(open.lines().any(|found| found == line), "{line} is not in\n{open}");
        }
        assert!(open.ends_with("# EOF\n") && !older.contains("# EOF"));
        assert!(older.contains("# TYPE firstline_received_bytes_total counter"));
        assert!(open.contains("# TYPE firstline_received_bytes counter"));
    }

    #[test]
    fn metrics_have_no_old_figures_while_the_hub_is_away() {
        let (text, _) =
            render(Scrape { figures: None, journal_headroom_s: None, bridge: Some(None), viewers: 0 }, "");
        assert!(
            text.contains("\nfirstline_bridge_up 0\n") && !text.contains("firstline_bridge_connected"),
            "{text}"
        );
        assert!(text.contains("\nfirstline_up 0\n") && !text.contains("firstline_clients"), "{text}");
    }
}
