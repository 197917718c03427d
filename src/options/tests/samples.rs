//! Values of the settings, allowed and wrong.

use super::*;
use crate::journal::policy::Sync;
use crate::protocol::Priority;

/// The name of a setting, an allowed value, and the resulting options if the others are at their defaults.
type Good = (&'static str, &'static str, Options);

pub fn with(change: impl FnOnce(&mut Options)) -> Options {
    let mut options = Options::default();
    change(&mut options);
    options
}

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub fn network(text: &str) -> Allow {
    Allow::Network(text.parse().unwrap())
}

pub fn interface(name: &str) -> Interface {
    Interface::new(name).unwrap()
}

pub fn network_on(text: &str, name: &str) -> Allow {
    Allow::NetworkOn { network: text.parse().unwrap(), interface: interface(name) }
}

pub fn on(address: &str, name: &str) -> Listen {
    Listen::On { address: address.parse().unwrap(), interface: interface(name) }
}

pub fn at(address: &str) -> Listen {
    Listen::At(address.parse().unwrap())
}

/// Allowed values of every setting.
pub fn good() -> Vec<Good> {
    [listen(), allow(), work(), history(), clients(), time_outs_and_log()].concat()
}

/// Allowed values of `--listen`.
fn listen() -> Vec<Good> {
    vec![
        ("listen", "127.0.0.1:80", with(|o| o.listen = vec![at("127.0.0.1:80")])),
        ("listen", "[::1]:80", with(|o| o.listen = vec![at("[::1]:80")])),
        ("listen", "127.0.0.1", with(|o| o.listen = vec![at("127.0.0.1:9090")])),
        ("listen", "::1", with(|o| o.listen = vec![at("[::1]:9090")])),
        ("listen", "[::1]", with(|o| o.listen = vec![at("[::1]:9090")])),
        ("listen", "fe80::1%2", with(|o| o.listen = vec![at("[fe80::1%2]:9090")])),
        ("listen", "[fe80::1%2]:80", with(|o| o.listen = vec![at("[fe80::1%2]:80")])),
        ("listen", "fe80::1%eth0", with(|o| o.listen = vec![on("[fe80::1]:9090", "eth0")])),
        ("listen", "[fe80::1%wlan0.5]:80", with(|o| o.listen = vec![on("[fe80::1]:80", "wlan0.5")])),
        ("listen", "[fe80::1%eth0]", with(|o| o.listen = vec![on("[fe80::1]:9090", "eth0")])),
        ("listen", "80", with(|o| o.listen = vec![Listen::Everywhere { port: 80 }])),
        ("listen", ":80", with(|o| o.listen = vec![Listen::Everywhere { port: 80 }])),
        ("listen", "0", with(|o| o.listen = vec![Listen::Everywhere { port: 0 }])),
        ("listen", "127.0.0.1:0", with(|o| o.listen = vec![at("127.0.0.1:0")])),
        ("listen", "127.0.0.1,::1", with(|o| o.listen = vec![at("127.0.0.1:9090"), at("[::1]:9090")])),
        (
            "listen",
            " 1  ::1, 2,",
            with(|o| {
                o.listen =
                    vec![Listen::Everywhere { port: 1 }, at("[::1]:9090"), Listen::Everywhere { port: 2 }]
            }),
        ),
        (
            "listen",
            "1 2 3 4 5 6 7 8",
            with(|o| o.listen = (1..=8).map(|port| Listen::Everywhere { port }).collect()),
        ),
    ]
}

/// Allowed values of `--allow`.
fn allow() -> Vec<Good> {
    vec![
        ("allow", "any", with(|o| o.allow = vec![Allow::Any])),
        ("allow", "local", with(|o| o.allow = vec![Allow::Local])),
        ("allow", "192.168.1.0/24", with(|o| o.allow = vec![network("192.168.1.0/24")])),
        ("allow", "2001:db8::/32", with(|o| o.allow = vec![network("2001:db8::/32")])),
        ("allow", "0.0.0.0/0", with(|o| o.allow = vec![network("0.0.0.0/0")])),
        ("allow", "192.0.2.1", with(|o| o.allow = vec![network("192.0.2.1/32")])),
        ("allow", "2001:db8::1", with(|o| o.allow = vec![network("2001:db8::1/128")])),
        ("allow", "::ffff:192.0.2.1", with(|o| o.allow = vec![network("192.0.2.1/32")])),
        ("allow", "::ffff:192.168.1.0/120", with(|o| o.allow = vec![network("192.168.1.0/24")])),
        ("allow", "::ffff:0.0.0.0/96", with(|o| o.allow = vec![network("0.0.0.0/0")])),
        ("allow", "fe80::1", with(|o| o.allow = vec![network("fe80::1/128")])),
        ("allow", "fe80::1%eth0", with(|o| o.allow = vec![network_on("fe80::1/128", "eth0")])),
        ("allow", "fe80::%2/64", with(|o| o.allow = vec![network_on("fe80::/64", "2")])),
        ("allow", "::/64", with(|o| o.allow = vec![network("::/64")])),
        (
            "allow",
            " local,10.0.0.0/8  192.0.2.1,",
            with(|o| o.allow = vec![Allow::Local, network("10.0.0.0/8"), network("192.0.2.1/32")]),
        ),
    ]
}

/// Allowed values of `--auth-file`, `--workers`, `--print` and the settings for handlers.
fn work() -> Vec<Good> {
    let clients: &'static str = limits::CLIENTS.to_string().leak();
    vec![
        ("auth-file", "off", with(|o| o.auth_file = None)),
        ("auth-file", "/etc/firstline/auth", with(|o| o.auth_file = Some("/etc/firstline/auth".into()))),
        ("workers", "1", with(|o| o.workers = 1)),
        ("workers", clients, with(|o| o.workers = limits::CLIENTS)),
        ("print", "on", with(|o| o.print = true)),
        ("print", "off", with(|o| o.print = false)),
        ("handle", "off", with(|o| o.handle = None)),
        ("handle", "0", with(|o| o.handle = Some(Priority::MIN))),
        ("handle", "9", with(|o| o.handle = Some(Priority::URGENT))),
        ("handle-wait", "0.1", with(|o| o.handle_wait = ms(100))),
        ("handle-wait", "3600", with(|o| o.handle_wait = ms(3_600_000))),
        ("handle-limit", "0.1", with(|o| o.handle_limit = ms(100))),
        ("handle-limit", "86400", with(|o| o.handle_limit = ms(86_400_000))),
        ("attempts", "1", with(|o| o.attempts = 1)),
        ("attempts", "100", with(|o| o.attempts = 100)),
    ]
}

/// Allowed values of the settings for the order of messages, the journal and real time.
fn history() -> Vec<Good> {
    vec![
        ("aging", "off", with(|o| o.aging = None)),
        ("aging", "1", with(|o| o.aging = Some(ms(1)))),
        ("aging", "86400000", with(|o| o.aging = Some(ms(86_400_000)))),
        ("journal", "off", with(|o| o.journal = None)),
        ("journal", "/var/lib/firstline", with(|o| o.journal = Some("/var/lib/firstline".into()))),
        ("journal-size", "1M", with(|o| o.journal_size = 1 << 20)),
        ("journal-size", "8G", with(|o| o.journal_size = 8 << 30)),
        ("sync", "all", with(|o| o.sync = Sync::All)),
        ("sync", "none", with(|o| o.sync = Sync::None)),
        ("sync", "7", with(|o| o.sync = Sync::From(Priority::HIGH))),
        ("sync-interval", "0.01", with(|o| o.sync_interval = ms(10))),
        ("sync-interval", "3600", with(|o| o.sync_interval = ms(3_600_000))),
        ("realtime", "off", with(|o| o.realtime = None)),
        ("realtime", "1", with(|o| o.realtime = Some(1))),
        ("realtime", "98", with(|o| o.realtime = Some(98))),
    ]
}

/// Allowed values of the settings that limit clients.
fn clients() -> Vec<Good> {
    let clients: &'static str = limits::CLIENTS.to_string().leak();
    vec![
        ("per-address", "off", with(|o| o.per_address = None)),
        ("per-address", "1", with(|o| o.per_address = Some(1))),
        ("per-address", clients, with(|o| o.per_address = Some(limits::CLIENTS))),
        ("rate", "off", with(|o| o.rate = None)),
        ("rate", "1", with(|o| o.rate = Some(1))),
        ("rate", "1000000", with(|o| o.rate = Some(1_000_000))),
        ("urgent-rate", "off", with(|o| o.urgent_rate = None)),
        ("urgent-rate", "1", with(|o| o.urgent_rate = Some(1))),
        ("urgent-rate", "60000", with(|o| o.urgent_rate = Some(60_000))),
        ("idle-grace", "off", with(|o| o.idle_grace = None)),
        ("idle-grace", "0.1", with(|o| o.idle_grace = Some(ms(100)))),
        ("idle-grace", "86400", with(|o| o.idle_grace = Some(ms(86_400_000)))),
        ("line-timeout", "off", with(|o| o.line_timeout = None)),
        ("line-timeout", "0.5", with(|o| o.line_timeout = Some(ms(500)))),
        ("line-timeout", "3600", with(|o| o.line_timeout = Some(ms(3_600_000)))),
    ]
}

/// Allowed values of the time-outs and of the settings for the log.
fn time_outs_and_log() -> Vec<Good> {
    vec![
        ("idle-timeout", "off", with(|o| o.idle_timeout = None)),
        ("idle-timeout", "0.1", with(|o| o.idle_timeout = Some(ms(100)))),
        ("idle-timeout", "31536000", with(|o| o.idle_timeout = Some(ms(31_536_000_000)))),
        ("write-timeout", "off", with(|o| o.write_timeout = None)),
        ("write-timeout", "0.125", with(|o| o.write_timeout = Some(ms(125)))),
        ("write-timeout", "3600.000", with(|o| o.write_timeout = Some(ms(3_600_000)))),
        ("drain-timeout", "0.25", with(|o| o.drain_timeout = ms(250))),
        ("drain-timeout", "3600", with(|o| o.drain_timeout = ms(3_600_000))),
        (
            "log-level",
            "warn,firstline::net=debug",
            with(|o| o.log_level = "warn,firstline::net=debug".into()),
        ),
        ("log-file", "/var/log/a b", with(|o| o.log_file = Some("/var/log/a b".into()))),
        ("log-file", "-", with(|o| o.log_file = None)),
        ("log-size", "16384", with(|o| o.log_size = 16 * 1024)),
        ("log-size", "512k", with(|o| o.log_size = 512 * 1024)),
        ("log-size", "3M", with(|o| o.log_size = 3 * 1024 * 1024)),
        ("log-size", "1G", with(|o| o.log_size = 1024 * 1024 * 1024)),
    ]
}

/// Values that are not allowed, and a part of the error message.
pub const BAD: [(&str, &str, &str); 112] = [
    ("listen", "", "host names are not looked up"),
    ("listen", ",", "host names are not looked up"),
    ("listen", "localhost", "host names are not looked up"),
    ("listen", "localhost:9090", "host names are not looked up"),
    ("listen", "65536", "takes addresses like 127.0.0.1:9090"),
    ("listen", "+80", "takes addresses"),
    ("listen", "127.0.0.1:", "takes addresses"),
    ("listen", "[127.0.0.1]:80", "takes addresses"),
    ("listen", "::1:99999", "takes addresses"),
    ("listen", "1 2 3 4 5 6 7 8 9", "takes no more than 8 addresses"),
    ("allow", "", "takes networks like 192.168.1.0/24 or 2001:db8::/32, an address alone, local, or any"),
    ("allow", ",", "takes networks"),
    ("allow", "raspberrypi", "host names are not looked up"),
    ("allow", "192.168.1", "takes networks"),
    ("allow", "192.168.1.0/33", "takes networks"),
    ("allow", "192.168.1.0/", "takes networks"),
    ("allow", "10.0.0.0/8:9090", "takes networks"),
    ("allow", "off", "takes networks"),
    (
        "allow",
        "192.168.1.7/24",
        "takes 192.168.1.0/24 for that whole network, or 192.168.1.7 for that address alone",
    ),
    ("allow", "2001:db8::1/32", "takes 2001:db8::/32 for that whole network, or 2001:db8::1 for"),
    ("auth-file", "", "takes the path of a file, or off"),
    ("auth-file", "--print", "write ./-NAME for a path that begins with -"),
    ("workers", "", "takes a whole number from 1 to "),
    ("workers", "0", "; zero does not mean unlimited"),
    ("workers", "-1", "takes a whole number"),
    ("workers", "1.5", "takes a whole number"),
    ("workers", "65537", "takes a whole number"),
    ("workers", "99999999999999999999", "takes a whole number"),
    ("listen", "fe80::1", "takes a link-local address with its interface: fe80::1%eth0"),
    ("listen", "[fe80::1]:80", "takes a link-local address with its interface: fe80::1%eth0"),
    ("listen", "127.0.0.1%eth0", "takes addresses like"),
    ("listen", "fe80::1%", "takes addresses like"),
    (
        "listen",
        "224.0.0.1",
        "takes addresses of this machine; 224.0.0.1 is a multicast address, and TCP has none",
    ),
    ("listen", "[ff02::1]:80", "ff02::1 is a multicast address"),
    ("listen", "ff02::1%eth0", "ff02::1 is a multicast address"),
    ("listen", "::ffff:224.0.0.1", "is a multicast address"),
    ("listen", "127.0.0.1 255.255.255.255:80", "255.255.255.255 is a broadcast address"),
    ("listen", "fe80::1%0123456789abcdef", "takes addresses like"),
    ("allow", "10.0.0.1%eth0", "with link-local addresses alone"),
    ("allow", "2001:db8::1%eth0", "with link-local addresses alone"),
    ("allow", "fe80::1%", "takes networks like"),
    ("print", "", "takes on or off"),
    ("print", "yes", "takes on or off"),
    ("print", "1", "takes on or off"),
    ("handle", "", "takes a priority from 0 to 9, or off"),
    ("handle", "10", "takes a priority from 0 to 9, or off"),
    ("handle", "p7", "takes a priority"),
    ("handle-wait", "", "takes seconds from 0.1 to 3600, with up to 3 decimals, and is never off"),
    ("handle-wait", "off", "is never off"),
    ("handle-wait", "3601", "takes seconds"),
    ("handle-limit", "", "takes seconds from 0.1 to 86400, with up to 3 decimals, and is never off"),
    ("handle-limit", "0", "zero does not mean unlimited"),
    ("attempts", "", "takes a whole number from 1 to 100"),
    ("attempts", "0", "takes a whole number from 1 to 100; zero does not mean unlimited"),
    ("attempts", "101", "takes a whole number"),
    ("aging", "", "takes whole milliseconds from 1 to 86400000, or off"),
    ("aging", "0", "takes whole milliseconds from 1 to 86400000, or off; zero does not mean off"),
    ("aging", "0.5", "takes whole milliseconds"),
    ("aging", "86400001", "takes whole milliseconds"),
    ("aging", "Off", "or off"),
    ("journal", "", "takes the path of a directory, or off"),
    ("journal", "--sync", "write ./-NAME for a path that begins with -"),
    ("journal-size", "", "takes bytes from 1M to 8G"),
    ("journal-size", "1023k", "takes bytes from 1M to 8G"),
    ("journal-size", "0", "zero does not mean unlimited"),
    ("sync", "", "takes all, none, or a priority from 0 to 9"),
    ("sync", "10", "takes all, none, or a priority from 0 to 9"),
    ("sync", "off", "takes all, none, or a priority from 0 to 9"),
    ("sync-interval", "", "takes seconds from 0.01 to 3600"),
    ("sync-interval", "off", "and is never off"),
    ("realtime", "", "takes a whole number from 1 to 98, or off"),
    ("realtime", "0", "takes a whole number from 1 to 98, or off; zero does not mean off"),
    ("realtime", "99", "takes a whole number from 1 to 98, or off"),
    ("realtime", "high", "takes a whole number from 1 to 98, or off"),
    ("per-address", "", "takes a whole number from 1 to "),
    ("per-address", "0", ", or off; zero does not mean off"),
    ("per-address", "65537", "takes a whole number from 1 to "),
    ("per-address", "none", ", or off"),
    ("rate", "", "takes a whole number from 1 to 1000000, or off"),
    ("rate", "0", "or off; zero does not mean off"),
    ("rate", "0.5", "takes a whole number"),
    ("rate", "1000001", "takes a whole number"),
    ("urgent-rate", "", "takes a whole number from 1 to 60000, or off"),
    ("urgent-rate", "0", "or off; zero does not mean off"),
    ("urgent-rate", "60001", "takes a whole number"),
    ("idle-grace", "", "takes seconds from 0.1 to 86400, with up to 3 decimals, or off"),
    ("idle-grace", "0", "or off; zero does not mean off"),
    ("line-timeout", "", "takes seconds from 0.1 to 3600, with up to 3 decimals, or off"),
    ("line-timeout", "0", "or off; zero does not mean off"),
    ("line-timeout", "3600.001", "takes seconds"),
    ("idle-timeout", "", "takes seconds from 0.1 to 31536000, with up to 3 decimals, or off"),
    ("idle-timeout", "0.0", "or off; zero does not mean off"),
    ("idle-timeout", "0.099", "takes seconds"),
    ("idle-timeout", "31536000.001", "takes seconds"),
    ("idle-timeout", "1.2345", "with up to 3 decimals"),
    ("write-timeout", "", "takes seconds from 0.1 to 3600, with up to 3 decimals, or off"),
    ("write-timeout", "1.", "takes seconds"),
    ("write-timeout", ".5", "takes seconds"),
    ("write-timeout", "5s", "takes seconds"),
    ("write-timeout", "18446744073709551615", "takes seconds"),
    ("drain-timeout", "", "takes seconds from 0.1 to 3600, with up to 3 decimals, and is never off"),
    ("drain-timeout", "off", "and is never off"),
    ("drain-timeout", "0", "; zero does not mean unlimited"),
    ("drain-timeout", "3600.001", "takes seconds"),
    ("log-level", "", "takes a filter such as info"),
    ("log-level", "--print", "none begins with -"),
    ("log-file", "", "takes a path"),
    ("log-file", "--print", "or - for standard error"),
    ("log-size", "", "takes bytes from 16k to 1G"),
    ("log-size", "0k", "; zero does not mean unlimited"),
    ("log-size", "16383", "takes bytes"),
    ("log-size", "18446744073709551615G", "takes bytes"),
];
