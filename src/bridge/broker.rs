//! The address of the broker: `mqtt://[USER@]HOST[:PORT]`, or `mqtts://` for TLS. Opens nothing.

use crate::client::Servers;
use crate::client::address::Server;
use std::fmt;
use std::str::FromStr;

const PORT: u16 = 1883;
const TLS_PORT: u16 = 8883;

/// A broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Whether TLS is used.
    pub is_tls: bool,
    /// The user, if there is one.
    pub user: Option<String>,
    /// Its address.
    pub server: Server,
}

impl FromStr for Broker {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "takes mqtt://[USER@]HOST[:PORT], or mqtts:// for TLS";
        let (scheme, rest) = text.split_once("://").ok_or(form)?;
        let is_tls = match scheme {
            "mqtt" => false,
            "mqtts" => true,
            _ => return Err(form.to_string()),
        };
        let (user, place) = rest.rsplit_once('@').map_or((None, rest), |(user, place)| (Some(user), place));
        if user.is_some_and(|user| user.contains(':')) {
            return Err(
                "takes no password, which others could see; put it into a file: --password-file".to_string()
            );
        }
        if user == Some("") || place.contains([',', '/']) {
            return Err(form.to_string());
        }
        let port = if is_tls { TLS_PORT } else { PORT };
        let servers: Servers = with_port(place, port).parse().map_err(|_| form.to_string())?;
        let server = servers.list().first().ok_or(form)?.clone();
        Ok(Self { is_tls, user: user.map(str::to_string), server })
    }
}

impl Broker {
    /// The name or the address that the broker's certificate must have.
    pub fn name_for_tls(&self) -> String {
        match (self.server.name(), self.server.address()) {
            (Some((name, _)), _) => name.to_string(),
            (None, Some(Ok(address))) => address.ip().to_string(),
            (None, _) => String::new(),
        }
    }
}

/// The address, with that port if it has none.
fn with_port(place: &str, port: u16) -> String {
    let colons = place.matches(':').count();
    if place.starts_with('[') {
        if place.ends_with(']') { format!("{place}:{port}") } else { place.to_string() }
    } else if colons > 1 {
        format!("[{place}]:{port}")
    } else if colons == 1 {
        place.to_string()
    } else {
        format!("{place}:{port}")
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mqtt{}://{}", if self.is_tls { "s" } else { "" }, self.server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_writes() {
        for (text, shown, user) in [
            ("mqtt://pi", "mqtt://pi:1883", None),
            ("mqtts://pi.local", "mqtts://pi.local:8883", None),
            ("mqtt://10.0.0.7:1", "mqtt://10.0.0.7:1", None),
            ("mqtts://me@example.org:443", "mqtts://example.org:443", Some("me")),
            ("mqtt://me@here@pi", "mqtt://pi:1883", Some("me@here")),
            ("mqtt://::1", "mqtt://[::1]:1883", None),
            ("mqtt://[::1]", "mqtt://[::1]:1883", None),
            ("mqtt://[fe80::1%eth0]:5", "mqtt://[fe80::1%eth0]:5", None),
        ] {
            let broker: Broker = text.parse().unwrap();
            assert_eq!((broker.to_string().as_str(), broker.user.as_deref()), (shown, user));
        }
        for text in ["", "pi", "http://pi", "mqtt://", "mqtt://@pi", "mqtt://a,b", "mqtt://a/b", "mqtt://a:0"]
        {
            assert!(text.parse::<Broker>().is_err(), "{text}");
        }
        assert!("mqtt://me:secret@pi".parse::<Broker>().unwrap_err().contains("--password-file"));
    }
}
