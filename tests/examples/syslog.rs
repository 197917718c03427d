//! rsyslog forwards the log of a system, and keeps messages without an ACK.

use crate::process::Process;
use crate::site::{Message, Site};
use crate::support::eventually;
use crate::{edited, example, tool};
use std::path::Path;
use std::process::Command;

/// A rsyslogd with the example in its settings, and with none of this machine's settings.
fn rsyslogd(site: &Site) -> Process {
    let [host, port] = site.words();
    let forwarding = edited(
        "rsyslog-firstline.conf",
        &[
            (
                "/usr/local/bin/firstline-lines 127.0.0.1 9090 once",
                &format!("{} {host} {port} once", example("send.py")),
            ),
            ("output=\"/var/log/firstline-lines\"", &format!("output=\"{}\"", site.path("told"))),
        ],
    );
    let settings = format!(
        "global(workDirectory=\"{0}\")\nmodule(load=\"imuxsock\" SysSock.Use=\"off\")\n\
         input(type=\"imuxsock\" Socket=\"{0}/log\" RateLimit.Interval=\"0\")\n{forwarding}",
        site.directory.path()
    );
    let settings = site.write("rsyslog.conf", &settings);
    let _ = std::fs::remove_file(site.path("log"));
    let mut command = Command::new(tool("bin/rsyslogd"));
    command.args(["-n", "-f", &settings, "-i", &site.path("pid")]);
    let process = Process::start(command);
    eventually("rsyslogd is ready", || Path::new(&site.path("log")).exists());
    process
}

/// Logs a text with that severity.
fn log(site: &Site, severity: &str, text: &str) {
    let mut logger = Command::new("logger");
    let socket = site.path("log");
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
fn rsyslog_forwards_with_priorities_and_keeps_messages_without_ack() {
    let site = Site::new("rsyslog");
    let mut process = rsyslogd(&site);
    log(&site, "notice", "not to be told");
    log(&site, "crit", "one");
    site.refuse("oven: one");
    let server = site.serve();
    let priority = |text: &str| site.wait_for(text).priority;
    assert_eq!(priority("oven: one"), 7);
    drop(server);
    for (severity, text) in [("emerg", "two"), ("err", "three"), ("warning", "four")] {
        log(&site, severity, text);
    }
    let server = site.serve();
    assert_eq!([priority("oven: two"), priority("oven: three"), priority("oven: four")], [9, 6, 5]);
    log(&site, "crit", &"x".repeat(2000));
    log(&site, "crit", "five");
    // If the server is killed before its ACK, the message comes twice.
    let texts = || {
        let mut texts: Vec<String> = site.messages().into_iter().map(|Message { text, .. }| text).collect();
        texts.dedup();
        texts
    };
    site.wait_for("oven: five");
    let host = texts()[0].split(' ').next().unwrap().to_string();
    let long = format!("{host} oven: {}", "x".repeat(299));
    let expected = ["one", "two", "three", "four"].map(|text| format!("{host} oven: {text}"));
    assert_eq!(texts()[..4], expected);
    assert_eq!(texts()[4..], [long, format!("{host} oven: five")], "a long text is cut");
    // Both programs end. A message that is on its way then may be lost; those that wait behind it are on the disk.
    assert_eq!(server.end(), Some(0));
    for text in ["six", "seven", "eight"] {
        log(&site, "alert", text);
    }
    let queued = || std::fs::read(site.path("firstline.00000001")).unwrap_or_default();
    eventually("the queue is on the disk", || String::from_utf8_lossy(&queued()).contains("eight"));
    process.signal("TERM");
    assert_eq!(process.finish(), Some(0));
    let _server = site.serve();
    let _process = rsyslogd(&site);
    assert_eq!([priority("oven: seven"), priority("oven: eight")], [8, 8]);
}
