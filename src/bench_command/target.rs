//! The server to measure: one that runs, or one that is started for the measurement and ends with it.

use super::own::Own;
use super::protocol::Lines;
use super::survey::Survey;
use super::trouble::Trouble;
use crate::client::address::Server;
use crate::client::lookup::Lookup;
use crate::client::{Servers, Token};
use crate::options::{BenchOptions, Usage};
use crate::process_io::failure::Failure;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

/// How often a name that is being looked up is asked for.
const LOOKUP_PAUSE: Duration = Duration::from_millis(5);

/// The server to measure.
#[derive(Debug)]
pub struct Target {
    /// The addresses to try in order; once one answers, that one alone. There is at least one.
    addresses: Vec<SocketAddr>,
    /// As the user wrote it.
    name: String,
    token: Option<Token>,
    /// The server that was started for it.
    own: Option<Own>,
}

impl Target {
    /// The server of the options, or one of this program.
    ///
    /// # Errors
    /// The name or the token is bad, or no server can be reached or started.
    pub fn of(options: &BenchOptions) -> Result<Self, Failure> {
        let token = options.token_file.as_deref().map(Token::read).transpose()?;
        let Some(given) = &options.server else {
            let own = Own::start(options.workers)?;
            return Ok(Self {
                addresses: vec![own.address],
                name: own.address.to_string(),
                token,
                own: Some(own),
            });
        };
        let servers: Servers = given.parse().map_err(|error| Usage::given(given.as_ref(), error))?;
        let [server] = servers.list() else {
            return Err(Usage::given(given.as_ref(), "takes one server").into());
        };
        let addresses = addresses(server).map_err(|error| Failure::system_of(server, &error))?;
        Ok(Self { addresses, name: server.to_string(), token, own: None })
    }

    /// Its address; before a survey, the first of them.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Asks the first of its addresses that answers.
    ///
    /// # Errors
    /// None answers, or what answers is no firstline server.
    pub fn survey(&mut self, lines: &Lines) -> Result<Survey, Trouble> {
        let mut last = None;
        for address in &self.addresses {
            match Survey::when_left(*address, lines, 0) {
                Err(trouble @ Trouble::System(_)) => last = Some(Err(trouble)),
                answer => {
                    self.addresses = vec![*address];
                    return answer;
                }
            }
        }
        last.unwrap_or_else(|| Err(io::Error::from(ErrorKind::AddrNotAvailable).into()))
    }

    /// The token to show.
    pub fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }

    /// Whether it was started for the measurement.
    pub fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Why nothing was measured.
    pub fn failure(&self, trouble: &Trouble) -> Failure {
        Failure::system_of(&self.name, &io::Error::other(trouble.to_string()))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.own.as_ref().map_or(Ok(()), |own| write!(f, ", {own}"))
    }
}

/// The addresses of a server, one or more.
fn addresses(server: &Server) -> io::Result<Vec<SocketAddr>> {
    match (server.address(), server.name()) {
        (Some(address), _) => Ok(vec![address?]),
        (None, Some((name, port))) => look_up(name, port),
        (None, None) => Err(ErrorKind::AddrNotAvailable.into()),
    }
}

fn look_up(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let lookup = Lookup::begin(name, port)?;
    loop {
        if let Some(addresses) = lookup.poll() {
            return addresses;
        }
        thread::sleep(LOOKUP_PAUSE);
    }
}
