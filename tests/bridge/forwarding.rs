//! What the bridge does while nothing fails, and after a long outage.

use crate::broker::{Broker, subscriber};
use crate::scene::{RESIDENT_KB_MAX, Scene, check, is_urgent, send};
use crate::support::eventually;
use crate::support::own_address::own_address;
use crate::tap::Tap;
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

#[test]
fn urgent_messages_lead_after_an_outage_and_the_rest_keeps_its_share() {
    let scene = Scene::new("outage");
    let (server, address) = (scene.server(), own_address());
    let tap = Tap::to(address);
    let bridge = scene.bridge(tap.address, &[]);
    bridge.wait_for("it is tried again");
    let expected = send(&mut server.connect(), "m", 2_000, 4);
    let _broker = Broker::start(address, "");
    check(&tap, expected);
    let published = tap.published();
    let last_urgent = published.iter().rposition(is_urgent).unwrap();
    let rest = published[..last_urgent].iter().filter(|message| !is_urgent(message)).count();
    // 10 percent of the bytes are about 10 percent of the messages: 56 of these.
    assert!((30..80).contains(&rest), "{rest} others were published before the last of 500 urgent ones");
    assert!(bridge.status_kb("VmHWM") <= RESIDENT_KB_MAX, "{} KiB", bridge.status_kb("VmHWM"));
}

#[test]
fn receive_maximum_and_in_flight_are_kept() {
    for (lines, args, most) in [
        ("max_inflight_messages 1\n", &[][..], 1),
        ("", &["--in-flight", "3"], 3),
        ("", &["--in-flight", "1"], 1),
    ] {
        let scene = Scene::new("maximum");
        let (server, broker) = (scene.server(), Broker::start(own_address(), lines));
        let tap = Tap::to(broker.address);
        let expected = send(&mut server.connect(), "m", 300, 3);
        let _bridge = scene.bridge(tap.address, args);
        check(&tap, expected);
        assert_eq!(tap.most_outstanding(), most);
    }
}

#[test]
fn restart_continues_where_it_was() {
    let scene = Scene::new("restart");
    let (server, broker) = (scene.server(), Broker::start(own_address(), ""));
    let tap = Tap::to(broker.address);
    let mut expected = Vec::new();
    for run in 0..3 {
        let mut bridge = scene.bridge(tap.address, &[]);
        expected.extend(send(&mut server.connect(), &format!("run{run}"), 50, 5));
        check(&tap, expected.clone());
        assert_eq!(bridge.end(), Some(0));
    }
    assert_eq!(tap.published().len(), expected.len(), "an orderly end doubles nothing");
    let counters = scene.counters().unwrap();
    assert_eq!(counters["acknowledged_urgent"], 10);
    assert_eq!(counters["next_rest"], 151);
}

#[test]
fn other_classes_after_a_restart_leave_no_message_out() {
    let scene = Scene::new("classes");
    let (server, broker) = (scene.server(), Broker::start(own_address(), ""));
    let tap = Tap::to(broker.address);
    // All urgent ones arrive, the rest does not. So the cursors are far apart when they are saved.
    tap.keep_back(Some("/p4"));
    let mut expected = send(&mut server.connect(), "m", 100, 2);
    let mut bridge = scene.bridge(tap.address, &["--urgent", "9"]);
    tap.wait("urgent ones arrive", |acknowledged| acknowledged.len() == 50);
    assert_eq!(bridge.end(), Some(0));
    let counters = scene.counters().unwrap();
    // Of each 32 that it gets at once, the server processes the urgent ones first.
    assert!(counters["next_rest"].as_u64() <= Some(32), "{counters}");
    assert!(counters["next_urgent"].as_u64() > Some(64), "{counters}");
    tap.keep_back(None);
    let _bridge = scene.bridge(tap.address, &["--urgent", "4"]);
    expected.sort();
    tap.wait("all arrive", |acknowledged| crate::scene::texts(acknowledged) == expected);
}

#[test]
fn mqtt_3_1_1_and_texts_arrive() {
    let scene = Scene::new("old");
    let (server, broker) = (scene.server(), Broker::start(own_address(), ""));
    let subscriber = subscriber(broker.address, &["-t", "boards/#"]);
    broker.wait_for("SUBSCRIBE");
    server.connect().ask("/urgent smoke in the workshop");
    let topic = ["--topic", "boards/{node}/{priority}"];
    let _bridge =
        scene.bridge(broker.address, &[&topic[..], &["--mqtt", "3.1.1", "--payload", "text"]].concat());
    assert_eq!(subscriber.wait_for("smoke"), "boards/pi/9 smoke in the workshop");
}

#[test]
fn home_assistant_example_reads_what_arrives() {
    let example = include_str!("../../deploy/examples/home-assistant-firstline.yaml");
    let scene = Scene::new("example");
    let (server, broker) = (scene.server(), Broker::start(own_address(), "max_packet_size 400\n"));
    let tap = Tap::to(broker.address);
    let mut client = server.connect();
    client.ask("/urgent smoke in the workshop");
    client.ask(&"x".repeat(500));
    let _bridge = scene.bridge(tap.address, &[]);
    tap.wait("both arrive", |acknowledged| acknowledged.len() == 2);
    let arrived = tap.acknowledged();
    let topics: BTreeSet<String> = after(example, "topic: ").map(|topic| topic.replace('+', "pi")).collect();
    assert_eq!(topics, arrived.iter().map(|message| message.topic.clone()).collect());
    let fields: BTreeSet<_> = after(example, "_json.").collect();
    assert_eq!(fields, ["from", "key", "lost", "node", "text"].into());
    for message in arrived {
        let json: serde_json::Value = serde_json::from_str(&message.payload).unwrap();
        let has = |field: &str| !json[field].is_null();
        let is_whole = if message.is_lost() {
            has("lost")
        } else {
            ["from", "key", "node", "text"].into_iter().all(has)
        };
        assert!(is_whole, "{json}");
    }
}

/// The words and topics behind each of these.
fn after<'a>(text: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    let is_of_word = |letter: char| letter.is_ascii_alphanumeric() || "/+_".contains(letter);
    text.split(start).skip(1).filter_map(move |rest| rest.split(|letter| !is_of_word(letter)).next())
}

/// An address at `localhost`, the name in the certificates. Nothing reserves its port: another program may take it
/// before the broker does, and then the test fails.
fn localhost_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

#[test]
fn tls_with_a_client_certificate_by_a_trusted_authority_only() {
    let scene = Scene::new("tls");
    certificates(&scene);
    let lines = format!(
        "cafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\n",
        scene.text("ca.crt"),
        scene.text("server.crt"),
        scene.text("server.key")
    );
    let (server, broker) = (scene.server(), Broker::start(localhost_address(), &lines));
    let url = format!("mqtts://localhost:{}", broker.address.port());
    let (ca, cert, key) = (scene.text("ca.crt"), scene.text("client.crt"), scene.text("client.key"));
    server.connect().ask("a secret");
    let stranger = scene.bridge_to(&url, &["--ca", &scene.text("other.crt")]);
    stranger.wait_for("no authority that is trusted here");
    drop(stranger);
    drop(broker);
    // A board whose clock is not set yet; and what openssl req -x509 makes, without more.
    for (name, key, authority, part) in [
        ("early", "server", "ca", "is not valid before 2040-01-01, and the clock here says "),
        ("other", "other", "other", "basicConstraints=CA:FALSE"),
    ] {
        let (cert, key) = (scene.text(&format!("{name}.crt")), scene.text(&format!("{key}.key")));
        let lines = format!("cafile {ca}\ncertfile {cert}\nkeyfile {key}\n");
        let broker = Broker::start(localhost_address(), &lines);
        let authority = scene.text(&format!("{authority}.crt"));
        let url = format!("mqtts://localhost:{}", broker.address.port());
        let bridge = scene.bridge_to(&url, &["--ca", &authority]);
        bridge.wait_for(part);
        // "New connection from", or "Client connection from … failed" if the broker learns of the failure while it
        // accepts. The first connection is the test's.
        eventually("three attempts", || broker.count("onnection from 127.0.0.1") >= 4);
        let told = bridge.said().iter().filter(|line| line.contains(part)).count();
        // Once, or twice around midnight.
        assert!(told <= 2, "{:?}", bridge.said());
    }
    let broker = Broker::start(localhost_address(), &lines);
    let url = format!("mqtts://localhost:{}", broker.address.port());
    let nobody = scene.bridge_to(&url, &["--ca", &ca]);
    nobody.wait_for("it is tried again");
    drop(nobody);
    let bridge = scene.bridge_to(&url, &["--ca", &ca, "--cert", &cert, "--key", &key]);
    bridge.wait_for("connected to mqtts://");
    eventually("it arrives", || scene.counters().is_some_and(|counters| counters["acknowledged_rest"] == 1));
    drop(bridge);
    fs::set_permissions(scene.path("client.key"), Permissions::from_mode(0o644)).unwrap();
    let mut exposed = scene.bridge_to(&url, &["--ca", &ca, "--cert", &cert, "--key", &key]);
    assert_eq!(exposed.code(), Some(1));
    exposed.wait_for("chmod 600");
}

/// An authority with certificates for a server and a client, and another authority.
fn certificates(scene: &Scene) {
    let script = "set -e
        openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=ca
        openssl req -x509 -newkey rsa:2048 -nodes -keyout other.key -out other.crt -days 2 -subj /CN=other
        for name in server client; do
            openssl req -newkey rsa:2048 -nodes -keyout $name.key -out $name.csr -subj /CN=$name
            printf 'subjectAltName=DNS:localhost\\nbasicConstraints=CA:FALSE\\n' >ext
            openssl x509 -req -in $name.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out $name.crt -days 2 -extfile ext
        done
        printf '[ca]\ndefault_ca=d\n[d]\ndatabase=index\nnew_certs_dir=.\nserial=serial\ndefault_md=sha256\npolicy=p\nx509_extensions=e\n' >ca.cnf
        printf '[p]\ncommonName=supplied\n[e]\nsubjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n' >>ca.cnf
        touch index
        echo 01 >serial
        openssl ca -batch -notext -config ca.cnf -cert ca.crt -keyfile ca.key -in server.csr -out early.crt \
            -startdate 20400101000000Z -enddate 20410101000000Z
        chmod 600 *.key";
    let made = Command::new("sh").args(["-c", script]).current_dir(&scene.directory.0).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}
