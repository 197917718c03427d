//! rsyslog forwards the log of a system, and keeps what has no ACK yet.

use crate::common::eventually;
use crate::place::{Message, Place};
use crate::process::Process;
use crate::{edited, example, tool};
use std::path::Path;
use std::process::Command;

/// A rsyslogd with the example in its settings, and nothing of this machine's.
fn rsyslogd(place: &Place) -> Process {
    let [host, port] = place.words();
    let forwarding = edited(
        "rsyslog-firstline.conf",
        &[
            (
                "/usr/local/bin/firstline-lines 127.0.0.1 9090 once",
                &format!("{} {host} {port} once", example("send.py")),
            ),
            ("output=\"/var/log/firstline-lines\"", &format!("output=\"{}\"", place.path("told"))),
        ],
    );
    let settings = format!(
        "global(workDirectory=\"{0}\")\nmodule(load=\"imuxsock\" SysSock.Use=\"off\")\n\
         input(type=\"imuxsock\" Socket=\"{0}/log\" RateLimit.Interval=\"0\")\n{forwarding}",
        place.directory.path()
    );
    let settings = place.write("rsyslog.conf", &settings);
    let _ = std::fs::remove_file(place.path("log"));
    let mut command = Command::new(tool("bin/rsyslogd"));
    command.args(["-n", "-f", &settings, "-i", &place.path("pid")]);
    let process = Process::start(command);
    eventually("rsyslogd is ready", || Path::new(&place.path("log")).exists());
    process
}

/// Logs a text with that severity.
fn log(place: &Place, severity: &str, text: &str) {
    let mut logger = Command::new("logger");
    let socket = place.path("log");
    logger.args([
        "--socket-errors=on",
        "-u",
        &socket,
        "-t",
        "oven",
        "-p",
        &format!("user.{severity}"),
        "--",
        text,
    ]);
    assert!(logger.status().unwrap().success());
}

#[test]
fn rsyslog_forwards_with_priorities_and_keeps_what_has_no_ack() {
    let place = Place::new("rsyslog");
    let mut process = rsyslogd(&place);
    log(&place, "notice", "not to be told");
    log(&place, "crit", "one");
    place.refuse("oven: one");
    let server = place.serve();
    let priority = |text: &str| place.wait_for(text).priority;
    assert_eq!(priority("oven: one"), 7);
    drop(server);
    for (severity, text) in [("emerg", "two"), ("err", "three"), ("warning", "four")] {
        log(&place, severity, text);
    }
    let server = place.serve();
    assert_eq!([priority("oven: two"), priority("oven: three"), priority("oven: four")], [9, 6, 5]);
    log(&place, "crit", &"x".repeat(2000));
    log(&place, "crit", "five");
    // What the server is killed before it could acknowledge comes twice.
    let texts = || {
        let mut texts: Vec<String> = place.messages().into_iter().map(|Message { text, .. }| text).collect();
        texts.dedup();
        texts
    };
    place.wait_for("oven: five");
    let host = texts()[0].split(' ').next().unwrap().to_string();
    let long = format!("{host} oven: {}", "x".repeat(299));
    let told = ["one", "two", "three", "four"].map(|text| format!("{host} oven: {text}"));
    assert_eq!(texts()[..4], told);
    assert_eq!(texts()[4..], [long, format!("{host} oven: five")], "a long text is cut");
    // Both go away. What was under way then may be lost, and what waited behind it is on the disk.
    assert_eq!(server.end(), Some(0));
    for text in ["six", "seven", "eight"] {
        log(&place, "alert", text);
    }
    let queued = || std::fs::read(place.path("firstline.00000001")).unwrap_or_default();
    eventually("the queue is on the disk", || String::from_utf8_lossy(&queued()).contains("eight"));
    process.signal("TERM");
    assert_eq!(process.finish(), Some(0));
    let _server = place.serve();
    let _process = rsyslogd(&place);
    assert_eq!([priority("oven: seven"), priority("oven: eight")], [8, 8]);
}
