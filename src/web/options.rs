//! The arguments and variables of `firstline-web`.

use crate::limits::{HOST_BYTES_MAX, HOSTS_MAX, LISTENERS_MAX};
use firstline::client::Servers;
use firstline::nearest::nearest;
use firstline::options::{Usage, words};
use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// The port, unless an option gives another.
const PORT_DEFAULT: u16 = 9180;

/// The beginning of the names of the variables.
const PREFIX: &str = "FIRSTLINE_WEB_";

/// The names of the options with a value.
const NAMES: [&str; 6] =
    ["listen", "host", "token-file", "viewer-token-file", "allow-send", "bridge-counters"];

/// The action that the command line requests.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Serve the page.
    Serve(Options),
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

/// The settings from the command line and the environment.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
    /// Names of this machine that viewers may use, in addition to its own name.
    pub hosts: Vec<String>,
    /// The file with the token for the hub.
    pub token_file: Option<PathBuf>,
    /// The file with the token for viewers.
    pub viewer_token_file: Option<PathBuf>,
    /// Whether viewers with that token may send.
    pub allows_send: bool,
    /// The file with the counters of `firstline-bridge`.
    pub bridge_counters: Option<PathBuf>,
    /// The hubs; the first that answers is used.
    pub hub: Option<Servers>,
}

/// Parses the arguments, without the program's name, and the environment. An option overrides its variable.
///
/// # Errors
/// The first error, in one line.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    env: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Action, Usage> {
    let mut options = Options::default();
    let mut given = Vec::new();
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(argument) =
        parser.next().map_err(|error| Usage::given(error.to_string().as_ref(), "see --help"))?
    {
        let name = match argument {
            lexopt::Arg::Long("help") | lexopt::Arg::Short('h') => return Ok(Action::Help),
            lexopt::Arg::Long("version") | lexopt::Arg::Short('V') => return Ok(Action::Version),
            lexopt::Arg::Long(name) if NAMES.contains(&name) => name.to_string(),
            lexopt::Arg::Long(name) => return Err(unknown(name)),
            lexopt::Arg::Short(letter) => {
                return Err(Usage::given(format!("-{letter}").as_ref(), "no such option; see --help"));
            }
            lexopt::Arg::Value(value) if options.hub.is_none() => {
                options.set("hub", &value).map_err(|allowed| Usage::given(&value, allowed))?;
                given.push("hub".to_string());
                continue;
            }
            lexopt::Arg::Value(value) => {
                return Err(Usage::given(&value, "takes one HUB; write HOST,HOST for several"));
            }
        };
        let value = match name.as_str() {
            "allow-send" => parser.optional_value().unwrap_or_else(|| "on".into()),
            _ => parser.value().unwrap_or_default(),
        };
        options.set(&name, &value).map_err(|allowed| Usage::option(&name, &value, allowed))?;
        given.push(name);
    }
    for (variable, value) in env {
        options.read_variable(&variable, &value, &given)?;
    }
    options.checked().map(Action::Serve)
}

fn unknown(name: &str) -> Usage {
    let near = nearest(name.as_bytes(), NAMES.into_iter().chain(["help", "version"]));
    let advice = near.map_or("see --help".to_string(), |near| format!("did you mean --{near}?"));
    Usage::given(format!("--{name}").as_ref(), format!("no such option; {advice}"))
}

impl Options {
    fn read_variable(&mut self, variable: &OsStr, value: &OsStr, given: &[String]) -> Result<(), Usage> {
        let Some(rest) = variable.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { return Ok(()) };
        let name = rest.to_ascii_lowercase().replace('_', "-");
        if value.is_empty() || given.contains(&name) {
            return Ok(());
        }
        let variable = format!("{PREFIX}{rest}");
        if name != "hub" && !NAMES.contains(&name.as_str()) {
            return Err(Usage::variable(&variable, value, "no such setting; see firstline-web --help"));
        }
        self.set(&name, value).map_err(|allowed| Usage::variable(&variable, value, allowed))
    }

    fn set(&mut self, name: &str, value: &OsStr) -> Result<(), String> {
        let text = value.to_str().ok_or("takes text in UTF-8")?;
        match name {
            "listen" => add(&mut self.listen, listen(text)?, LISTENERS_MAX)?,
            "host" => add(&mut self.hosts, host(text)?, HOSTS_MAX)?,
            "token-file" => self.token_file = Some(path(text, "a token")?),
            "viewer-token-file" => self.viewer_token_file = Some(path(text, "a token")?),
            "bridge-counters" => self.bridge_counters = Some(path(text, "the bridge's counters")?),
            "allow-send" => {
                self.allows_send = match text {
                    "on" => true,
                    "off" => false,
                    _ => return Err("takes on or off".to_string()),
                }
            }
            _ => self.hub = Some(text.parse().map_err(|error| format!("{error}"))?),
        }
        Ok(())
    }

    fn checked(mut self) -> Result<Self, Usage> {
        if self.hub.is_none() {
            return Err(Usage::given(
                "firstline-web".as_ref(),
                "takes HUB, such as 127.0.0.1; see firstline-web --help",
            ));
        }
        if self.allows_send && self.viewer_token_file.is_none() {
            let advice =
                "takes --viewer-token-file FILE too, so that not everybody who reaches the page can send";
            return Err(Usage::given("--allow-send".as_ref(), advice));
        }
        if self.listen.is_empty() {
            self.listen.push(SocketAddr::from(([127, 0, 0, 1], PORT_DEFAULT)));
        }
        Ok(self)
    }
}

/// Appends `more` to a list, which may have `max` items.
fn add<T>(list: &mut Vec<T>, more: Vec<T>, max: usize) -> Result<(), String> {
    list.extend(more);
    if list.len() > max { Err(format!("takes {max} at most")) } else { Ok(()) }
}

fn listen(text: &str) -> Result<Vec<SocketAddr>, String> {
    let bare = |word: &str| {
        word.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(word).parse::<IpAddr>()
    };
    let address = |word: &str| {
        word.parse().ok().or_else(|| bare(word).ok().map(|ip| SocketAddr::new(ip, PORT_DEFAULT)))
    };
    let listed: Option<Vec<_>> = words(text).map(address).collect();
    let allowed = || {
        format!(
            "takes addresses like 127.0.0.1:{PORT_DEFAULT} or [::]:{PORT_DEFAULT}; host names are not looked up"
        )
    };
    listed.filter(|listed| !listed.is_empty()).ok_or_else(allowed)
}

fn host(text: &str) -> Result<Vec<String>, String> {
    let is_name = |name: &&str| {
        name.len() <= HOST_BYTES_MAX
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
    };
    let names: Vec<_> = words(text).map(str::to_string).collect();
    match !names.is_empty() && names.iter().map(String::as_str).all(|name| is_name(&name)) {
        true => Ok(names),
        false => {
            Err("takes the name by which viewers call this machine, without a port: dash.example.org"
                .to_string())
        }
    }
}

fn path(text: &str, content: &str) -> Result<PathBuf, String> {
    match text.is_empty() || text.starts_with('-') {
        true => Err(format!("takes the path of a file with {content}")),
        false => Ok(text.into()),
    }
}

/// The help, each line with its LF.
pub const HELP: &str = "\
Usage: firstline web [OPTION]... HUB

Serves a page about the firstline server HUB, which people open in a browser,
and /metrics for Prometheus. HUB is a host, HOST:PORT, or HOST,HOST: then the
first that answers.

  --listen ADDR      where to listen: an address, or ADDRESS:PORT; may be
                     repeated [127.0.0.1:9180]
  --host NAME        answer to this name too; addresses, localhost, *.local and
                     this machine's own name are answered anyway
  --token-file F     show HUB the token in F, a file that only its owner can
                     read, where HUB asks for tokens
  --viewer-token-file F   viewers must show the token in F to see names and
                     texts. Without it, all viewers see them if HUB asks for no
                     tokens, and none if it does
  --allow-send       viewers that have shown that token may send messages
  --bridge-counters F   show the counters of firstline-bridge too, which it
                     writes to F: /run/firstline-bridge/counters.json
  -V, --version      print the version
  -h, --help         print this

Each option has a variable, such as FIRSTLINE_WEB_LISTEN=0.0.0.0:9180; HUB is
FIRSTLINE_WEB_HUB.

Exit status: 1 if it cannot listen or read a token, 2 for a wrong option.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str], env: &[(&str, &str)]) -> Result<Action, String> {
        let env = env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        parse(args.iter().map(OsString::from), env).map_err(|usage| usage.to_string())
    }

    fn options(args: &[&str], env: &[(&str, &str)]) -> Options {
        match read(args, env) {
            Ok(Action::Serve(options)) => options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn option_overrides_its_variable() {
        let plain = options(&["pi"], &[]);
        assert_eq!(plain.listen, ["127.0.0.1:9180".parse().unwrap()]);
        assert_eq!(plain.hub, Some("pi".parse().unwrap()));
        let env = [
            ("FIRSTLINE_WEB_LISTEN", "127.0.0.1"),
            ("FIRSTLINE_WEB_HUB", "pi:91"),
            ("FIRSTLINE_LISTEN", "x"),
        ];
        let all = options(
            &[
                "--listen=[::1]:1 127.0.0.2",
                "--host",
                "a.example",
                "--allow-send",
                "--viewer-token-file",
                "v",
                "--token-file",
                "t",
            ],
            &env,
        );
        assert_eq!(all.listen, ["[::1]:1".parse().unwrap(), "127.0.0.2:9180".parse().unwrap()]);
        assert_eq!((all.hub, all.hosts), (Some("pi:91".parse().unwrap()), vec!["a.example".to_string()]));
        assert!(
            all.allows_send
                && all.token_file == Some("t".into())
                && all.viewer_token_file == Some("v".into())
        );
        assert_eq!(read(&["--help", "--nonsense"], &[]), Ok(Action::Help));
    }

    #[test]
    fn every_refusal_says_what_is_allowed() {
        for (args, line) in [
            (&[][..], "firstline-web: takes HUB, such as 127.0.0.1; see firstline-web --help"),
            (&["--lisen", "1"], "--lisen: no such option; did you mean --listen?"),
            (
                &["--listen", "pi:1", "pi"],
                "--listen pi:1: takes addresses like 127.0.0.1:9180 or [::]:9180; host names are not looked up",
            ),
            (&["pi", "po"], "po: takes one HUB; write HOST,HOST for several"),
            (
                &["http://pi"],
                "http://pi: takes HOST or HOST:PORT, like raspberrypi, 10.0.0.7:9090 or [::1]:9090",
            ),
            (
                &["pi", "--allow-send"],
                "--allow-send: takes --viewer-token-file FILE too, so that not everybody who reaches the page can send",
            ),
            (
                &["pi", "--host", "a:1"],
                "--host a:1: takes the name by which viewers call this machine, without a port: dash.example.org",
            ),
        ] {
            assert_eq!(read(args, &[]), Err(line.to_string()), "{args:?}");
        }
        assert!(read(&["pi"], &[("FIRSTLINE_WEB_LISTN", "1")]).unwrap_err().contains("no such setting"));
    }

    #[test]
    fn help_names_every_option_and_fits_a_terminal() {
        assert!(NAMES.iter().all(|name| HELP.contains(&format!("--{name} "))));
        assert!(HELP.lines().all(|line| line.len() <= 80 && line.trim_end() == line));
    }
}
