//! The options of `firstline-bridge`, from the command line and the environment. One table defines them all; the help
//! is generated from it. Opens nothing.

use super::broker::Broker;
use super::exchange::Version;
use super::limits::{ACK_TIMEOUT_MS_DEFAULT, IN_FLIGHT_DEFAULT};
use super::publication::Payload;
use super::tls::Files;
use crate::client::Servers;
use crate::options::Usage;
use crate::protocol::Priority;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

mod help;
mod table;

use help::help;
use table::{SETTINGS, Setting};

/// The prefix of the names of the variables.
const PREFIX: &str = "FIRSTLINE_BRIDGE_";

/// The settings of the bridge.
#[derive(Clone, Debug)]
pub struct Options {
    /// The journal to send, or `None` if the bridge only receives commands.
    pub journal: Option<PathBuf>,
    /// The broker.
    pub to: Option<Broker>,
    /// The template of the topics.
    pub topic: String,
    /// The name of this board.
    pub node: Option<String>,
    /// The file of the cursors.
    pub state: Option<PathBuf>,
    /// The form of a payload.
    pub payload: Payload,
    /// The lowest urgent priority.
    pub urgent: Priority,
    /// The share of the bytes that the rest gets, in percent.
    pub min_share: u64,
    /// How many messages may be in flight.
    pub in_flight: usize,
    /// How long any answer of the broker may take.
    pub ack_timeout: Duration,
    /// The age beyond which messages are not sent.
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

/// The request of the command line.
pub enum Action {
    /// Run the bridge.
    Run(Box<Options>),
    /// Print this text and exit.
    Print(String),
}

/// Reads the command line without the program's name, and the environment. The command line has precedence.
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
    refuse_unused(&given, &options)?;
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

/// The name of an option's variable, without the prefix.
fn variable(name: &str) -> String {
    name.to_ascii_uppercase().replace('-', "_")
}

fn set(setting: &Setting, options: &mut Options, value: &OsStr) -> Result<(), String> {
    (setting.set)(options, value.to_str().ok_or("takes text in UTF-8")?)
}

/// Refuses options of the command line that have no effect, because they concern another direction. Their variables are
/// accepted: the file of the service may set all of them.
fn refuse_unused(given: &[&str], options: &Options) -> Result<(), String> {
    const JOURNAL_OPTIONS: [&str; 7] =
        ["topic", "state", "payload", "urgent", "min-share", "in-flight", "max-age"];
    const COMMAND_OPTIONS: [&str; 2] = ["hub", "token-file"];
    let unused = |names: &[&str]| given.iter().find(|name| names.contains(name)).copied();
    let of_journal =
        unused(&JOURNAL_OPTIONS).filter(|_| options.journal.is_none()).map(|name| (name, "--journal"));
    let of_commands =
        unused(&COMMAND_OPTIONS).filter(|_| options.subscribe.is_none()).map(|name| (name, "--subscribe"));
    match of_journal.or(of_commands) {
        Some((name, needed)) => Err(format!("--{name} does nothing without {needed}")),
        None => Ok(()),
    }
}

/// Refuses combinations that cannot work, and files that nothing reads.
fn check(options: &Options) -> Result<(), String> {
    let Some(to) = &options.to else {
        return Err(
            "--to mqtt://HOST is missing: it names the broker; see firstline bridge --help".to_string()
        );
    };
    if options.journal.is_none() && options.subscribe.is_none() {
        return Err(
            "--journal DIR is missing: it names the server's journal. For commands alone, give --subscribe TOPIC; see \
             firstline bridge --help"
                .to_string(),
        );
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

#[cfg(test)]
mod tests;
