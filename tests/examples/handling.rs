//! Examples that handle messages, under `firstline handle`.

use crate::example;
use crate::process::Process;
use crate::site::Site;
use crate::support::{Server, command};
use std::os::unix::fs::PermissionsExt;

/// Starts `firstline handle` with that example as the program.
fn handle(site: &Site, args: &[&str], name: &str, variables: &[(&str, &str)]) -> Process {
    let mut command = command();
    command.args(["handle", &site.address.to_string()]).args(args).args(["--", &example(name)]);
    command.envs(variables.iter().copied());
    Process::start(command)
}

/// A server whose handlers process all messages.
fn serve(site: &Site) -> Server {
    site.serve_with(&["--handle", "0"])
}

/// An executable script in the test's directory.
fn script(site: &Site, name: &str, text: &str) -> String {
    let path = site.write(name, text);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn handler_each_sh_does_what_is_in_its_list() {
    let site = Site::new("handler-each");
    let (lock, started) = (site.path("lock"), site.path("started"));
    let backup = script(
        &site,
        "backup",
        &format!("#!/bin/sh\necho noise\ntouch {started}\n[ ! -e {started}.fail ]\n"),
    );
    let server = serve(&site);
    let variables = [("BACKUP_LOCK", lock.as_str()), ("BACKUP", backup.as_str())];
    let _process = handle(&site, &["--each", "--count", "2"], "handler-each.sh", &variables);
    let mut client = server.connect();
    assert!(client.ask("disk").ends_with("% of / is used"));
    assert!(client.ask("kernel").contains(" = Linux "));
    let refused = client.ask("rm -rf /; disk");
    assert!(refused.starts_with("NAK 3 handler-refused = not understood"), "{refused}");
    assert_eq!(client.ask("backup now"), "ACK 4 3 = the backup is done");
    assert!(std::path::Path::new(&started).exists());
    site.write("started.fail", "");
    assert_eq!(client.ask("backup now"), "NAK 5 handler-refused = the backup failed with 1");
}

#[test]
fn handler_py_keeps_its_state_and_goes_on_after_a_restart_of_the_server() {
    let site = Site::new("handler-py");
    let mut server = serve(&site);
    let _process = handle(&site, &[], "handler.py", &[]);
    let mut client = server.connect();
    assert_eq!(client.ask("add 3"), "ACK 1 1 = the sum is 3");
    assert_eq!(client.ask(r"add 3\\"), "NAK 2 handler-refused = not understood; there is: add NUMBER");
    client.send(b"add \xc3\xbc\x01\n");
    assert!(client.line().starts_with("NAK 3 handler-refused"));
    server.signal("KILL");
    server.wait();
    let server = serve(&site);
    assert_eq!(server.connect().ask("add -1"), "ACK 1 1 = the sum is 2");
}

#[test]
fn handler_gpio_sh_sets_the_line_by_gpioset() {
    let site = Site::new("handler-gpio");
    let calls = site.path("calls");
    std::fs::create_dir(site.path("bin")).unwrap();
    // A stand-in: it notes its arguments, and fails for one line.
    let text =
        format!("#!/bin/sh\necho \"$*\" >>{calls}\ncase $* in *27=*) echo 'gpioset: busy'; exit 1 ;; esac\n");
    script(&site, "bin/gpioset", &text);
    let path = format!("{}:{}", site.path("bin"), std::env::var("PATH").unwrap());
    let server = serve(&site);
    let _process = handle(&site, &["--each"], "handler-gpio.sh", &[("PATH", path.as_str())]);
    let mut client = server.connect();
    assert_eq!(client.ask("open the gate"), "ACK 1 1 = line 17 was active for 500ms");
    assert_eq!(client.ask("ring the bell"), "NAK 2 handler-refused = gpioset: busy");
    assert!(client.ask("open the door").starts_with("NAK 3 handler-refused = not understood"));
    let expected = "--chip gpiochip0 --hold-period 500ms --toggle 0 17=active\n\
        --chip gpiochip0 --hold-period 2s --toggle 0 27=active\n";
    assert_eq!(std::fs::read_to_string(&calls).unwrap(), expected);
}
