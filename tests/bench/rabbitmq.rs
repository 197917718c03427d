//! Starts RabbitMQ in the foreground, alone with its files, and with its protocol of text.

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The server, which listens on `port` for the protocol of text. All its files are in `data`. It finds the
/// [name server](name_server) at `names_port`.
pub fn command(port: u16, names_port: u16, nodes_port: u16, data: &Path) -> Command {
    let settings = format!("listeners.tcp = none\nstomp.listeners.tcp.1 = 127.0.0.1:{port}\n");
    std::fs::write(data.join("rabbitmq.conf"), settings).expect("a settings file can be written");
    std::fs::write(data.join("plugins"), "[rabbitmq_stomp].\n").expect("a settings file can be written");
    let mut command = Command::new("/usr/lib/rabbitmq/bin/rabbitmq-server");
    let file = |name: &str| data.join(name);
    command
        .env("HOME", data)
        .env("RABBITMQ_CONFIG_FILE", file("rabbitmq.conf"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", file("plugins"))
        .env("RABBITMQ_MNESIA_BASE", file("mnesia"))
        .env("RABBITMQ_LOG_BASE", file("log"))
        .env("RABBITMQ_NODENAME", format!("bench{port}@localhost"))
        .env("RABBITMQ_DIST_PORT", nodes_port.to_string())
        .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}")
        .env("ERL_EPMD_PORT", names_port.to_string())
        // The process that is started is the server then, and no shell that waits for it.
        .env("RUNNING_UNDER_SYSTEMD", "1");
    command
}

/// The name server of Erlang, in the foreground: RabbitMQ would start one that stays.
pub fn name_server(port: u16) -> Child {
    let mut command = Command::new("epmd");
    command.args(["-port", &port.to_string(), "-address", "127.0.0.1"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("tests/bench/run installs it")
}
