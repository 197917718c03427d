//! The handlers, and the counters of the real `firstline-bridge`, on the page and as metrics.

use crate::browsing::Browser;
use crate::prometheus::promtool;
use crate::scene::Scene;
use crate::support::{eventually, eventually_within};
use crate::web::Web;
use std::time::Duration;

/// How long the page may take to find that a bridge has been killed: a multiple of the 45 s after which its counters
/// are too old.
const AWAY_LIMIT: Duration = Duration::from_secs(5 * 45);

#[test]
fn handlers_and_the_real_bridge_are_metrics_and_a_bridge_that_ends_is_away() {
    let mut scene = Scene::new("web-bridge");
    scene.talk();
    let metrics = || scene.web.get("/metrics").body;
    eventually("the bridge is up", || metrics().contains("\nfirstline_bridge_up 1\n"));
    // The figures of the hub come from another poll than those of the bridge.
    eventually("the task is counted", || metrics().contains("\nfirstline_task_work_seconds_count 1\n"));
    let text = metrics();
    for line in [
        "firstline_bridge_connected 0",
        "firstline_bridge_messages_lost_total{reason=\"overwritten\"} 0",
        "firstline_handlers 1",
        "firstline_tasks_with_handlers 0",
        "firstline_tasks_given_total{priority=\"9\"} 1",
        "firstline_tasks_done_total{priority=\"9\"} 1",
        "firstline_tasks_refused_total{priority=\"9\"} 0",
        "firstline_task_wait_seconds_count 1",
        "firstline_task_work_seconds_bucket{le=\"+Inf\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    let output = promtool(&["check", "metrics"], &text);
    assert!(output.status.success() && output.stderr.is_empty() && output.stdout.is_empty(), "{output:?}");
    scene.kill_bridge();
    eventually_within(AWAY_LIMIT, "the bridge is away", || {
        let text = scene.web.get("/metrics").body;
        text.contains("\nfirstline_bridge_up 0\n") && !text.contains("firstline_bridge_connected")
    });
}

#[test]
fn page_about_a_hub_without_handlers_and_bridge_shows_neither() {
    let (_server, web) = Web::with_hub(&[], &[]);
    let browser = Browser::open(&format!("http://{}/", web.address));
    browser.wait_for_text("#state", "The hub answers");
    assert!(!browser.is_visible("#handlers") && !browser.is_visible("#bridge"));
    let text = web.get("/metrics").body;
    assert!(!text.contains("firstline_handlers") && !text.contains("firstline_bridge"), "{text}");
}
