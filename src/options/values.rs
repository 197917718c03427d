//! Parses the values of options. An error says what the option allows.
//!
//! Zero never means "no limit": where a limit is optional, the value `off` means that.

use crate::counted::{SIZE_SUFFIXES, Size};
use crate::journal::policy::Sync;
use crate::protocol::Priority;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

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

/// Seconds without `off`; the range is in milliseconds.
pub(super) fn seconds(text: &str, range_ms: RangeInclusive<u64>) -> Result<Duration, String> {
    let allowed =
        || format!("takes {}, and is never off{}", seconds_allowed(&range_ms), zero(text, "unlimited"));
    let ms = decimal_ms(text).filter(|ms| range_ms.contains(ms)).ok_or_else(allowed)?;
    Ok(Duration::from_millis(ms))
}

/// A log filter. The logger parses it.
pub(super) fn log_level(text: &str) -> Result<String, String> {
    match text {
        "" => Err("takes a filter such as info, or warn,hub::dispatch=trace".to_string()),
        _ if text.starts_with('-') => Err("takes a filter, and none begins with -".to_string()),
        _ => Ok(text.to_string()),
    }
}

/// The path of a file, or `-` for none. Any other text with a leading dash is another option, so the value is missing.
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

/// A path, or `off`. Text with a leading dash is another option, so the value is missing.
fn path_or_off(text: &str, kind: &str) -> Result<Option<PathBuf>, String> {
    match text {
        "off" => Ok(None),
        _ if text.is_empty() || text.starts_with('-') => {
            Err(format!("takes the path of a {kind}, or off; write ./-NAME for a path that begins with -"))
        }
        _ => Ok(Some(text.into())),
    }
}

/// A priority, or `off`.
pub(super) fn priority_or_off(text: &str) -> Result<Option<Priority>, String> {
    match text.as_bytes() {
        b"off" => Ok(None),
        [digit @ b'0'..=b'9'] => Ok(Priority::from_digit(*digit)),
        _ => Err("takes a priority from 0 to 9, or off".to_string()),
    }
}

/// A sync policy.
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

/// A size in bytes, with or without a suffix.
pub(super) fn bytes(text: &str, range: RangeInclusive<u64>) -> Result<u64, String> {
    let allowed = || {
        let (min, max) = (Size(*range.start()), Size(*range.end()));
        format!(
            "takes bytes from {min} to {max}, where k, M and G are 1024, 1024k and 1024M{}{}",
            zero(text, "unlimited"),
            suggested_size(text, &range)
        )
    };
    size(text).filter(|bytes| range.contains(bytes)).ok_or_else(allowed)
}

/// A size; its range is not checked.
fn size(text: &str) -> Option<u64> {
    let (number, unit) = SIZE_SUFFIXES
        .iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)))
        .unwrap_or((text, 1));
    digits(number)?.checked_mul(unit)
}

/// For a size that would be allowed but is written as in other programs (`2m`, `2MB`, `2 MiB`): the end of the error
/// message, which shows how to write it here.
fn suggested_size(text: &str, range: &RangeInclusive<u64>) -> String {
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

/// Shows a time in milliseconds as seconds.
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

/// A number of decimal digits alone. The parser of std would also accept a `+`.
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

/// For a zero: the end of the error message, which says that zero does not mean this.
fn zero(text: &str, meaning: &str) -> String {
    let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    if !number.is_empty() && number.bytes().all(|byte| matches!(byte, b'0' | b'.')) {
        format!("; zero does not mean {meaning}")
    } else {
        String::new()
    }
}
