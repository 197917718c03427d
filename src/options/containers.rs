//! Variables that a container system sets for a service that happens to be called firstline: Kubernetes does that for
//! each service of a namespace, Docker for each link. They tell other programs where that service is, and mean
//! nothing to the server.

/// The protocols in the names of a port's variables, in both systems.
const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];

/// Whether such a system sets the variable `FIRSTLINE_NAME` to that value. The service may also have a longer name,
/// such as firstline-web: then `name` begins with the rest of it. A user who means a port as a setting gives a number
/// alone, which is none of these values.
pub(super) fn is_service_variable(name: &[u8], value: &[u8]) -> bool {
    let (Ok(name), Ok(value)) = (str::from_utf8(name), str::from_utf8(value)) else { return false };
    let words: Vec<&str> = name.split('_').collect();
    (0..words.len()).any(|first| match &words[first..] {
        ["SERVICE", "HOST"] => true,
        ["SERVICE", "PORT", ..] => true,
        ["PORT"] => value.contains("://"),
        ["PORT", number, protocol, ..] => is_number(number) && PROTOCOLS.contains(protocol),
        // Docker sets these for the container at the other end of a link: its name, and its environment.
        ["NAME"] => value.starts_with('/'),
        ["ENV", _, ..] => first == 0,
        _ => false,
    })
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}
