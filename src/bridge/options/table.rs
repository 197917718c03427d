//! All options, each with its value.

use super::Options;
use crate::bridge::exchange::Version;
use crate::bridge::limits::IN_FLIGHT_MAX;
use crate::bridge::publication::Payload;
use crate::bridge::topic::{Topics, filter_with_node, is_node};
use crate::bridge::turns::SHARE_MAX;
use crate::client::BadServers;
use crate::protocol::Priority;
use std::path::PathBuf;
use std::time::Duration;

/// An option.
pub struct Setting {
    pub name: &'static str,
    pub value: &'static str,
    pub help: &'static str,
    pub set: fn(&mut Options, &str) -> Result<(), String>,
}

/// All options, as the help lists them.
pub const SETTINGS: [Setting; 20] = [
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
        // The node may be given by a later option, so `Names` checks the length of the topic with it.
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
        help: "the client ID at the broker [firstline-NODE]",
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
        set: |options, text| filter_with_node(text, "x").map(|_| options.subscribe = Some(text.to_string())),
    },
    Setting {
        name: "hub",
        value: "HOST[:PORT]",
        help: "the server for commands [127.0.0.1:9090]",
        set: |options, text| {
            text.parse().map(|hub| options.hub = hub).map_err(|error: BadServers| error.to_string())
        },
    },
    Setting {
        name: "token-file",
        value: "FILE",
        help: "the token that the server asks for",
        set: |options, text| set_path(&mut options.token_file, text),
    },
];

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
