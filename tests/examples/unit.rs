//! The systemd unit that reports the failure of another one.

use crate::process::Process;
use crate::site::{Message, Site};
use crate::{edited, example, text_of};
use std::process::Command;

/// The value of a key in the unit.
fn value(key: &str) -> String {
    let text = text_of("firstline-failed@.service");
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("{key} is not in the unit")).to_string()
}

#[test]
fn systemd_accepts_the_unit() {
    let site = Site::new("unit");
    // systemd-analyze checks that the command exists.
    let unit = edited("firstline-failed@.service", &[("/usr/local/bin/firstline-send", &example("send.sh"))]);
    let unit = site.write("firstline-failed@backup.service.service", &unit);
    let watched = "[Unit]\nOnFailure=firstline-failed@%n.service\n[Service]\nExecStart=/bin/false\n";
    let watched = site.write("backup.service", watched);
    let verify = Command::new("systemd-analyze").arg("verify").args([unit, watched]).output().unwrap();
    // It also succeeds after a warning about an unknown key.
    assert_eq!((String::from_utf8_lossy(&verify.stderr).as_ref(), verify.status.success()), ("", true));
}

#[test]
fn unit_reports_which_service_failed_as_soon_as_the_server_runs() {
    let site = Site::new("unit-command");
    let [host, port] = site.words();
    let line = value("ExecStart")
        .replace(
            "/usr/local/bin/firstline-send 127.0.0.1 9090",
            &format!("{} {host} {port}", example("send.sh")),
        )
        .replace("%i", "backup.service")
        .replace("%H", "raspberrypi");
    assert!(!line.contains('%') && line.contains(&host), "{line}");
    let (name, tries) = value("Environment")
        .split_once('=')
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", &line]).env(name, tries);
    let mut process = Process::start(command);
    site.refuse("backup.service failed on raspberrypi");
    let _server = site.serve();
    assert_eq!(process.finish(), Some(0), "{:?}", process.said());
    let expected = Message { priority: 9, text: "backup.service failed on raspberrypi".into() };
    assert_eq!(site.messages(), [expected]);
}
