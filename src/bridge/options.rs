//! The options of `firstline-bridge`, from the command line and the environment. One table defines them all; the help
//! is made of it. Opens nothing.

use super::broker::Broker;
use super::exchange::Version;
use super::limits::{ACK_TIMEOUT_MS_DEFAULT, IN_FLIGHT_DEFAULT, IN_FLIGHT_MAX};
use super::publication::Payload;
use super::tls::Files;
use super::topic::{Topics, is_node, with_node};
use super::turns::SHARE_MAX;
use crate::client::Servers;
use crate::options::Usage;
use crate::protocol::Priority;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

/// The beginning of the variables.
const PREFIX: &str = "FIRSTLINE_BRIDGE_";

/// What the bridge is to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The journal to send, or none: only commands come in.
    pub journal: Option<PathBuf>,
    /// The broker.
    pub to: Option<Broker>,
    /// The template of the topics.
    pub topic: String,
    /// The name of this board.
    pub node: Option<String>,
    /// The file of the cursors.
    pub state: Option<PathBuf>,
    /// What a payload looks like.
    pub payload: Payload,
    /// The lowest urgent priority.
    pub urgent: Priority,
    /// What the rest gets of the bytes, in percent.
    pub min_share: u64,
    /// How many may be on their way.
    pub in_flight: usize,
    /// How long an acknowledgement may take.
    pub ack_timeout: Duration,
    /// Older messages are not sent.
    pub max_age: Option<Duration>,
    /// The version of MQTT.
    pub mqtt: Version,
    /// The name of this client at the broker.
    pub client_id: Option<String>,
    /// The file with the password.
    pub password_file: Option<PathBuf>,
    /// The files for TLS.
    pub tls: Files,
    /// The topics that commands come from.
    pub subscribe: Option<String>,
    /// The hub for commands.
    pub hub: Servers,
    /// The file with the hub's token.
    pub token_file: Option<PathBuf>,
}

impl Options {
    fn new() -> Self {
        Self {
            journal: None,
            to: None,
            topic: "firstline/{node}/p{priority}".to_string(),
            node: None,
            state: None,
            payload: Payload::Json,
            urgent: Priority::HIGH,
            min_share: 10,
            in_flight: IN_FLIGHT_DEFAULT,
            ack_timeout: Duration::from_millis(ACK_TIMEOUT_MS_DEFAULT),
            max_age: None,
            mqtt: Version::V5_0,
            client_id: None,
            password_file: None,
            tls: Files::default(),
            subscribe: None,
            hub: Servers::from(std::net::SocketAddr::from(([127, 0, 0, 1], crate::limits::PORT_DEFAULT))),
            token_file: None,
        }
    }
}

/// What the command line requests.
pub enum Action {
    /// Run the bridge.
    Run(Box<Options>),
    /// Print this and exit.
    Print(String),
}

/// An option.
struct Setting {
    name: &'static str,
    value: &'static str,
    help: &'static str,
    set: fn(&mut Options, &str) -> Result<(), String>,
}

/// All options, as the help lists them.
const SETTINGS: [Setting; 20] = [
    Setting {
        name: "journal",
        value: "DIR",
        help: "the server's journal, which is sent; it is only read",
        set: |options, text| set_path(&mut options.journal, text),
    },
    Setting {
        name: "to",
        value: "URL",
        help: "the broker: mqtt://[USER@]HOST[:PORT], or mqtts:// for TLS",
        set: |options, text| text.parse().map(|broker| options.to = Some(broker)),
    },
    Setting {
        name: "topic",
        value: "TOPIC",
        help: "where messages go [firstline/{node}/p{priority}]",
        // The node may be named later: `Names` measures the topic with it.
        set: |options, text| Topics::new(text, "x").map(|_| options.topic = text.to_string()),
    },
    Setting {
        name: "node",
        value: "NAME",
        help: "the name of this board in topics and keys [its host name]",
        set: |options, text| name(text).map(|node| options.node = Some(node)),
    },
    Setting {
        name: "state",
        value: "FILE",
        help: "where the bridge notes what is acknowledged; one for each bridge",
        set: |options, text| set_path(&mut options.state, text),
    },
    Setting {
        name: "payload",
        value: "KIND",
        help: "json: as firstline journal --json, with node and key; text [json]",
        set: |options, text| {
            options.payload = match text {
                "json" => Payload::Json,
                "text" => Payload::Text,
                _ => return Err("takes json or text".to_string()),
            };
            Ok(())
        },
    },
    Setting {
        name: "urgent",
        value: "N",
        help: "messages of priority N and above go before all others [7]",
        set: |options, text| {
            let number = number(text, 0..=9)? as u8;
            Priority::new(number)
                .map(|priority| options.urgent = priority)
                .ok_or_else(|| "takes 0 to 9".to_string())
        },
    },
    Setting {
        name: "min-share",
        value: "PERCENT",
        help: "what the others get of the bytes while urgent ones wait [10]",
        set: |options, text| number(text, 1..=SHARE_MAX).map(|share| options.min_share = share),
    },
    Setting {
        name: "in-flight",
        value: "N",
        help: "messages on their way without an acknowledgement, at most [20]",
        set: |options, text| {
            number(text, 1..=IN_FLIGHT_MAX as u64).map(|count| options.in_flight = count as usize)
        },
    },
    Setting {
        name: "ack-timeout",
        value: "S",
        help: "how long the broker may take to answer, in seconds [30]",
        set: |options, text| number(text, 1..=3_600).map(|s| options.ack_timeout = Duration::from_secs(s)),
    },
    Setting {
        name: "max-age",
        value: "S",
        help: "do not send what is older than S seconds, but tell it as lost [off]",
        set: |options, text| {
            options.max_age = match text {
                "off" => None,
                _ => Some(Duration::from_secs(
                    number(text, 1..=u64::from(u32::MAX)).map_err(|error| error + ", or off")?,
                )),
            };
            Ok(())
        },
    },
    Setting {
        name: "mqtt",
        value: "VERSION",
        help: "5 or 3.1.1 [5]",
        set: |options, text| {
            options.mqtt = match text {
                "5" => Version::V5_0,
                "3.1.1" => Version::V3_1_1,
                _ => return Err("takes 5 or 3.1.1".to_string()),
            };
            Ok(())
        },
    },
    Setting {
        name: "client-id",
        value: "ID",
        help: "the name of this client at the broker [firstline-NODE]",
        set: |options, text| name(text).map(|id| options.client_id = Some(id)),
    },
    Setting {
        name: "password-file",
        value: "FILE",
        help: "the password in one line, or the user and the password in two",
        set: |options, text| set_path(&mut options.password_file, text),
    },
    Setting {
        name: "ca",
        value: "FILE",
        help: "trust these authorities, in PEM [the system's]",
        set: |options, text| set_path(&mut options.tls.ca, text),
    },
    Setting {
        name: "cert",
        value: "FILE",
        help: "this client's certificate, in PEM",
        set: |options, text| set_path(&mut options.tls.certificate, text),
    },
    Setting {
        name: "key",
        value: "FILE",
        help: "its private key, in PEM, which only its owner can read",
        set: |options, text| set_path(&mut options.tls.key, text),
    },
    Setting {
        name: "subscribe",
        value: "TOPIC",
        help: "take commands from there, and send them to the server",
        set: |options, text| with_node(text, "x").map(|_| options.subscribe = Some(text.to_string())),
    },
    Setting {
        name: "hub",
        value: "HOST[:PORT]",
        help: "the server for commands [127.0.0.1:9090]",
        set: |options, text| {
            text.parse()
                .map(|hub| options.hub = hub)
                .map_err(|error: crate::client::BadServers| error.to_string())
        },
    },
    Setting {
        name: "token-file",
        value: "FILE",
        help: "the token that the server asks for",
        set: |options, text| set_path(&mut options.token_file, text),
    },
];

/// Reads the command line without the program's name, and the environment. The command line wins.
///
/// # Errors
/// The first mistake, in one line.
pub fn parse(
    args: impl Iterator<Item = OsString>,
    env: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Action, String> {
    let mut options = Options::new();
    let mut given = Vec::new();
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        let name = match argument {
            lexopt::Arg::Long("help") | lexopt::Arg::Short('h') => return Ok(Action::Print(help())),
            lexopt::Arg::Long("version") | lexopt::Arg::Short('V') => {
                return Ok(Action::Print(format!("firstline-bridge {}\n", env!("CARGO_PKG_VERSION"))));
            }
            lexopt::Arg::Long(name) => name.to_string(),
            lexopt::Arg::Short(letter) => {
                return Err(format!("-{letter}: no such option; see firstline bridge --help"));
            }
            lexopt::Arg::Value(value) => {
                return Err(Usage::given(&value, "is no option; see firstline bridge --help").to_string());
            }
        };
        let setting = setting(&name)?;
        let value = parser.value().unwrap_or_default();
        set(setting, &mut options, &value)
            .map_err(|allowed| Usage::option(&name, &value, allowed).to_string())?;
        given.push(setting.name);
    }
    for (name, value) in env {
        read_variable(&name, &value, &given, &mut options)?;
    }
    check(&options)?;
    Ok(Action::Run(Box::new(options)))
}

fn setting(name: &str) -> Result<&'static Setting, String> {
    SETTINGS.iter().find(|setting| setting.name == name).ok_or_else(|| {
        let near = crate::nearest::nearest(name.as_bytes(), SETTINGS.iter().map(|setting| setting.name));
        let advice = near.map_or_else(
            || "see firstline bridge --help".to_string(),
            |near| format!("did you mean --{near}?"),
        );
        Usage::given(OsStr::new(&format!("--{name}")), format!("no such option; {advice}")).to_string()
    })
}

fn read_variable(name: &OsStr, value: &OsStr, given: &[&str], options: &mut Options) -> Result<(), String> {
    let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { return Ok(()) };
    if value.is_empty() {
        return Ok(());
    }
    let Some(setting) = SETTINGS.iter().find(|setting| variable(setting.name) == rest) else {
        return Err(Usage::given(name, "no such variable; see firstline bridge --help").to_string());
    };
    if given.contains(&setting.name) {
        return Ok(());
    }
    set(setting, options, value)
        .map_err(|allowed| Usage::variable(&name.to_string_lossy(), value, allowed).to_string())
}

/// The name of an option's variable, behind the prefix.
fn variable(name: &str) -> String {
    name.to_ascii_uppercase().replace('-', "_")
}

fn set(setting: &Setting, options: &mut Options, value: &OsStr) -> Result<(), String> {
    (setting.set)(options, value.to_str().ok_or("takes text in UTF-8")?)
}

/// Refuses what does not go together, so that nobody believes in an option without effect.
fn check(options: &Options) -> Result<(), String> {
    let Some(to) = &options.to else {
        return Err(
            "--to mqtt://HOST is missing: it names the broker; see firstline bridge --help".to_string()
        );
    };
    if options.journal.is_none() && options.subscribe.is_none() {
        return Err("--journal DIR is missing: it names the server's journal; see firstline bridge --help"
            .to_string());
    }
    let Files { ca, certificate, key } = &options.tls;
    if !to.is_tls && (ca.is_some() || certificate.is_some() || key.is_some()) {
        return Err("--ca, --cert and --key do nothing without TLS: write --to mqtts://".to_string());
    }
    if certificate.is_some() != key.is_some() {
        return Err("--cert and --key go together".to_string());
    }
    if to.user.is_some() && options.password_file.is_none() {
        return Err("--to names a user; give the password by --password-file".to_string());
    }
    if options.subscribe.is_none() && options.token_file.is_some() {
        return Err("--token-file does nothing without --subscribe".to_string());
    }
    Ok(())
}

fn set_path(path: &mut Option<PathBuf>, text: &str) -> Result<(), String> {
    if text.is_empty() || text.starts_with('-') {
        return Err("takes a path; write ./-NAME for one that begins with -".to_string());
    }
    *path = Some(text.into());
    Ok(())
}

fn name(text: &str) -> Result<String, String> {
    if is_node(text) { Ok(text.to_string()) } else { Err("takes 1 to 64 of A-Z a-z 0-9 . - _".to_string()) }
}

fn number(text: &str, range: std::ops::RangeInclusive<u64>) -> Result<u64, String> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if is_digits { text.parse().ok() } else { None };
    number
        .filter(|number| range.contains(number))
        .ok_or_else(|| format!("takes a number from {} to {}", range.start(), range.end()))
}

/// The help, each line with its LF.
pub fn help() -> String {
    let mut help = "\
Usage: firstline bridge --journal DIR --to mqtt://[USER@]HOST[:PORT] [OPTION]...

Sends what a firstline server has in its journal to an MQTT broker, each message
until the broker has acknowledged it: the urgent ones first, and at least once.
A message can arrive twice; its key, NODE-ID-CHECKSUM, tells. What cannot be
sent is told to the topic lost beside those of the messages.

"
    .to_string();
    for Setting { name, value, help: text, .. } in &SETTINGS {
        let option = format!("--{name} {value}");
        // Both columns together fit a terminal.
        if text.len() > 54 || option.len() > 22 {
            help += &format!("  {option}\n{:8}{text}\n", "");
        } else {
            help += &format!("  {option:<22}  {text}\n");
        }
    }
    help += "  -V, --version           print the version
  -h, --help              print this

Each option is a variable too: FIRSTLINE_BRIDGE_JOURNAL=DIR. Without --state,
the file is cursors in $STATE_DIRECTORY, or in ~/.local/state/firstline-bridge;
FILE.json beside it has counters, or with systemd counters.json in
$RUNTIME_DIRECTORY. It ends on SIGTERM with 0; with 2 for a wrong option, and
with 1 for a file that cannot be used. A broker or a journal that is away does
not end it.
";
    help
}

#[cfg(test)]
mod tests;
