//! Variables that a container system sets for a service that is called firstline: Kubernetes sets them for each service
//! of a namespace, Docker for each link. They tell other programs the address of that service, and the server ignores
//! them.

/// The protocols in the names of a port's variables, in both systems.
const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];

/// Whether such a system sets a variable to that value, where `name` is the variable's name after `FIRSTLINE_`. The
/// service may have a longer name, such as firstline-web; then `name` begins with the rest of that name. If a user
/// mistakes FIRSTLINE_PORT for a setting, its value is a number alone, which is not such a value.
pub(super) fn is_service_variable(name: &[u8], value: &[u8]) -> bool {
    let (Ok(name), Ok(value)) = (str::from_utf8(name), str::from_utf8(value)) else { return false };
    let words: Vec<&str> = name.split('_').collect();
    (0..words.len()).any(|first| match &words[first..] {
        ["SERVICE", "HOST"] => true,
        ["SERVICE", "PORT", ..] => true,
        ["PORT"] => value.contains("://"),
        ["PORT", number, protocol, ..] => is_number(number) && PROTOCOLS.contains(protocol),
        // Docker sets these to the name and the environment of the linked container.
        ["NAME"] => value.starts_with('/'),
        ["ENV", _, ..] => first == 0,
        _ => false,
    })
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}
