//! Variables that a container system sets by itself for a service that happens to be called firstline: Kubernetes for each service of a
//! name space, Docker for each link. They say where others find that service, and nothing to the server.

/// What stands at the end of the name of a port's variables, in both systems.
const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];

/// Whether such a system sets the variable `FIRSTLINE_NAME` to that value. The service may be called firstline-web, too: then something
/// stands before it. A port that was meant as a setting is a number alone, and none of these.
pub(super) fn set_by_them(name: &[u8], value: &[u8]) -> bool {
    let (Ok(name), Ok(value)) = (str::from_utf8(name), str::from_utf8(value)) else { return false };
    let words: Vec<&str> = name.split('_').collect();
    (0..words.len()).any(|first| match &words[first..] {
        ["SERVICE", "HOST"] => true,
        ["SERVICE", "PORT", ..] => true,
        ["PORT"] => value.contains("://"),
        ["PORT", number, protocol, ..] => is_number(number) && PROTOCOLS.contains(protocol),
        // Docker's, of the container at the other end of a link: its name, and its environment.
        ["NAME"] => value.starts_with('/'),
        ["ENV", _, ..] => first == 0,
        _ => false,
    })
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}
