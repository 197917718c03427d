//! The reasons for which the server closes a connection.

use super::foreign::Foreign;

/// Why the server closes a connection, with the last line that the client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// All places are taken.
    Full,
    /// The client's address has its share of places already.
    AddressFull,
    /// The client's address may not connect.
    NotAllowed,
    /// The client sent nothing for too long.
    Idle,
    /// The client was idle, and another client needs its place.
    GaveWay,
    /// The client did not read its replies for too long.
    TooSlow,
    /// The client did not end a line that it had begun.
    LineTimeout,
    /// The client speaks another protocol.
    Foreign(Foreign),
    /// The client showed too many wrong tokens.
    WrongToken,
    /// The client showed no token in time.
    NotAuthenticated,
    /// The client's token no longer gives the rights that it gave.
    TokenWithdrawn,
    /// The client sent `/quit`.
    Quit,
    /// The server shuts down.
    ShuttingDown,
}

impl Farewell {
    /// All farewells, in the order of their indices.
    pub const ALL: [Self; 19] = [
        Self::Full,
        Self::AddressFull,
        Self::NotAllowed,
        Self::Idle,
        Self::GaveWay,
        Self::TooSlow,
        Self::LineTimeout,
        Self::Foreign(Foreign::Http),
        Self::Foreign(Foreign::Tls),
        Self::Foreign(Foreign::Ssh),
        Self::Foreign(Foreign::Mqtt),
        Self::Foreign(Foreign::Redis),
        Self::Foreign(Foreign::Proxy),
        Self::Foreign(Foreign::Utf16),
        Self::WrongToken,
        Self::NotAuthenticated,
        Self::TokenWithdrawn,
        Self::Quit,
        Self::ShuttingDown,
    ];
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The index in [`Farewell::ALL`].
    pub fn index(self) -> usize {
        Self::ALL.iter().position(|other| *other == self).unwrap_or_default()
    }

    /// The name in the counters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::AddressFull => "address-full",
            Self::NotAllowed => "not-allowed",
            Self::Idle => "idle",
            Self::GaveWay => "gave-way",
            Self::TooSlow => "too-slow",
            Self::LineTimeout => "line-timeout",
            Self::Foreign(Foreign::Http) => "not-http",
            Self::Foreign(Foreign::Tls) => "not-tls",
            Self::Foreign(Foreign::Ssh) => "not-ssh",
            Self::Foreign(Foreign::Mqtt) => "not-mqtt",
            Self::Foreign(Foreign::Redis) => "not-redis",
            Self::Foreign(Foreign::Proxy) => "not-proxy",
            Self::Foreign(Foreign::Utf16) => "not-utf-16",
            Self::WrongToken => "wrong-token",
            Self::NotAuthenticated => "not-authenticated",
            Self::TokenWithdrawn => "token-withdrawn",
            Self::Quit => "quit",
            Self::ShuttingDown => "shutting-down",
        }
    }

    /// The line for the client.
    pub const fn line(self) -> &'static str {
        match self {
            Self::Full => "ERR 0 full all seats are taken; try again later\n",
            Self::AddressFull => {
                "ERR 0 address-full close another connection of your address, or raise --per-address\n"
            }
            Self::NotAllowed => "ERR 0 not-allowed --allow does not let your address in\n",
            Self::Idle | Self::GaveWay => "ERR 0 idle\n",
            Self::TooSlow => "ERR 0 too-slow\n",
            Self::LineTimeout => "ERR 0 line-timeout end each line with LF\n",
            Self::Foreign(Foreign::Http) => "ERR 0 not-http this is firstline: speak to it with nc\n",
            Self::Foreign(Foreign::Tls) => {
                "ERR 0 not-tls this is firstline: speak to it with nc, in plain text\n"
            }
            Self::Foreign(Foreign::Ssh) => "ERR 0 not-ssh this is firstline: speak to it with nc\n",
            Self::Foreign(Foreign::Mqtt) => "ERR 0 not-mqtt this is firstline: speak to it with nc\n",
            Self::Foreign(Foreign::Redis) => "ERR 0 not-redis this is firstline: speak to it with nc\n",
            Self::Foreign(Foreign::Proxy) => {
                "ERR 0 not-proxy this is firstline: have the proxy send no PROXY header\n"
            }
            Self::Foreign(Foreign::Utf16) => {
                "ERR 0 not-utf-16 this is firstline: send UTF-8 (PowerShell: Out-File -Encoding utf8)\n"
            }
            Self::WrongToken => "ERR 0 wrong-token\n",
            Self::NotAuthenticated => "ERR 0 not-authenticated say /auth TOKEN first\n",
            Self::TokenWithdrawn => "ERR 0 token-withdrawn\n",
            Self::Quit => "BYE quit\n",
            Self::ShuttingDown => "BYE shutting-down\n",
        }
    }
}
