//! Parses the lines of a server. Knows no connection.

use crate::protocol::Priority;

/// One line of a server. `line` is the number of the client's line that it answers, from 1 on each connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The message was processed.
    Ack {
        /// The line that it answers.
        line: u64,
        /// Its ID, unique in the whole server.
        id: u64,
        /// The server lowered its priority.
        is_lowered: bool,
        /// The result from its handler, escaped as in `MSG`.
        text: Option<String>,
    },
    /// The message was not processed, or a handler took it and did not report the result.
    Nak {
        /// The line that it answers.
        line: u64,
        /// One word.
        reason: String,
        /// The text of its handler, or advice of the server.
        text: String,
    },
    /// The command is done.
    Ok {
        /// The line that it answers.
        line: u64,
        /// For `/auth`, the client's name; for `/extend`, the time in milliseconds.
        text: String,
    },
    /// The command was refused; if `line` is 0, the server closes the connection.
    Err {
        /// The line that it answers, or 0.
        line: u64,
        /// One word.
        reason: String,
        /// What to do.
        text: String,
    },
    /// A message of another client, new or from the history.
    Msg {
        /// Its ID, unique in the whole server.
        id: u64,
        /// Its priority.
        priority: Priority,
        /// The sender's name, escaped.
        from: String,
        /// The text, escaped.
        text: String,
    },
    /// This many `MSG` lines are missing here.
    Lost(u64),
    /// A message that this client must process, because it is a handler.
    Task {
        /// The number of the task, from 1 on each connection.
        number: u64,
        /// The message's priority.
        priority: Priority,
        /// The time that the server gives for it, in milliseconds.
        left_ms: u64,
        /// The sender's name, escaped.
        from: String,
        /// The text, escaped.
        text: String,
    },
    /// The server closes the connection. It has answered every line that it took.
    Bye(String),
    /// A counter of the server: a line of the answer to `/stats`.
    Stat {
        /// Its name.
        name: String,
        /// Its value.
        value: u64,
    },
    /// A client that is connected: a line of the answer to `/who`.
    Who {
        /// Its name.
        from: String,
        /// The least priority of its `/join`; `None`: it has not joined.
        min: Option<Priority>,
        /// The time since its last line, in seconds.
        idle_s: u64,
    },
    /// A `HELP` line, or a line of a newer server that this client does not know.
    Other,
}

impl Reply {
    /// Parses a line without its LF or CR LF; `None`: no server of this protocol sends such a line.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let line = str::from_utf8(line).ok()?;
        let (word, rest) = split(line);
        match word {
            "ACK" => ack(rest),
            "NAK" => numbered(rest, |line, reason, text| Self::Nak { line, reason, text }),
            "ERR" => numbered(rest, |line, reason, text| Self::Err { line, reason, text }),
            "OK" => {
                let (line, text) = split(rest);
                Some(Self::Ok { line: number(line)?, text: text.to_string() })
            }
            "MSG" => msg(rest),
            "LOST" => number(rest).map(Self::Lost),
            "TASK" => task(rest),
            "STAT" => stat(rest),
            "WHO" => who(rest),
            "BYE" => Some(Self::Bye(split(rest).0.to_string())),
            _ if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase()) => Some(Self::Other),
            _ => None,
        }
    }
}

/// `n ID [lowered] [= TEXT]`. A newer server may add words before the `=`.
fn ack(rest: &str) -> Option<Reply> {
    let (line, rest) = split(rest);
    let (id, rest) = split(rest);
    let (line, id) = (number(line)?, number(id)?);
    if rest.is_empty() {
        return Some(Reply::Ack { line, id, is_lowered: false, text: None });
    }
    let (words, text) = match rest.strip_prefix("= ") {
        Some(text) => ("", Some(text)),
        None => rest.split_once(" = ").map_or((rest, None), |(words, text)| (words, Some(text))),
    };
    let is_lowered = words.split(' ').any(|word| word == "lowered");
    Some(Reply::Ack { line, id, is_lowered, text: text.map(str::to_string) })
}

/// `n REASON [TEXT]` or `n REASON [= TEXT]`.
fn numbered(rest: &str, reply: impl FnOnce(u64, String, String) -> Reply) -> Option<Reply> {
    let (line, rest) = split(rest);
    let (reason, text) = split(rest);
    let text = text.strip_prefix("= ").unwrap_or(text);
    let line = number(line).filter(|_| !reason.is_empty())?;
    Some(reply(line, reason.to_string(), text.to_string()))
}

/// `ID pP FROM TEXT`.
fn msg(rest: &str) -> Option<Reply> {
    let (id, rest) = split(rest);
    let (priority, rest) = split(rest);
    let (from, text) = split(rest);
    let (id, priority) = (number(id)?, self::priority(priority)?);
    Some(Reply::Msg { id, priority, from: from.to_string(), text: text.to_string() })
}

/// `k pP LEFT_MS FROM TEXT`.
fn task(rest: &str) -> Option<Reply> {
    let (task, rest) = split(rest);
    let (priority, rest) = split(rest);
    let (left_ms, rest) = split(rest);
    let (from, text) = split(rest);
    let (task, priority, left_ms) = (number(task)?, self::priority(priority)?, number(left_ms)?);
    Some(Reply::Task { number: task, priority, left_ms, from: from.to_string(), text: text.to_string() })
}

/// `NAME VALUE`.
fn stat(rest: &str) -> Option<Reply> {
    let (name, value) = split(rest);
    Some(Reply::Stat { name: name.to_string(), value: number(value).filter(|_| !name.is_empty())? })
}

/// `FROM pMIN IDLE_S`, with `-` for a client that has not joined.
fn who(rest: &str) -> Option<Reply> {
    let (from, rest) = split(rest);
    let (min, idle_s) = split(rest);
    let min = if min == "-" { None } else { Some(priority(min)?) };
    Some(Reply::Who { from: from.to_string(), min, idle_s: number(idle_s)? })
}

/// `pP`.
fn priority(word: &str) -> Option<Priority> {
    match word.as_bytes() {
        [b'p', digit] => Priority::from_digit(*digit),
        _ => None,
    }
}

/// The first word, and the rest after the space.
fn split(text: &str) -> (&str, &str) {
    match text.bytes().position(|byte| byte == b' ') {
        Some(space) => (&text[..space], &text[space + 1..]),
        None => (text, ""),
    }
}

/// A decimal number of digits only; the parser of std would accept a `+`.
fn number(text: &str) -> Option<u64> {
    if text.starts_with('+') { None } else { text.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(line: u64, id: u64, is_lowered: bool, text: Option<&str>) -> Option<Reply> {
        Some(Reply::Ack { line, id, is_lowered, text: text.map(str::to_string) })
    }

    #[test]
    fn all_lines_of_the_protocol_are_parsed() {
        let text = |text: &str| text.to_string();
        let priority = Priority::URGENT;
        for (line, reply) in [
            ("ACK 1 17", ack(1, 17, false, None)),
            ("ACK 1 17 lowered", ack(1, 17, true, None)),
            ("ACK 1 17 = valve = shut", ack(1, 17, false, Some("valve = shut"))),
            ("ACK 1 17 lowered = done", ack(1, 17, true, Some("done"))),
            ("ACK 1 17 newer = lowered", ack(1, 17, false, Some("lowered"))),
            ("NAK 2 too-long", Some(Reply::Nak { line: 2, reason: text("too-long"), text: text("") })),
            (
                "NAK 2 handler-refused = no water",
                Some(Reply::Nak { line: 2, reason: text("handler-refused"), text: text("no water") }),
            ),
            ("OK 3", Some(Reply::Ok { line: 3, text: text("") })),
            ("OK 1 alice", Some(Reply::Ok { line: 1, text: text("alice") })),
            (
                "ERR 0 full all seats are taken",
                Some(Reply::Err { line: 0, reason: text("full"), text: text("all seats are taken") }),
            ),
            (
                "MSG 17 p9 alice smoke in the workshop",
                Some(Reply::Msg {
                    id: 17,
                    priority,
                    from: text("alice"),
                    text: text("smoke in the workshop"),
                }),
            ),
            ("LOST 12", Some(Reply::Lost(12))),
            ("BYE shutting-down", Some(Reply::Bye(text("shutting-down")))),
            ("STAT clients 1", Some(Reply::Stat { name: text("clients"), value: 1 })),
            (
                "TASK 3 p9 30000 alice shut the valve",
                Some(Reply::Task {
                    number: 3,
                    priority,
                    left_ms: 30_000,
                    from: text("alice"),
                    text: text("shut the valve"),
                }),
            ),
            (
                "WHO alice p5 8",
                Some(Reply::Who { from: text("alice"), min: Priority::from_digit(b'5'), idle_s: 8 }),
            ),
            ("WHO [::1]:9 - 0", Some(Reply::Who { from: text("[::1]:9"), min: None, idle_s: 0 })),
            ("HELP /ping", Some(Reply::Other)),
            ("NEWER 1 2 3", Some(Reply::Other)),
        ] {
            assert_eq!(Reply::parse(line.as_bytes()), reply, "{line}");
        }
    }

    #[test]
    fn lines_that_no_server_sends_are_rejected() {
        for line in [
            &b""[..],
            b" ",
            b"hello",
            b"HTTP/1.1 400 Bad Request",
            b"SSH-2.0-OpenSSH_9.2",
            b"ACK",
            b"ACK 1",
            b"ACK x 1",
            b"ACK +1 1",
            b"ACK 1 99999999999999999999",
            b"NAK 1",
            b"OK",
            b"OK one",
            b"ERR 0",
            b"MSG 1 9 alice hi",
            b"LOST many",
            b"TASK 1 p9 alice shut the valve",
            b"TASK 1 9 30000 alice hi",
            b"STAT clients",
            b"WHO alice p10 8",
            b"ACK 1 17 = \xff",
        ] {
            assert_eq!(Reply::parse(line), None, "{:?}", String::from_utf8_lossy(line));
        }
    }
}
