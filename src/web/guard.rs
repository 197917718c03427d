//! Decides which requests get an answer. Of paths, it knows only that of the page.
//!
//! A page of another site can make a browser send requests here. If that site makes its own name resolve to this
//! machine (DNS rebinding), it could even read the answers. So the name in `Host` must be one of this machine. The
//! guard recognizes all other requests from other sites by the fields that browsers add, `Sec-Fetch-Site` and `Origin`.

use crate::limits::HOST_BYTES_MAX;
use hyper::header::{HOST, HeaderMap, HeaderName, ORIGIN};
use hyper::{Method, StatusCode};
use std::net::{IpAddr, Ipv6Addr};

/// The names of this machine that a viewer may use, in lower case.
#[derive(Debug)]
pub struct Guard {
    names: Vec<String>,
}

/// Why the guard refuses a request: the status, and a line that says what to do.
pub type Refusal = (StatusCode, String);

impl Guard {
    /// A guard that accepts requests to addresses, localhost, `*.localhost`, `*.local` and those names.
    pub fn new(names: impl Iterator<Item = String>) -> Self {
        Self { names: names.map(|name| name.trim_end_matches('.').to_ascii_lowercase()).collect() }
    }

    /// Checks a request of that method and head.
    ///
    /// # Errors
    /// Another site may have made a browser send the request.
    pub fn check(&self, method: &Method, path: &str, head: &HeaderMap) -> Result<(), Refusal> {
        let mut hosts = head.get_all(HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok()).unwrap_or_default();
        if hosts.next().is_some() || !self.is_ours(host) {
            return Err((StatusCode::MISDIRECTED_REQUEST, misdirected(host)));
        }
        let site = text(head, HeaderName::from_static("sec-fetch-site"));
        let is_of_this_page = match site {
            Some(site) => matches!(site, "same-origin" | "none") || is_visit(method, path, head),
            // Old browsers and other programs do not send the field.
            None => true,
        };
        let is_of_this_origin = match text(head, ORIGIN) {
            Some(origin) => {
                origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
            }
            None => true,
        };
        if is_of_this_page && is_of_this_origin {
            Ok(())
        } else {
            Err((StatusCode::FORBIDDEN, "another site asks for this; open the page itself".to_string()))
        }
    }

    fn is_ours(&self, host: &str) -> bool {
        let Some(name) = without_port(host) else { return false };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let is_address = name.parse::<IpAddr>().is_ok();
        is_address
            || name == "localhost"
            || name.ends_with(".localhost")
            || name.ends_with(".local")
            || self.names.contains(&name)
    }
}

/// Whether a person opens the page by a link. The link may be on any site: that site cannot read the page.
fn is_visit(method: &Method, path: &str, head: &HeaderMap) -> bool {
    let is = |name, value| text(head, HeaderName::from_static(name)) == Some(value);
    *method == Method::GET
        && path == "/"
        && is("sec-fetch-mode", "navigate")
        && is("sec-fetch-dest", "document")
}

fn text(head: &HeaderMap, name: HeaderName) -> Option<&str> {
    // A value that is not text becomes one that no check accepts.
    head.get(name).map(|value| value.to_str().unwrap_or("?"))
}

/// The host in `HOST[:PORT]`, an IPv6 address without its brackets.
fn without_port(host: &str) -> Option<&str> {
    let (name, port) = if let Some(rest) = host.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        address.parse::<Ipv6Addr>().ok()?;
        (address, port)
    } else {
        host.find(':').map_or((host, ""), |colon| host.split_at(colon))
    };
    let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    let is_name = (1..=HOST_BYTES_MAX).contains(&name.len());
    (is_port && is_name).then_some(name)
}

fn misdirected(host: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    if host.is_empty() || host.len() > HOST_BYTES_MAX || !host.bytes().all(is_plain) {
        return "this server is asked for by its address, or by a name of its own".to_string();
    }
    let name = without_port(host).unwrap_or(host);
    format!(
        "this server does not know the name {name}; use its address, or start firstline-web with --host {name}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn check(method: Method, path: &str, fields: &[(&'static str, &'static str)]) -> u16 {
        let guard = Guard::new(["Board".to_string(), "dash.example.org".to_string()].into_iter());
        let mut head = HeaderMap::new();
        for (name, value) in fields {
            head.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        guard.check(&method, path, &head).map_or_else(|(status, _)| status.as_u16(), |()| 200)
    }

    #[test]
    fn only_names_of_this_machine_are_accepted() {
        for host in [
            "127.0.0.1:9180",
            "127.0.0.1",
            "[::1]:9180",
            "[fe80::1]",
            "192.168.1.7:80",
            "localhost:1",
            "LOCALHOST",
            "pi.local:9180",
            "Pi.LOCAL.",
            "board",
            "BOARD.:9180",
            "dash.example.org",
        ] {
            assert_eq!(check(Method::GET, "/", &[("host", host)]), 200, "{host}");
        }
        for host in [
            "",
            "evil.example",
            "local",
            "127.0.0.1.evil.example",
            "evil.example:9180",
            "board.evil.example",
            "[::1",
            "[board]",
            "localhost:x",
            "localhost:99999",
            "a@localhost",
            "127.0.0.1:80:80",
            "localhost evil",
        ] {
            assert_eq!(check(Method::GET, "/", &[("host", host)]), 421, "{host}");
        }
        assert_eq!(check(Method::GET, "/", &[]), 421);
        assert_eq!(check(Method::GET, "/", &[("host", "localhost"), ("host", "evil.example")]), 421);
    }

    #[test]
    fn requests_that_other_sites_cause_are_refused() {
        let host = ("host", "board:9180");
        let visit = [
            host,
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        assert_eq!(check(Method::GET, "/", &visit), 200);
        assert_eq!(check(Method::GET, "/history", &visit), 403);
        assert_eq!(check(Method::POST, "/", &visit), 403);
        let frame = [
            host,
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "iframe"),
        ];
        assert_eq!(check(Method::GET, "/", &frame), 403);
        for site in ["cross-site", "same-site", "nonsense", ""] {
            assert_eq!(check(Method::GET, "/metrics", &[host, ("sec-fetch-site", site)]), 403, "{site}");
        }
        for site in ["same-origin", "none"] {
            assert_eq!(check(Method::POST, "/send", &[host, ("sec-fetch-site", site)]), 200, "{site}");
        }
        for (origin, status) in [
            ("http://board:9180", 200),
            ("https://BOARD:9180", 200),
            ("http://board", 403),
            ("http://evil.example", 403),
            ("null", 403),
            ("", 403),
        ] {
            assert_eq!(check(Method::POST, "/send", &[host, ("origin", origin)]), status, "{origin}");
        }
    }

    #[test]
    fn refusal_says_what_to_do_and_repeats_no_markup() {
        assert!(misdirected("pi.example.org:9180").ends_with("with --host pi.example.org"));
        assert!(!misdirected("<script>").contains('<'));
    }
}
