//! Names that end in `.local`: two machines announce theirs with Avahi, as Raspberry Pi OS does, and the resolver of the
//! C library asks Avahi.
//!
//! `FIRSTLINE_TEST_MDNS` is a directory with the unpacked packages avahi-daemon and libnss-mdns of this Debian, which
//! need not be installed: `tests/stages/bridge`.

use crate::broker::Broker;
use crate::commands::publish;
use crate::process::Process;
use crate::scene::{Scene, check};
use crate::support::command;
use crate::support::directory::Directory;
use crate::support::hosts::{Host, enter_new_network};
use crate::support::mounted::run;
use crate::tap::Tap;
use nix::sched::{CloneFlags, unshare};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// nsswitch.conf as the installation of libnss-mdns changes it.
const RESOLVER: &str = "passwd: files\ngroup: files\nhosts: files mdns4_minimal [NOTFOUND=return] dns\n";

/// The port of the tap; the broker has the next one. The network of their machine is new, so both are free.
const PORT: u16 = 1883;

/// The unpacked packages.
struct Packages(PathBuf);

impl Packages {
    fn find() -> Self {
        let directory = std::env::var_os("FIRSTLINE_TEST_MDNS");
        Self(directory.expect("FIRSTLINE_TEST_MDNS names the unpacked packages: tests/stages/bridge").into())
    }

    /// Sets `LD_LIBRARY_PATH`, which the command's children inherit.
    fn set_library_path(&self, command: &mut Command) {
        let directory = |top| self.0.join(format!("{top}/{}-linux-gnu", std::env::consts::ARCH));
        let libraries = std::env::join_paths([directory("usr/lib"), directory("lib")]).unwrap();
        command.env("LD_LIBRARY_PATH", libraries);
    }

    /// Starts Avahi, which announces `name` on that interface and answers the resolver. The calling thread gets its own
    /// `/run` and `nsswitch.conf`.
    fn announce(&self, name: &str, interface: &str, scratch: &Path) -> Process {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        run("mount", &["--make-rprivate", "/"]);
        run("mount", &["-t", "tmpfs", "none", "/run"]);
        fs::create_dir_all("/run/avahi-daemon").unwrap();
        let own = &scratch.join(name);
        fs::create_dir_all(own).unwrap();
        replace("/etc/nsswitch.conf", RESOLVER, own);
        // Avahi looks for its user and group, which the installation of its package would make.
        for (file, line) in
            [("/etc/passwd", "avahi:x:990:990::/run:/bin/false\n"), ("/etc/group", "avahi:x:990:\n")]
        {
            replace(file, &(fs::read_to_string(file).unwrap() + line), own);
        }
        let settings = own.join("avahi-daemon.conf");
        let text = format!("[server]\nhost-name={name}\nallow-interfaces={interface}\nenable-dbus=no\n");
        fs::write(&settings, text).unwrap();
        let mut command = Command::new(self.0.join("usr/sbin/avahi-daemon"));
        command.args(["--no-chroot", "--no-rlimits", "--no-drop-root", "--file"]).arg(settings);
        self.set_library_path(&mut command);
        let avahi = Process::start(command);
        avahi.wait_for("Server startup complete");
        avahi
    }
}

/// Mounts a file with that text over a file of the system.
fn replace(file: &str, text: &str, directory: &Path) {
    let own = directory.join(Path::new(file).file_name().unwrap());
    fs::write(&own, text).unwrap();
    run("mount", &["--bind", own.to_str().unwrap(), file]);
}

#[test]
fn bridge_and_client_find_names_that_avahi_announces() {
    enter_new_network();
    let (packages, scene, host) = (Packages::find(), Scene::new("local"), Host::wired(1));
    let scratch = Directory::new("avahi");
    let (address, directory, at) = (host.address(), packages.0.clone(), scratch.0.clone());
    let (_announced, broker, tap) = host.on(move || {
        let announced = Packages(directory).announce("broker", "wire", &at);
        let broker = Broker::start((address, PORT + 1).into(), "");
        let tap = Tap::at((address, PORT).into(), broker.address);
        (announced, broker, tap)
    });
    let _resolving = packages.announce("pi", &host.device(), &scratch.0);
    let server = scene.server_at(&format!("{}:0", host.server_address()));
    let hub = format!("pi.local:{}", server.address.port());
    let url = format!("mqtt://broker.local:{PORT}");
    let mut bridge = scene.command_to(&url, &["--subscribe", "do/{node}/#", "--hub", &hub]);
    packages.set_library_path(&mut bridge);
    let bridge = Process::start(bridge);
    bridge.wait_for("connected to mqtt://broker.local");
    bridge.wait_for("commands come from do/pi/#");
    let mut client = command();
    client.args(["send", &hub, "from a client"]);
    packages.set_library_path(&mut client);
    assert_eq!(Process::start(client).code(), Some(0));
    let commands = broker.address;
    host.on(move || publish(commands, "do/pi/p9", "from a broker", &[]));
    check(&tap, ["from a broker", "from a client"].map(String::from).to_vec());
}
