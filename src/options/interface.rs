//! The name of a network interface, which follows the `%` of an IPv6 address (RFC 4007): `fe80::1%eth0`.

use crate::limits::INTERFACE_NAME_BYTES_MAX;
use heapless::String;
use std::fmt;

/// The name of an interface, or its number in decimal digits. The interface need not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface(String<INTERFACE_NAME_BYTES_MAX>);

impl Interface {
    /// The interface of that name; `None` if the kernel does not allow the name (`dev_valid_name`).
    pub fn new(name: &str) -> Option<Self> {
        let is_name = !matches!(name, "" | "." | "..")
            && !name.contains(|letter: char| {
                matches!(letter, '/' | ':') || letter.is_whitespace() || letter.is_control()
            });
        String::try_from(name).ok().filter(|_| is_name).map(Self)
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Splits an address with an interface, such as `fe80::1%eth0`, `[fe80::1%eth0]:9090` or `fe80::%eth0/64`. Returns the
/// address without the interface, and the interface; `None`: the address names no interface.
pub(super) fn split(word: &str) -> Option<(std::string::String, Interface)> {
    let (address, rest) = word.split_once('%')?;
    let end = rest.find([']', '/']).unwrap_or(rest.len());
    let interface = Interface::new(&rest[..end])?;
    Some((format!("{address}{}", &rest[end..]), interface))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_the_kernel_allows() {
        for name in ["eth0", "2", "wlan0.5", "br-1a2b", "0123456789abcde"] {
            assert_eq!(Interface::new(name).unwrap().name(), name);
        }
        for name in ["", ".", "..", "a b", "a/b", "eth0:1", "0123456789abcdef"] {
            assert_eq!(Interface::new(name), None, "{name}");
        }
    }
}
