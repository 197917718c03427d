//! `/metrics`, checked by promtool and scraped by a real Prometheus.

use crate::http::request;
use crate::prometheus::{Prometheus, promtool};
use crate::support::directory::Directory;
use crate::support::eventually;
use crate::web::Web;
use std::path::Path;

/// A hub with a journal that has processed messages of several priorities, and refused some.
fn busy(directory: &Directory) -> (crate::support::Server, Web) {
    let (server, web) = Web::with_hub(&["--journal", directory.path(), "--journal-size", "1M"], &[]);
    let mut client = server.connect();
    for line in ["/urgent a", "/9 b", "c", "/low d"] {
        assert!(client.ask(line).starts_with("ACK "));
    }
    client.ask("/urgent");
    eventually("the counters have come", || {
        web.get("/metrics").body.contains("processed_total{priority=\"9\"} 2\n")
    });
    (server, web)
}

fn open_metrics(web: &Web) -> String {
    let accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
    let answer = request(web.address, "GET", "/metrics", &[("Accept", accept)], "");
    assert!(answer.head["content-type"].starts_with("application/openmetrics-text"));
    answer.body
}

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics() {
    let directory = Directory::new("web-promtool");
    let (_server, web) = busy(&directory);
    let text = web.get("/metrics");
    assert_eq!(text.head["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let output = promtool(&["check", "metrics"], &text.body);
    assert!(
        output.status.success() && output.stderr.is_empty() && output.stdout.is_empty(),
        "{output:?}\n{}",
        text.body
    );
    for line in [
        "firstline_up 1",
        "firstline_messages_refused_total{reason=\"empty\"} 1",
        "firstline_messages_admitted_total{priority=\"1\"} 1",
        "firstline_oldest_waiting_seconds{priority=\"9\"} 0.0",
        "firstline_ack_latency_seconds_count{priority=\"9\"} 2",
        "firstline_ack_latency_seconds_bucket{priority=\"9\",le=\"+Inf\"} 2",
        "firstline_journal_capacity_bytes 1048576",
    ] {
        assert!(text.body.lines().any(|found| found == line), "{line} is not in\n{}", text.body);
    }
    let open = open_metrics(&web);
    assert!(open.ends_with("# EOF\n") && open.contains("# UNIT firstline_ack_latency_seconds seconds\n"));
}

#[test]
fn labels_are_priority_and_reason_only() {
    let directory = Directory::new("web-labels");
    let (_server, web) = busy(&directory);
    for line in web.get("/metrics").body.lines().filter(|line| !line.starts_with('#')) {
        let Some((_, labels)) = line.split_once('{') else { continue };
        for label in labels.split('}').next().unwrap().split(',') {
            let name = label.split('=').next().unwrap();
            assert!(
                ["priority", "reason", "le"].contains(&name)
                    || line.starts_with("firstline_build_info{version="),
                "{line}"
            );
        }
    }
}

#[test]
fn prometheus_scrapes_both_texts_and_its_rules_find_a_hub_that_is_away() {
    let directory = Directory::new("web-prometheus");
    let (server, web) = busy(&Directory::new("web-prometheus-journal"));
    let prometheus = Prometheus::start(
        &directory,
        web.address,
        Path::new("deploy/examples/prometheus-firstline.rules.yml"),
    );
    let value = |query: &str| prometheus.query(query);
    eventually("it has scraped", || value("firstline_up") == Some(1.0));
    assert_eq!(value("up"), Some(1.0));
    assert_eq!(value("sum(firstline_messages_processed_total)"), Some(4.0));
    assert_eq!(value("firstline_ack_latency_seconds_count{priority=\"9\"}"), Some(2.0));
    assert!(value("max(firstline_oldest_waiting_seconds)").is_some());
    assert!(
        value("histogram_quantile(0.99, sum by (le) (firstline_ack_latency_seconds_bucket))")
            .is_some_and(|s| s < 60.0)
    );
    server.signal("KILL");
    eventually("the rule fires or waits to", || value("ALERTS{alertname=\"FirstlineAway\"}") == Some(1.0));
}
