//! The reasons for which the server may refuse a command, and end a connection.

use firstline::protocol::command::{Command, Request};

/// Reasons other than BYE for which the server may close an established connection.
pub const FAREWELLS: [&str; 13] = [
    "idle",
    "too-slow",
    "wrong-token",
    "not-authenticated",
    "token-withdrawn",
    "line-timeout",
    "not-http",
    "not-tls",
    "not-ssh",
    "not-mqtt",
    "not-redis",
    "not-proxy",
    "not-utf-16",
];

/// The reasons for which the server may refuse that line with `ERR`.
pub fn reasons_for(request: &Request<'_>) -> &'static [&'static str] {
    match request {
        Request::Refused(_) => &["unknown-command", "bad-argument", "not-authenticated"],
        Request::Command(command) => match command {
            Command::Auth(_) => &[
                "no-auth",
                "wrong-token",
                "nick-taken",
                "not-authenticated",
                "not-permitted",
                "shutting-down",
            ],
            Command::Nick(_) => &["nick-taken", "not-authenticated", "not-permitted", "shutting-down"],
            Command::Last(_) | Command::Since(_) | Command::Join { since: Some(_), .. } => {
                &["no-journal", "journal-failed", "not-authenticated", "not-permitted", "shutting-down"]
            }
            Command::Join { .. } => &["not-authenticated", "not-permitted", "shutting-down"],
            Command::Help => &["not-authenticated", "shutting-down"],
            Command::Ping | Command::Quit => &["shutting-down"],
            Command::Task(_) => &[
                "no-handling",
                "handlers-full",
                "not-yours",
                "not-authenticated",
                "not-permitted",
                "shutting-down",
            ],
            Command::Leave | Command::Who | Command::Stats { .. } => &["not-authenticated", "shutting-down"],
        },
        _ => &[],
    }
}
