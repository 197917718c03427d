//! The unit for systemd that tells of another one's failure.

use crate::place::{Message, Place};
use crate::process::Process;
use crate::{edited, example, text_of};
use std::process::Command;

/// What the unit says for a key.
fn value(key: &str) -> String {
    let text = text_of("firstline-failed@.service");
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("{key} is not in the unit")).to_string()
}

#[test]
fn systemd_takes_the_unit() {
    let place = Place::new("unit");
    // It looks whether there is what is to be started.
    let unit = edited("firstline-failed@.service", &[("/usr/local/bin/firstline-send", &example("send.sh"))]);
    let unit = place.write("firstline-failed@backup.service.service", &unit);
    let watched = "[Unit]\nOnFailure=firstline-failed@%n.service\n[Service]\nExecStart=/bin/false\n";
    let watched = place.write("backup.service", watched);
    let verify = Command::new("systemd-analyze").arg("verify").args([unit, watched]).output().unwrap();
    // It succeeds too where it says that it does not know a key.
    assert_eq!((String::from_utf8_lossy(&verify.stderr).as_ref(), verify.status.success()), ("", true));
}

#[test]
fn its_command_tells_which_unit_has_failed_once_the_server_is_there() {
    let place = Place::new("unit-command");
    let [host, port] = place.words();
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
    place.refuse("backup.service failed on raspberrypi");
    let _server = place.serve();
    assert_eq!(process.finish(), Some(0), "{:?}", process.said());
    let told = Message { priority: 9, text: "backup.service failed on raspberrypi".into() };
    assert_eq!(place.messages(), [told]);
}
