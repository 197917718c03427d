//! What cannot be sent is told, and never stops what can.

use crate::broker::Broker;
use crate::process::Process;
use crate::scene::{Scene, check_order, send, texts};
use crate::support::eventually;
use crate::support::fake_time::FakeTime;
use crate::support::own_address::own_address;
use crate::tap::{Published, Tap};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// How many messages were told as lost for that reason.
fn lost(tap: &Tap, reason: &str) -> u64 {
    let told = tap.acknowledged().into_iter().filter(|told| told.is_lost() && told.field("reason") == reason);
    told.map(|told| told.field("lost").as_u64().unwrap()).sum()
}

#[test]
fn overwritten_messages_are_told_and_the_others_arrive() {
    let scene = Scene::new("overwritten");
    let (server, address) = (scene.server(), own_address());
    let tap = Tap::to(address);
    // The bridge has begun, so it knows what it misses.
    let mut bridge = scene.bridge(tap.address, &[]);
    bridge.wait_for("it is tried again");
    bridge.kill();
    // Several times what the journal holds.
    let long = "x".repeat(400);
    let sent = send(&mut server.connect(), &long, 6_000, 10);
    let _broker = Broker::start(address, "");
    let bridge = scene.bridge(tap.address, &[]);
    let last = sent.last().unwrap();
    tap.wait("the last one arrives", |acknowledged| {
        acknowledged.iter().any(|message| !message.is_lost() && message.field("text") == last.as_str())
    });
    bridge.wait_for("were not sent: overwritten");
    let arrived = texts(&tap.acknowledged()).len() as u64;
    let told = lost(&tap, "overwritten");
    assert!(arrived > 500 && told > 0, "{arrived} arrived, {told} were told as lost");
    assert!(arrived + told >= 6_000, "{arrived} arrived, {told} were told as lost");
    check_order(&tap.published());
}

#[test]
fn expired_messages_are_told() {
    let scene = Scene::new("expired");
    let (server, broker) = (scene.server(), Broker::start(own_address(), ""));
    let tap = Tap::to(broker.address);
    send(&mut server.connect(), "old", 20, 5);
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    let _bridge = scene.bridge(tap.address, &["--max-age", "2"]);
    tap.wait("losses are told", |_| lost(&tap, "expired") >= 20);
    // However slow the machine is, one of these is fast enough.
    let mut client = server.connect();
    eventually("a young one arrives", || {
        client.ask("young");
        !texts(&tap.acknowledged()).is_empty()
    });
    assert_eq!(texts(&tap.acknowledged()), ["young"]);
}

#[test]
fn message_that_is_too_large_is_told_and_passed_over() {
    let scene = Scene::new("large");
    let (server, broker) = (scene.server(), Broker::start(own_address(), "max_packet_size 400\n"));
    let tap = Tap::to(broker.address);
    let mut client = server.connect();
    client.ask("before");
    client.ask(&"x".repeat(500));
    client.ask("after");
    let _bridge = scene.bridge(tap.address, &[]);
    tap.wait("the last one arrives", |acknowledged| texts(acknowledged) == ["after", "before"]);
    tap.wait("the loss is told", |_| lost(&tap, "too-large") == 1);
}

#[test]
fn message_that_the_broker_answers_with_a_breach_of_the_protocol_is_told_and_passed_over() {
    // Mosquitto 2.0 answers with a reason code that PUBACK does not have. It sends the size limit to nobody.
    let (scene, time) = (Scene::new("limit"), FakeTime::faster(60));
    let (server, broker) = (scene.server(), Broker::start(own_address(), "message_size_limit 300\n"));
    let tap = Tap::to(broker.address);
    let mut client = server.connect();
    client.ask("/urgent before");
    client.ask(&format!("/urgent {}", "x".repeat(500)));
    client.ask("/urgent after");
    let mut command = scene.command_to(&format!("mqtt://{}", tap.address), &["--ack-timeout", "600"]);
    time.put_before(&mut command);
    let bridge = Process::start(command);
    tap.wait("the others arrive", |acknowledged| texts(acknowledged) == ["after", "before"]);
    tap.wait("the loss is told", |acknowledged| acknowledged.iter().any(Published::is_lost));
    bridge.wait_for("message 2 was not sent: refused: ");
}

#[test]
fn message_without_right_is_told_and_passed_over() {
    let scene = Scene::new("right");
    fs::write(scene.path("acl"), "topic write firstline/pi/p4\ntopic write firstline/pi/lost\n").unwrap();
    let lines = format!("acl_file {}\n", scene.text("acl"));
    let (server, broker) = (scene.server(), Broker::start(own_address(), &lines));
    let tap = Tap::to(broker.address);
    let mut client = server.connect();
    client.ask("before");
    client.ask("/urgent not permitted");
    client.ask("after");
    let bridge = scene.bridge(tap.address, &[]);
    tap.wait("the others arrive", |acknowledged| texts(acknowledged) == ["after", "before"]);
    tap.wait("the loss is told", |_| lost(&tap, "refused: NotAuthorized") == 1);
    bridge.wait_for("message 2 was not sent: refused: NotAuthorized");
}

#[test]
fn wrong_password_is_told_and_the_right_one_goes_on() {
    let scene = Scene::new("password");
    let made = Command::new("mosquitto_passwd")
        .args(["-b", "-c", &scene.text("users"), "me", "right"])
        .status()
        .unwrap();
    assert!(made.success());
    let lines = format!("allow_anonymous false\npassword_file {}\n", scene.text("users"));
    let (server, broker) = (scene.server(), Broker::start_with(own_address(), &lines));
    let tap = Tap::to(broker.address);
    server.connect().ask("hello");
    let (file, url) = (scene.text("password"), format!("mqtt://me@{}", tap.address));
    let write = |text: &str, mode| {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    };
    write("wrong", 0o600);
    let mut bridge = scene.bridge_to(&url, &["--password-file", &file]);
    bridge.wait_for("look at the user of --to and at --password-file");
    assert!(bridge.is_running() && tap.published().is_empty());
    drop(bridge);
    write("right", 0o644);
    assert_refused(scene.bridge_to(&url, &["--password-file", &file]), 1, "chmod 600");
    write("right", 0o600);
    let _bridge = scene.bridge_to(&url, &["--password-file", &file]);
    tap.wait("it arrives", |acknowledged| texts(acknowledged) == ["hello"]);
}

#[test]
fn other_journal_is_told_and_sent_from_its_beginning() {
    let scene = Scene::new("other");
    let broker = Broker::start(own_address(), "");
    let tap = Tap::to(broker.address);
    let mut bridge = scene.bridge(tap.address, &[]);
    bridge.wait_for("the bridge waits for it");
    let server = scene.server();
    server.connect().ask("first");
    tap.wait("it arrives", |acknowledged| texts(acknowledged) == ["first"]);
    assert_eq!(bridge.end(), Some(0));
    let server = scene.another_journal(server);
    server.connect().ask("second");
    let bridge = scene.bridge(tap.address, &[]);
    tap.wait("it arrives, too", |acknowledged| texts(acknowledged) == ["first", "second"]);
    bridge.wait_for("has replaced journal");
    tap.wait("that is told", |acknowledged| {
        acknowledged.iter().any(|told| told.is_lost() && told.field("reason") == "other-journal")
    });
    // And again while the bridge runs.
    let server = scene.another_journal(server);
    server.connect().ask("third");
    tap.wait("it arrives, too", |acknowledged| texts(acknowledged) == ["first", "second", "third"]);
}

#[test]
fn rest_of_another_journal_is_told_though_the_bridge_ends_before() {
    let scene = Scene::new("untold");
    let (server, broker) = (scene.server(), Broker::start(own_address(), ""));
    let tap = Tap::to(broker.address);
    server.connect().ask("first");
    let mut bridge = scene.bridge(tap.address, &[]);
    tap.wait("it arrives", |acknowledged| texts(acknowledged) == ["first"]);
    assert_eq!(bridge.end(), Some(0));
    let server = scene.another_journal(server);
    server.connect().ask("second");
    tap.keep_back(Some("/lost"));
    let mut bridge = scene.bridge(tap.address, &[]);
    tap.wait("the new journal is sent", |acknowledged| texts(acknowledged) == ["first", "second"]);
    assert_eq!(bridge.end(), Some(0));
    tap.keep_back(None);
    let _bridge = scene.bridge(tap.address, &[]);
    tap.wait("the loss is told", |acknowledged| {
        acknowledged.iter().any(|told| told.is_lost() && told.field("reason") == "other-journal")
    });
}

#[test]
fn damaged_cursors_and_a_second_bridge_are_refused() {
    let scene = Scene::new("cursors");
    let server = scene.server();
    server.connect().ask("hello");
    let mut bridge = scene.bridge(own_address(), &[]);
    bridge.wait_for("it is tried again");
    assert_refused(scene.bridge(own_address(), &[]), 1, "another bridge uses it");
    bridge.kill();
    fs::write(scene.path("state/cursors"), "nonsense").unwrap();
    assert_refused(scene.bridge(own_address(), &[]), 1, "move it away");
}

#[test]
fn fifo_in_place_of_a_file_is_refused_at_once() {
    let scene = Scene::new("fifo");
    let fifo = scene.text("fifo");
    nix::unistd::mkfifo(fifo.as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let url = "mqtts://localhost:1";
    for option in ["--ca", "--state"] {
        assert_refused(scene.bridge_to(url, &[option, &fifo]), 1, "it is not a regular file");
    }
    for files in [["--cert", &fifo, "--key", "/dev/null"], ["--cert", "/dev/null", "--key", &fifo]] {
        assert_eq!(scene.bridge_to(url, &files).code(), Some(1));
    }
}

#[test]
fn damaged_cursors_end_the_bridge_though_it_takes_commands() {
    let (scene, broker) = (Scene::new("both"), Broker::start(own_address(), ""));
    let _server = scene.server();
    fs::create_dir_all(scene.path("state")).unwrap();
    fs::write(scene.path("state/cursors"), "nonsense").unwrap();
    let mut bridge = scene.bridge(broker.address, &["--subscribe", "do/{node}/#"]);
    assert_eq!(bridge.code(), Some(1));
    bridge.wait_for("move it away");
}

#[test]
fn wrong_options_are_refused_in_one_line() {
    let scene = Scene::new("options");
    assert_refused(scene.bridge_to("http://pi", &[]), 2, "mqtt://");
    assert_refused(scene.bridge(own_address(), &["--urgent", "x"]), 2, "0 to 9");
    let own = ["--subscribe", "firstline/{node}/+"];
    assert_refused(
        scene.bridge(own_address(), &own),
        2,
        "it matches firstline/pi/p0, where this bridge publishes",
    );
}

fn assert_refused(mut bridge: Process, code: i32, part: &str) {
    assert_eq!(bridge.code(), Some(code));
    bridge.wait_for(part);
    assert_eq!(bridge.said().len(), 1, "{:?}", bridge.said());
}
