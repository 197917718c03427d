//! The dashboard for Grafana and the rules for Prometheus in deploy/examples, against the metrics of everything.

use crate::prometheus::{Prometheus, promtool};
use crate::scene::Scene;
use crate::support::directory::Directory;
use crate::support::eventually;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const RULES: &str = "deploy/examples/prometheus-firstline.rules.yml";
const PAGE: &str = "deploy/doc/web.md";
const DASHBOARD: &str = "deploy/examples/grafana-firstline.json";

/// The metrics that are there only once the journal has a rate.
const LATE: [&str; 2] = ["firstline_journal_headroom_seconds", "firstline_bridge_headroom_seconds"];

fn dashboard() -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(DASHBOARD).unwrap()).unwrap()
}

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let name = |at: usize| text[at..].split(|letter| !is_of_name(letter)).next().unwrap();
    text.match_indices("firstline_").map(|(at, _)| name(at)).collect()
}

#[test]
fn rules_dashboard_and_documentation_name_what_there_is_and_the_documentation_all_of_it() {
    let mut scene = Scene::new("web-rules");
    scene.talk();
    let output = promtool(&["check", "rules", "--lint-fatal", RULES], "");
    assert!(output.status.success(), "{output:?}");
    let metrics = || scene.web.get("/metrics").body;
    eventually("the counters have come", || {
        metrics().contains("firstline_bridge_up 1\n")
            && metrics().contains("tasks_done_total{priority=\"9\"} 1\n")
    });
    let known = metrics() + &LATE.map(|name| format!("{name} 1\n")).concat();
    let types = || known.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    for path in [DASHBOARD, RULES, PAGE] {
        let text = fs::read_to_string(path).unwrap();
        let named = names(&text);
        assert!(named.len() > 10, "{path}");
        for name in named {
            let has_value = |end: char| known.contains(&format!("\n{name}{end}"));
            let is_histogram = path == PAGE && types().any(|known| known == name);
            assert!(has_value(' ') || has_value('{') || is_histogram, "{path}: {name} is no metric");
        }
    }
    let page = fs::read_to_string(PAGE).unwrap();
    for name in types() {
        assert!(names(&page).contains(name), "{PAGE} lacks {name}");
    }
}

#[test]
fn prometheus_answers_every_expression_of_the_dashboard() {
    let directory = Directory::new("web-dashboard");
    let mut scene = Scene::new("web-dashboard-scene");
    let prometheus = Prometheus::start(&directory, scene.web.address, Path::new(RULES));
    let handled = "sum(firstline_tasks_done_total)";
    // Rates take two scrapes with the counter.
    for count in 1..=2 {
        scene.talk();
        eventually("Prometheus knows", || prometheus.query(handled) == Some(f64::from(count)));
    }
    eventually("Prometheus knows of the bridge", || prometheus.query("firstline_bridge_up") == Some(1.0));
    let mut ids = Vec::new();
    for panel in dashboard()["panels"].as_array().unwrap() {
        ids.push(panel["id"].as_u64().unwrap());
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            let expression = expression.replace("$__rate_interval", "1m").replace("$instance", ".*");
            // What is lost or refused is not there without losses, and headroom not without a rate.
            let is_optional =
                expression.ends_with("> 0") || LATE.iter().any(|name| expression.contains(name));
            let value = prometheus.query(&expression);
            assert!(value.is_some() || is_optional, "{expression}");
        }
    }
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "each panel has its own number");
}

#[test]
fn rules_find_a_bridge_that_has_ended_and_handlers_that_are_gone() {
    let directory = Directory::new("web-alerts");
    let mut scene = Scene::new("web-alerts-scene");
    let prometheus = Prometheus::start(&directory, scene.web.address, Path::new(RULES));
    eventually("Prometheus knows of both", || {
        prometheus.query("firstline_bridge_up") == Some(1.0)
            && prometheus.query("firstline_handlers") == Some(1.0)
    });
    scene.stop_bridge();
    scene.end_handler();
    for alert in ["FirstlineBridgeAway", "FirstlineNoHandler"] {
        eventually("the rule fires or waits to", || {
            prometheus.query(&format!("ALERTS{{alertname=\"{alert}\"}}")) == Some(1.0)
        });
    }
}
