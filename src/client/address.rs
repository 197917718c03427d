//! The addresses of servers, as the user writes them. Opens no connection.

use super::limits::{HOST_BYTES_MAX, SERVERS_MAX};
use crate::limits::PORT_DEFAULT;
use nix::net::if_::if_nametoindex;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::str::FromStr;

/// Servers to try in order, 1 to [`SERVERS_MAX`]: `HOST[:PORT][,HOST[:PORT]]...`. HOST is a name, an IPv4 address or an
/// IPv6 address. An IPv6 address needs brackets if a port follows, and may name its interface: `fe80::1%eth0`,
/// `[fe80::1%eth0]:9090`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers(Vec<Server>);

/// The address of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    host: Host,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    /// A name for the resolver.
    Name(String),
    Address(IpAddr),
    /// An IPv6 address on an interface, which is given by its name or number.
    Scoped(Ipv6Addr, String),
}

/// Why a text is not a list of servers: one line that says what is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadServers(String);

impl fmt::Display for BadServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadServers {}

impl FromStr for Servers {
    type Err = BadServers;

    fn from_str(text: &str) -> Result<Self, BadServers> {
        let servers = text.split(',').map(server).collect::<Result<Vec<_>, _>>()?;
        if servers.len() > SERVERS_MAX {
            return Err(BadServers(format!("takes {SERVERS_MAX} servers at most")));
        }
        Ok(Self(servers))
    }
}

impl From<SocketAddr> for Servers {
    fn from(address: SocketAddr) -> Self {
        let host = match address {
            SocketAddr::V6(v6) if v6.scope_id() > 0 => Host::Scoped(*v6.ip(), v6.scope_id().to_string()),
            _ => Host::Address(address.ip()),
        };
        Self(vec![Server { host, port: address.port() }])
    }
}

impl Servers {
    /// All servers, in order.
    pub fn list(&self) -> &[Server] {
        &self.0
    }
}

impl Server {
    /// Its address; `None`: it has a name instead.
    ///
    /// # Errors
    /// No interface has that name now.
    pub fn address(&self) -> Option<io::Result<SocketAddr>> {
        match &self.host {
            Host::Name(_) => None,
            Host::Address(ip) => Some(Ok(SocketAddr::new(*ip, self.port))),
            Host::Scoped(ip, interface) => Some(
                interface
                    .parse()
                    .map_or_else(|_| if_nametoindex(interface.as_str()), Ok)
                    .map(|index| SocketAddrV6::new(*ip, self.port, 0, index).into())
                    .map_err(io::Error::from),
            ),
        }
    }

    /// Its name and port for the resolver, if it has a name.
    pub fn name(&self) -> Option<(&str, u16)> {
        if let Host::Name(name) = &self.host { Some((name, self.port)) } else { None }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.port;
        match &self.host {
            Host::Name(name) => write!(f, "{name}:{port}"),
            Host::Address(ip) => write!(f, "{}", SocketAddr::new(*ip, port)),
            Host::Scoped(ip, interface) => write!(f, "[{ip}%{interface}]:{port}"),
        }
    }
}

fn server(word: &str) -> Result<Server, BadServers> {
    let (host, port) =
        if let Some((host, rest)) = word.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            let port = match rest {
                "" => None,
                _ => Some(rest.strip_prefix(':').ok_or_else(bad)?),
            };
            (v6(host)?.ok_or_else(bad)?, port)
        } else if let Some(host) = v6(word)? {
            (host, None)
        } else {
            match word.split_once(':') {
                Some((host, port)) => (name(host)?, Some(port)),
                None => (name(word)?, None),
            }
        };
    let port = port.map_or(Ok(PORT_DEFAULT), self::port)?;
    Ok(Server { host, port })
}

/// An IPv6 address, perhaps with an interface.
fn v6(text: &str) -> Result<Option<Host>, BadServers> {
    let (address, interface) = text.split_once('%').map_or((text, None), |(ip, name)| (ip, Some(name)));
    let Ok(ip) = address.parse::<Ipv6Addr>() else { return Ok(None) };
    match interface {
        Some(interface) if !interface.is_empty() => Ok(Some(Host::Scoped(ip, interface.to_string()))),
        None if !ip.is_unicast_link_local() => Ok(Some(Host::Address(ip.into()))),
        _ => Err(BadServers(format!("takes a link-local address with its interface: {ip}%eth0"))),
    }
}

/// An IPv4 address or a name.
fn name(text: &str) -> Result<Host, BadServers> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        Ok(Host::Address(ip))
    } else if is_name(text) {
        Ok(Host::Name(text.to_string()))
    } else {
        Err(bad())
    }
}

/// Whether the text is a host name by RFC 1123, section 2.1, except that underscores are allowed. The last label must
/// not be a number, because no top-level domain is one: the text would be a wrong IPv4 address, or a port without a
/// host.
fn is_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(is_allowed) && !label.starts_with('-') && !label.ends_with('-')
    };
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    let relative = text.strip_suffix('.').unwrap_or(text);
    text.len() <= HOST_BYTES_MAX
        && relative.split('.').all(is_label)
        && !relative.rsplit('.').next().is_some_and(is_number)
}

fn port(text: &str) -> Result<u16, BadServers> {
    // Perhaps a URL.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad());
    }
    text.parse().ok().filter(|port| *port > 0).ok_or_else(bad_port)
}

fn bad() -> BadServers {
    BadServers(format!(
        "takes HOST or HOST:PORT, like raspberrypi, 10.0.0.7:{PORT_DEFAULT} or [::1]:{PORT_DEFAULT}"
    ))
}

fn bad_port() -> BadServers {
    BadServers("takes a port from 1 to 65535".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(text: &str) -> Result<Vec<String>, String> {
        let servers = text.parse::<Servers>().map_err(|error| error.to_string())?;
        Ok(servers.list().iter().map(Server::to_string).collect())
    }

    #[test]
    fn names_addresses_ports_and_lists_are_parsed() {
        for (text, servers) in [
            ("raspberrypi", &["raspberrypi:9090"][..]),
            ("pi.local:91", &["pi.local:91"]),
            ("my_pi.fritz.box.", &["my_pi.fritz.box.:9090"]),
            ("3d-printer", &["3d-printer:9090"]),
            ("10.0.0.7", &["10.0.0.7:9090"]),
            ("10.0.0.7:1", &["10.0.0.7:1"]),
            ("::1", &["[::1]:9090"]),
            ("[::1]", &["[::1]:9090"]),
            ("[2001:db8::1]:65535", &["[2001:db8::1]:65535"]),
            ("fe80::1%eth0", &["[fe80::1%eth0]:9090"]),
            ("[fe80::1%wlan0.5]:91", &["[fe80::1%wlan0.5]:91"]),
            ("a,b:2,[::1]:3", &["a:9090", "b:2", "[::1]:3"]),
        ] {
            assert_eq!(listed(text).unwrap(), servers, "{text}");
        }
    }

    #[test]
    fn text_that_names_no_server_is_refused() {
        for text in [
            "",
            ",",
            "a,",
            "a b",
            "http://pi",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "[::1",
            "[::1]9",
            "[a]:1",
            "::g",
            "-",
            "-pi",
            "pi-",
            "a..b",
            ".",
            ".local",
            "9090",
            "10.0.0.300",
            "10.0.0",
        ] {
            assert!(listed(text).is_err(), "{text}");
        }
        let of_port = |text: &str| listed(text).unwrap_err().contains("port from 1");
        assert!(of_port("a:0") && of_port("a:65536") && !of_port("http://a:1"));
        assert_eq!(
            listed("fe80::1"),
            Err("takes a link-local address with its interface: fe80::1%eth0".to_string())
        );
        assert!(listed("fe80::1%").is_err());
        assert!(listed(&["a"; SERVERS_MAX + 1].join(",")).is_err());
    }

    #[test]
    fn interface_name_becomes_its_number() {
        let address = |text: &str| text.parse::<Servers>().unwrap().list()[0].address().unwrap();
        let SocketAddr::V6(v6) = address("[fe80::1%7]:91").unwrap() else { panic!("it is IPv6") };
        assert_eq!((v6.scope_id(), v6.port()), (7, 91));
        if let Ok(index) = if_nametoindex("lo") {
            let SocketAddr::V6(v6) = address("fe80::1%lo").unwrap() else { panic!("it is IPv6") };
            assert_eq!(v6.scope_id(), index);
        }
        assert!(address("fe80::1%none").is_err());
    }
}
