//! Commands from the broker: acknowledged once the server has acknowledged them.

use crate::broker::{Broker, broker_options, subscriber};
use crate::process::Process;
use crate::scene::{Scene, bridge_command};
use crate::support::own_address::own_address;
use crate::support::{Server, command, copy_program, eventually};
use crate::tap::Tap;
use std::fs::Permissions;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// A bridge that only takes commands.
fn bridge(broker: SocketAddr, hub: &str) -> Process {
    bridge_with(broker, hub, &[])
}

/// The same, with these further arguments.
fn bridge_with(broker: SocketAddr, hub: &str, args: &[&str]) -> Process {
    let mut command = bridge_command();
    let url = format!("mqtt://{broker}");
    command.args(["--node", "pi", "--to", &url, "--subscribe", "do/{node}/#", "--hub", hub]).args(args);
    Process::start(command)
}

/// Publishes a command with these further arguments.
pub fn publish(broker: SocketAddr, topic: &str, text: &str, args: &[&str]) {
    let mut command = Command::new("mosquitto_pub");
    command.args(broker_options(broker)).args(["-V", "5", "-q", "1", "-t", topic, "-m", text]);
    assert!(command.args(args).status().unwrap().success());
}

/// Publishes these commands over one connection.
fn publish_lines(broker: SocketAddr, topic: &str, texts: &[String], args: &[&str]) {
    let mut command = Command::new("mosquitto_pub");
    command.args(broker_options(broker)).args(["-V", "5", "-q", "1", "-t", topic, "-l"]).args(args);
    let mut publisher = command.stdin(Stdio::piped()).spawn().unwrap();
    let lines: String = texts.iter().map(|text| format!("{text}\n")).collect();
    publisher.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(publisher.wait().unwrap().success());
}

#[test]
fn command_is_done_and_its_answer_goes_to_the_response_topic() {
    let (server, broker) = (Server::start(&[]), Broker::start(own_address(), ""));
    let mut reader = server.connect();
    reader.ask("/join");
    let answers = subscriber(broker.address, &["-t", "answers/#"]);
    broker.wait_for("answers/# (QoS 1)");
    let bridge = bridge(broker.address, &server.address.to_string());
    bridge.wait_for("commands come from do/pi/#");
    let respond = ["-D", "PUBLISH", "response-topic", "answers/me", "-D", "PUBLISH", "correlation-data", "7"];
    publish(broker.address, "do/pi/p9", "open the valve", &respond);
    let line = reader.line();
    assert!(line.starts_with("MSG 1 p9 ") && line.ends_with(" open the valve"), "{line}");
    assert_eq!(answers.wait_for("ACK"), "answers/me ACK 1");
    publish(broker.address, "do/pi/x", "", &respond);
    assert_eq!(answers.wait_for("NAK"), "answers/me NAK empty");
    publish(broker.address, "do/pi/x", "close it", &["-D", "PUBLISH", "user-property", "priority", "2"]);
    let line = reader.line();
    assert!(line.starts_with("MSG 2 p2 ") && line.ends_with(" close it"), "{line}");
}

#[test]
fn retained_command_from_before_the_subscription_is_refused() {
    let (server, broker) = (Server::start(&[]), Broker::start(own_address(), ""));
    let mut reader = server.connect();
    reader.ask("/join");
    publish(broker.address, "do/pi/p9", "retained", &["-r"]);
    let bridge = bridge(broker.address, &server.address.to_string());
    bridge.wait_for("a command from do/pi/p9 was answered with NAK retained");
    publish(broker.address, "do/pi/p9", "new", &["-r"]);
    let line = reader.line();
    assert!(line.starts_with("MSG 1 p9 ") && line.ends_with(" new"), "{line}");
}

#[test]
fn answer_that_the_broker_refuses_is_told() {
    let scene = Scene::new("answers");
    std::fs::create_dir_all(scene.path("")).unwrap();
    std::fs::write(scene.path("acl"), "topic readwrite do/#\n").unwrap();
    let broker = Broker::start(own_address(), &format!("acl_file {}\n", scene.text("acl")));
    let server = Server::start(&[]);
    let bridge = bridge(broker.address, &server.address.to_string());
    bridge.wait_for("commands come from do/pi/#");
    publish(broker.address, "do/pi/p9", "x", &["-D", "PUBLISH", "response-topic", "answers/me"]);
    bridge.wait_for("the broker refused an answer: NotAuthorized");
}

#[test]
fn command_waits_at_the_broker_until_the_server_has_done_it() {
    let address = own_address();
    let (broker, hub) = (Broker::start(address, ""), own_address().to_string());
    let mut first = bridge(address, &hub);
    first.wait_for("commands come from");
    publish(address, "do/pi/p7", "open the valve", &[]);
    // No server is there, so the broker has no acknowledgement; and it keeps what comes while no bridge is there.
    first.wait_for("the server takes no commands");
    assert_eq!(first.end(), Some(0));
    first.wait_for("ended; 1 commands are not acknowledged, and the broker sends them again");
    publish(address, "do/pi/p7", "close it", &[]);
    let mut command = command();
    command.args(["--listen", &hub, "--journal"]);
    let scene = Scene::new("commands");
    command.arg(scene.path("journal"));
    let server = Server::start_command(command);
    let mut reader = server.connect();
    reader.ask("/join");
    let _second = bridge(address, &hub);
    let lines = [reader.line(), reader.line()];
    assert!(lines[0].ends_with(" open the valve") && lines[1].ends_with(" close it"), "{lines:?}");
    broker.wait_for("Received PUBACK from firstline-pi-commands");
}

#[test]
fn command_waits_until_the_bridge_has_the_token_of_the_server() {
    const TOKEN: &str = "bridge-AAAAAAAAAAAAAAAAA";
    let (address, scene) = (own_address(), Scene::new("token"));
    let _broker = Broker::start(address, "");
    for (name, text) in [("auth", format!("pi {TOKEN} 9 join\n")), ("token", TOKEN.to_string())] {
        std::fs::write(scene.path(name), text).unwrap();
        std::fs::set_permissions(scene.path(name), Permissions::from_mode(0o600)).unwrap();
    }
    let server = Server::start(&["--auth-file", &scene.text("auth")]);
    let hub = server.address.to_string();
    let answers = subscriber(address, &["-t", "answers/#"]);
    let mut without = bridge(address, &hub);
    without.wait_for("commands come from");
    publish(address, "do/pi/p7", "open the valve", &["-D", "PUBLISH", "response-topic", "answers/me"]);
    without.wait_for("the server takes no commands: not-authenticated");
    assert_eq!(without.end(), Some(0));
    let _with = bridge_with(address, &hub, &["--token-file", &scene.text("token")]);
    assert_eq!(answers.wait_for("answers/me"), "answers/me ACK 1");
}

#[test]
fn each_command_of_a_burst_is_done_once() {
    let (address, scene) = (own_address(), Scene::new("burst"));
    let (server, broker) = (scene.server(), Broker::start(address, ""));
    let mut reader = server.connect();
    reader.ask("/join 0");
    for version in ["5", "3.1.1"] {
        let mut command = bridge_command();
        let hub = server.address.to_string();
        command.args(["--node", "pi", "--to", &format!("mqtt://{address}"), "--mqtt", version]);
        command.args(["--subscribe", "do/{node}/#", "--hub", &hub]);
        let bridge = Process::start(command);
        bridge.wait_for("commands come from");
        // Mosquitto 2.0 sends more than its client's receive maximum then.
        let texts: Vec<String> = (0..500).map(|number| format!("{version}-{number}")).collect();
        publish_lines(address, "do/pi/p7", &texts, &[]);
        for text in &texts {
            let line = reader.line();
            assert!(line.ends_with(text.as_str()), "{line}, not {text}");
        }
    }
    assert_eq!(broker.count("New client connected from"), 4, "two bridges and two publishers");
}

/// Publishes a command that is answered to that topic.
fn ask(broker: SocketAddr, text: &str, response_topic: &str) {
    publish(broker, "do/pi/p9", text, &["-D", "PUBLISH", "response-topic", response_topic]);
}

#[test]
fn answer_that_ends_the_connection_repeats_no_command_and_loses_no_other_answer() {
    let (server, broker) = (Server::start(&[]), Broker::start(own_address(), ""));
    let tap = Tap::to(broker.address);
    tap.cut_on("bad/");
    let answers = subscriber(broker.address, &["-t", "answers/#"]);
    broker.wait_for("answers/# (QoS 1)");
    let mut reader = server.connect();
    reader.ask("/join 0");
    let mut first = bridge(tap.address, &server.address.to_string());
    first.wait_for("commands come from do/pi/#");
    first.kill();
    // They wait at the broker, so they come at once.
    for number in 0..16 {
        let topic = if number % 8 == 2 { "bad/x" } else { "answers/x" };
        ask(broker.address, &format!("command {number}"), topic);
    }
    let bridge = bridge(tap.address, &server.address.to_string());
    bridge.wait_for("bad/x: an answer may not have arrived there");
    for number in 0..16 {
        let line = reader.line();
        assert!(line.ends_with(&format!(" command {number}")), "{line}");
    }
    let acknowledged = || answers.said().iter().filter(|line| line.starts_with("answers/x ACK ")).count();
    eventually("all good answers arrive", || acknowledged() == 14);
    publish(broker.address, "do/pi/p9", "last", &[]);
    assert!(reader.line().ends_with(" last"));
}

#[test]
fn answer_to_a_topic_that_cannot_be_used_is_told() {
    let (server, broker) = (Server::start(&[]), Broker::start(own_address(), ""));
    let bridge = bridge(broker.address, &server.address.to_string());
    bridge.wait_for("commands come from do/pi/#");
    // Mosquitto ends the connection of a client that publishes to a topic of more than 200 levels.
    ask(broker.address, "open the valve", &"a/".repeat(250));
    bridge.wait_for("the answer to a command cannot be sent there: ACK 1");
}

#[test]
fn each_of_many_commands_is_answered() {
    let (server, broker) = (Server::start(&[]), Broker::start(own_address(), ""));
    let answers = subscriber(broker.address, &["-t", "answers"]);
    broker.wait_for("answers (QoS 1)");
    let bridge = bridge(broker.address, &server.address.to_string());
    bridge.wait_for("commands come from do/pi/#");
    let texts: Vec<String> = (0..300).map(|number| format!("command {number}")).collect();
    publish_lines(broker.address, "do/pi/p7", &texts, &["-D", "PUBLISH", "response-topic", "answers"]);
    eventually("all answers arrive", || answers.said().len() == texts.len());
    assert!(answers.said().iter().all(|line| line.starts_with("answers ACK ")), "{:#?}", answers.said());
}

#[test]
fn with_mqtt_3_1_1_each_command_is_done_once_however_many_wait_and_however_long() {
    let (address, hub) = (own_address(), own_address().to_string());
    let broker = Broker::start(address, "max_inflight_messages 0\nmax_queued_messages 0\n");
    let args = ["--mqtt", "3.1.1", "--ack-timeout", "1", "--subscribe", "do/{node}/#", "--hub", &hub];
    let mut bridge = bridge_command();
    bridge.args(["--node", "pi", "--to", &format!("mqtt://{address}")]).args(args);
    let bridge = Process::start(bridge);
    bridge.wait_for("commands come from");
    // Many times what the bridge takes at once, so it connects again and again for the others.
    let texts: Vec<String> = (0..10_000).map(|number| format!("command {number}")).collect();
    publish_lines(address, "do/pi/p7", &texts, &[]);
    bridge.wait_for("the server takes no commands");
    // The bridge and the broker still hear each other.
    broker.wait_for("Received PINGREQ from firstline-pi-commands");
    sleep(Duration::from_secs(3));
    let scene = Scene::new("commands");
    let server = scene.server_at(&hub);
    let mut reader = server.connect();
    reader.ask("/join 0 since 0");
    for text in &texts {
        let line = reader.line();
        assert!(line.ends_with(text.as_str()), "{line}, not {text}");
    }
    assert!(bridge.said().iter().all(|line| !line.contains("it is tried again")), "{:#?}", bridge.said());
}

#[test]
fn command_that_ends_its_handler_is_told_and_not_repeated() {
    let (server, broker) = (Server::start(&["--handle", "0"]), Broker::start(own_address(), ""));
    let answers = subscriber(broker.address, &["-t", "answers/#"]);
    broker.wait_for("answers/# (QoS 1)");
    let bridge = bridge(broker.address, &server.address.to_string());
    bridge.wait_for("commands come from do/pi/#");
    let mut handler = server.connect();
    assert_eq!(handler.ask("/handle"), "OK 1");
    publish(broker.address, "do/pi/p9", "poison", &["-D", "PUBLISH", "response-topic", "answers/me"]);
    assert!(handler.line().ends_with(" poison"));
    drop(handler);
    assert_eq!(answers.wait_for("answers/me"), "answers/me NAK handler-lost");
    bridge.wait_for("a command from do/pi/p9 was answered with NAK handler-lost");
    // The next task of the next handler is the next command.
    let mut handler = server.connect();
    assert_eq!(handler.ask("/handle"), "OK 1");
    publish(broker.address, "do/pi/p1", "open the valve", &[]);
    let task = handler.line();
    assert!(task.ends_with(" open the valve"), "{task}");
}

#[test]
fn firstline_bridge_runs_the_program_beside_it() {
    let mut command = command();
    command.args(["bridge", "--help"]);
    let mut help = Process::start(command);
    assert_eq!(help.code(), Some(0));
    help.wait_for("Usage: firstline bridge");
}

#[test]
fn bridge_that_is_not_installed_is_told_in_one_line() {
    let scene = Scene::new("missing");
    let alone = scene.path("firstline");
    copy_program(env!("CARGO_BIN_EXE_firstline"), &alone);
    let mut command = Command::new(alone);
    command.arg("bridge").env("PATH", &scene.directory.0);
    let mut missing = Process::start(command);
    assert_eq!(missing.code(), Some(1));
    missing.wait_for("firstline-bridge is not installed");
    assert_eq!(missing.said().len(), 1);
}
