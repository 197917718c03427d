//! The values of options: from text to their types, or to a few words on what is allowed.
//!
//! Zero never means "without limit" here: where something can be without, `off` says so.

use super::{Allow, Listen, interface};
use crate::counted::{SIZE_SUFFIXES, Size};
use crate::journal::policy::Sync;
use crate::limits::{ALLOWED_MAX, LISTENERS_MAX, PORT_DEFAULT};
use crate::protocol::Priority;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// Adds the addresses of a list with commas or spaces.
pub(super) fn listen(text: &str, addresses: &mut Vec<Listen>) -> Result<(), String> {
    let listed = words(text).map(address).collect::<Option<Vec<_>>>().filter(|listed| !listed.is_empty());
    let listed = listed.ok_or_else(|| {
        format!(
            "takes addresses like 127.0.0.1:{PORT_DEFAULT} or [::1]:{PORT_DEFAULT}, an address alone, \
             or a port alone; host names are not looked up"
        )
    })?;
    if let Some(ip) = listed.iter().find_map(without_interface) {
        return Err(format!("takes a link-local address with its interface: {ip}%eth0"));
    }
    if let Some((ip, kind)) = listed.iter().find_map(of_many) {
        return Err(format!("takes addresses of this machine; {ip} is a {kind} address, and TCP has none"));
    }
    addresses.extend(listed);
    if addresses.len() > LISTENERS_MAX {
        return Err(format!("takes no more than {LISTENERS_MAX} addresses in all"));
    }
    Ok(())
}

/// Adds the networks of a list with commas or spaces.
pub(super) fn allow(text: &str, allowed: &mut Vec<Allow>) -> Result<(), String> {
    let listed = words(text).map(network).collect::<Result<Vec<_>, _>>()?;
    if listed.is_empty() {
        return Err(NETWORKS.to_string());
    }
    allowed.extend(listed);
    if allowed.len() > ALLOWED_MAX {
        return Err(format!("takes no more than {ALLOWED_MAX} networks in all"));
    }
    Ok(())
}

/// What `--allow` takes.
const NETWORKS: &str = "takes networks like 192.168.1.0/24 or 2001:db8::/32, an address alone, local, or any; host names are not \
                        looked up";

/// One network. An address stands for itself alone.
fn network(word: &str) -> Result<Allow, String> {
    match word {
        "any" => return Ok(Allow::Any),
        "local" => return Ok(Allow::Local),
        _ => {}
    }
    let Some((unscoped, interface)) = interface::split(word) else {
        return Ok(Allow::Network(as_ipv4(whole_network(word)?)));
    };
    match whole_network(&unscoped)? {
        IpNet::V6(network) if is_link_local(&network) => Ok(Allow::NetworkOn { network, interface }),
        _ => Err(format!(
            "takes an interface (%{interface}) with link-local addresses alone, which begin with fe80:"
        )),
    }
}

/// A network with all of its addresses, or one address.
fn whole_network(word: &str) -> Result<IpNet, String> {
    let network = word.parse::<IpAddr>().map(IpNet::from).or_else(|_| word.parse::<IpNet>());
    let network = network.map_err(|_| NETWORKS)?;
    if network != network.trunc() {
        let (whole, address) = (network.trunc(), network.addr());
        return Err(format!("takes {whole} for that whole network, or {address} for that address alone"));
    }
    Ok(network)
}

/// Whether all of a network is link-local: fe80::/10.
fn is_link_local(network: &Ipv6Net) -> bool {
    network.addr().is_unicast_link_local() && network.prefix_len() >= 10
}

/// The IPv4 network that an IPv6 one of IPv4-mapped addresses (`::ffff:192.168.1.0/120`) stands for.
fn as_ipv4(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return network };
    let v4 = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96));
    v4.and_then(|(address, prefix)| Ipv4Net::new(address, prefix).ok()).map_or(network, IpNet::V4)
}

/// The words of a list.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ']).filter(|word| !word.is_empty())
}

/// One address: what is left out of it, the port or the brackets, is added before it is read.
fn address(word: &str) -> Option<Listen> {
    if let Some(port) = digits(word.strip_prefix(':').unwrap_or(word)) {
        return Some(Listen::Everywhere { port: u16::try_from(port).ok()? });
    }
    if let Some(address) = socket_address(word) {
        return Some(Listen::At(address));
    }
    let (unscoped, interface) = interface::split(word)?;
    match socket_address(&unscoped)? {
        SocketAddr::V6(address) => Some(Listen::On { address, interface }),
        SocketAddr::V4(_) => None,
    }
}

fn socket_address(word: &str) -> Option<SocketAddr> {
    [word.to_string(), format!("{word}:{PORT_DEFAULT}"), format!("[{word}]:{PORT_DEFAULT}")]
        .iter()
        .find_map(|whole| whole.parse().ok())
}

/// The address, if it is a link-local one that does not say on which interface: there is one of them on each.
fn without_interface(listen: &Listen) -> Option<Ipv6Addr> {
    match listen {
        Listen::At(SocketAddr::V6(v6)) if v6.ip().is_unicast_link_local() && v6.scope_id() == 0 => {
            Some(*v6.ip())
        }
        _ => None,
    }
}

/// The address, if it is none of a single machine, and its kind.
fn of_many(listen: &Listen) -> Option<(IpAddr, &'static str)> {
    let ip = match listen {
        Listen::Everywhere { .. } => return None,
        Listen::At(address) => address.ip(),
        Listen::On { address, .. } => (*address.ip()).into(),
    };
    match ip.to_canonical() {
        canonical if canonical.is_multicast() => Some((ip, "multicast")),
        IpAddr::V4(Ipv4Addr::BROADCAST) => Some((ip, "broadcast")),
        _ => None,
    }
}

/// A whole number.
pub(super) fn count(text: &str, range: RangeInclusive<usize>) -> Result<usize, String> {
    let allowed = || format!("takes a whole number {}{}", bounds(&range), zero(text, "unlimited"));
    whole(text, &range).ok_or_else(allowed)
}

/// A whole number, or `off`.
pub(super) fn count_or_off(text: &str, range: RangeInclusive<usize>) -> Result<Option<usize>, String> {
    let allowed = || format!("takes a whole number {}, or off{}", bounds(&range), zero(text, "off"));
    if text == "off" {
        return Ok(None);
    }
    whole(text, &range).map(Some).ok_or_else(allowed)
}

/// `on` or `off`.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("takes on or off".to_string()),
    }
}

/// Whole milliseconds, or `off`.
pub(super) fn milliseconds_or_off(
    text: &str,
    range: RangeInclusive<u64>,
) -> Result<Option<Duration>, String> {
    let allowed = || format!("takes whole milliseconds {}, or off{}", bounds(&range), zero(text, "off"));
    if text == "off" {
        return Ok(None);
    }
    let ms = digits(text).filter(|ms| range.contains(ms)).ok_or_else(allowed)?;
    Ok(Some(Duration::from_millis(ms)))
}

/// Seconds, or `off`; the range is in milliseconds.
pub(super) fn seconds_or_off(text: &str, range_ms: RangeInclusive<u64>) -> Result<Option<Duration>, String> {
    let allowed = || format!("takes {}, or off{}", seconds_allowed(&range_ms), zero(text, "off"));
    if text == "off" {
        return Ok(None);
    }
    let ms = decimal_ms(text).filter(|ms| range_ms.contains(ms)).ok_or_else(allowed)?;
    Ok(Some(Duration::from_millis(ms)))
}

/// Seconds that can't be off; the range is in milliseconds.
pub(super) fn seconds(text: &str, range_ms: RangeInclusive<u64>) -> Result<Duration, String> {
    let allowed =
        || format!("takes {}, and is never off{}", seconds_allowed(&range_ms), zero(text, "unlimited"));
    let ms = decimal_ms(text).filter(|ms| range_ms.contains(ms)).ok_or_else(allowed)?;
    Ok(Duration::from_millis(ms))
}

/// A log filter, unread: whoever logs reads it.
pub(super) fn log_level(text: &str) -> Result<String, String> {
    match text {
        "" => Err("takes a filter such as info, or warn,hub::dispatch=trace".to_string()),
        _ if text.starts_with('-') => Err("takes a filter, and none begins with -".to_string()),
        _ => Ok(text.to_string()),
    }
}

/// The path of a file, or `-` for none. Another dash in front is an option whose predecessor lacks its value.
pub(super) fn log_file(text: &str) -> Result<Option<PathBuf>, String> {
    match text {
        "-" => Ok(None),
        _ if text.is_empty() || text.starts_with('-') => {
            Err("takes a path, or - for standard error; write ./-NAME for a path that begins with -"
                .to_string())
        }
        _ => Ok(Some(text.into())),
    }
}

/// The path of a directory, or `off`.
pub(super) fn directory_or_off(text: &str) -> Result<Option<PathBuf>, String> {
    path_or_off(text, "directory")
}

/// The path of a file, or `off`.
pub(super) fn file_or_off(text: &str) -> Result<Option<PathBuf>, String> {
    path_or_off(text, "file")
}

/// A path, or `off`. A dash in front is an option whose predecessor lacks its value.
fn path_or_off(text: &str, of: &str) -> Result<Option<PathBuf>, String> {
    match text {
        "off" => Ok(None),
        _ if text.is_empty() || text.starts_with('-') => {
            Err(format!("takes the path of a {of}, or off; write ./-NAME for a path that begins with -"))
        }
        _ => Ok(Some(text.into())),
    }
}

/// Which messages are synced.
pub(super) fn sync(text: &str) -> Result<Sync, String> {
    let priority = || digits(text).and_then(|number| u8::try_from(number).ok()).and_then(Priority::new);
    match text {
        "all" => Ok(Sync::All),
        "none" => Ok(Sync::None),
        _ => {
            priority().map(Sync::From).ok_or_else(|| "takes all, none, or a priority from 0 to 9".to_string())
        }
    }
}

/// A size in bytes, in full or with a suffix.
pub(super) fn bytes(text: &str, range: RangeInclusive<u64>) -> Result<u64, String> {
    let allowed = || {
        let (min, max) = (Size(*range.start()), Size(*range.end()));
        format!(
            "takes bytes from {min} to {max}, where k, M and G are 1024, 1024k and 1024M{}{}",
            zero(text, "unlimited"),
            meant_size(text, &range)
        )
    };
    size(text).filter(|bytes| range.contains(bytes)).ok_or_else(allowed)
}

/// A size, whatever it is.
fn size(text: &str) -> Option<u64> {
    let (number, unit) = SIZE_SUFFIXES
        .iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)))
        .unwrap_or((text, 1));
    digits(number)?.checked_mul(unit)
}

/// The rest of a refusal, where the size is allowed but is written as elsewhere (`2m`, `2MB`, `2 MiB`): how to write it.
fn meant_size(text: &str, range: &RangeInclusive<u64>) -> String {
    let lower = text.to_ascii_lowercase();
    let bare = lower.trim_end_matches('b').trim_end_matches('i').replace(' ', "");
    let suffix = SIZE_SUFFIXES.iter().find(|(suffix, _)| bare.ends_with(&suffix.to_ascii_lowercase()));
    let bytes = match suffix {
        Some((suffix, _)) => size(&format!("{}{suffix}", &bare[..bare.len() - 1])),
        None => size(&bare),
    };
    let bytes = bytes.filter(|bytes| range.contains(bytes));
    bytes.map_or_else(String::new, |bytes| format!("; write {}", Size(bytes)))
}

/// A time in milliseconds as seconds.
pub(super) fn show_seconds(ms: u64) -> String {
    match ms % 1000 {
        0 => (ms / 1000).to_string(),
        rest => format!("{}.{rest:03}", ms / 1000).trim_end_matches('0').to_string(),
    }
}

fn whole(text: &str, range: &RangeInclusive<usize>) -> Option<usize> {
    let count = digits(text).and_then(|count| usize::try_from(count).ok());
    count.filter(|count| range.contains(count))
}

/// A number of decimal digits and nothing else; the parser of std would let a `+` pass.
pub(super) fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Seconds with up to three decimals, in milliseconds.
fn decimal_ms(text: &str) -> Option<u64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    if decimals.len() > 3 {
        return None;
    }
    let ms = digits(decimals)? * 10_u64.pow(3 - decimals.len() as u32);
    digits(whole)?.checked_mul(1000)?.checked_add(ms)
}

fn seconds_allowed(range_ms: &RangeInclusive<u64>) -> String {
    let (min, max) = (show_seconds(*range_ms.start()), show_seconds(*range_ms.end()));
    format!("seconds from {min} to {max}, with up to 3 decimals")
}

fn bounds<T: Display>(range: &RangeInclusive<T>) -> String {
    format!("from {} to {}", range.start(), range.end())
}

/// The rest of a refusal, when it was zero that was given: what it does not mean.
fn zero(text: &str, meaning: &str) -> String {
    let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    match !number.is_empty() && number.bytes().all(|byte| matches!(byte, b'0' | b'.')) {
        true => format!("; zero does not mean {meaning}"),
        false => String::new(),
    }
}
