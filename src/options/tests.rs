use super::*;
use crate::journal::policy::Sync;
use crate::limits;
use crate::protocol::Priority;
use proptest::prelude::*;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

fn read(args: &[&str], env: &[(&str, &str)]) -> Result<Action, Usage> {
    let env = env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    parse(args.iter().map(OsString::from), env)
}

fn options(args: &[&str], env: &[(&str, &str)]) -> Options {
    match read(args, env) {
        Ok(Action::Serve(options)) => *options,
        other => panic!("{args:?} {env:?}: {other:?}"),
    }
}

fn refusal(args: &[&str], env: &[(&str, &str)]) -> String {
    match read(args, env) {
        Err(usage) => usage.to_string(),
        Ok(action) => panic!("{args:?} {env:?}: {action:?}"),
    }
}

fn with(change: impl FnOnce(&mut Options)) -> Options {
    let mut options = Options::default();
    change(&mut options);
    options
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn network(text: &str) -> Allow {
    Allow::Network(text.parse().unwrap())
}

fn interface(name: &str) -> Interface {
    Interface::new(name).unwrap()
}

fn network_on(text: &str, name: &str) -> Allow {
    Allow::NetworkOn { network: text.parse().unwrap(), interface: interface(name) }
}

fn on(address: &str, name: &str) -> Listen {
    Listen::On { address: address.parse().unwrap(), interface: interface(name) }
}

fn at(address: &str) -> Listen {
    Listen::At(address.parse().unwrap())
}

/// Allowed values, and the options that result from the defaults.
fn good() -> Vec<(&'static str, &'static str, Options)> {
    let clients: &'static str = limits::CLIENTS.to_string().leak();
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

/// Values that are not allowed, and a part of the error.
const BAD: [(&str, &str, &str); 112] = [
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

fn setting(name: &str) -> &'static Setting {
    settings().iter().find(|setting| setting.name == name).unwrap()
}

/// What options need to have an effect: their names, a variable, and its value.
const NEEDED: [(&str, &str, &str); 9] = [
    ("journal-size", "FIRSTLINE_JOURNAL", "here"),
    ("sync", "FIRSTLINE_JOURNAL", "here"),
    ("sync-interval", "FIRSTLINE_JOURNAL", "here"),
    ("sync-interval", "FIRSTLINE_SYNC", "7"),
    ("handle-wait", "FIRSTLINE_HANDLE", "7"),
    ("handle-limit", "FIRSTLINE_HANDLE", "7"),
    ("attempts", "FIRSTLINE_HANDLE", "7"),
    ("log-size", "FIRSTLINE_LOG_FILE", "here"),
    ("idle-grace", "FIRSTLINE_IDLE_TIMEOUT", "off"),
];

#[test]
fn every_setting_is_read_from_options_and_variables() {
    for (name, value, expected) in good() {
        let variable = (setting(name).variable, value);
        assert_eq!(options(&[], &[variable]), expected, "{name} {value}");
        // On the command line, an option without an effect is refused. So it needs the others.
        let needed: Vec<_> =
            NEEDED.iter().filter(|(of, ..)| *of == name).map(|(_, other, value)| (*other, *value)).collect();
        let expected = options(&[], &[&needed[..], &[variable]].concat());
        assert_eq!(options(&[&format!("--{name}={value}")], &needed), expected, "--{name}={value}");
        if setting(name).value_name.is_some() {
            assert_eq!(options(&[&format!("--{name}"), value], &needed), expected, "--{name} {value}");
        }
    }
}

#[test]
fn option_without_effect_is_refused() {
    for (args, env, expected) in [
        (&["--sync=all"][..], &[][..], "--sync: does nothing without --journal DIR; give that too"),
        (
            &["--sync-interval", "2"],
            &[],
            "--sync-interval: does nothing without --journal DIR; give that too",
        ),
        (&["--journal-size=1M"], &[], "--journal-size: does nothing without --journal DIR; give that too"),
        (&["--log-size=1M"], &[], "--log-size: does nothing without --log-file PATH; give that too"),
        (
            &["--journal=d", "--sync-interval=2"],
            &[],
            "--sync-interval: does nothing unless --sync is a priority from 1 to 9, which lets less urgent messages wait for it; give --sync 7, for example",
        ),
        (
            &["--journal=d", "--sync=none", "--sync-interval=2"],
            &[],
            "--sync-interval: does nothing unless --sync is a priority from 1 to 9, which lets less urgent messages wait for it; give --sync 7, for example",
        ),
        (
            &["--sync=0", "--sync-interval=2"],
            &[("FIRSTLINE_JOURNAL", "d")],
            "--sync-interval: does nothing unless --sync is a priority from 1 to 9, which lets less urgent messages wait for it; give --sync 7, for example",
        ),
        (
            &["--log-file=f", "--log-level=OFF"],
            &[],
            "--log-file: does nothing with --log-level off; leave one of them out",
        ),
        (
            &["--allow=any", "--allow=10.0.0.0/8"],
            &[],
            "--allow: does nothing beside any, which allows all; leave one of them out",
        ),
        (
            &["--allow", "10.0.0.0/8 any"],
            &[],
            "--allow: does nothing beside any, which allows all; leave one of them out",
        ),
        (
            &["--idle-grace=3600"],
            &[],
            "--idle-grace: does nothing unless it is shorter than --idle-timeout; give less, or --idle-timeout off",
        ),
        (
            &["--idle-grace=5"],
            &[("FIRSTLINE_IDLE_TIMEOUT", "4")],
            "--idle-grace: does nothing unless it is shorter than --idle-timeout; give less, or --idle-timeout off",
        ),
        (
            &["--urgent-rate=60", "--rate=1"],
            &[],
            "--urgent-rate: does nothing unless it is less than --rate lets through, 60 times that a minute; give less",
        ),
        (
            &["--sync", "3", "--journal", "off"],
            &[("FIRSTLINE_JOURNAL", "d")],
            "--sync: does nothing without --journal DIR; give that too",
        ),
    ] {
        assert_eq!(refusal(args, env), expected);
    }
    for args in [
        &["--sync=3", "--sync-interval=2", "--journal=d"][..],
        &["--log-file=f", "--log-level=off,hub=info"],
        &["--allow=any"],
        &["--idle-grace=5", "--idle-timeout=5.1"],
        // The default grace is longer than that. Only a given option is refused.
        &["--idle-timeout=5"],
        &["--idle-grace=off", "--idle-timeout=5"],
        &["--urgent-rate=59", "--rate=1"],
    ] {
        options(args, &[]);
    }
    assert!(options(&["--sync=3", "--journal=d"], &[]).journal.is_some());
    assert!(options(&["--sync=3"], &[("FIRSTLINE_JOURNAL", "d")]).journal.is_some());
    let file = [("FIRSTLINE_JOURNAL_SIZE", "1M"), ("FIRSTLINE_SYNC", "3"), ("FIRSTLINE_LOG_SIZE", "1M")];
    assert_eq!(options(&["--journal=off"], &file).sync, Sync::From(Priority::new(3).unwrap()));
}

#[test]
fn every_wrong_value_is_refused_in_options_and_variables() {
    for (name, value, part) in BAD {
        let shown = if value.is_empty() || value.contains(' ') { format!("{value:?}") } else { value.into() };
        let refusals = [
            (format!("--{name} {shown}: "), refusal(&[&format!("--{name}={value}")], &[])),
            // An empty variable is not set.
            (
                format!("{}={shown}: ", setting(name).variable),
                match value {
                    "" => continue,
                    _ => refusal(&[], &[(setting(name).variable, value)]),
                },
            ),
        ];
        for (start, line) in refusals {
            assert!(line.starts_with(&start) && line.contains(part), "{name} {value}: {line}");
        }
    }
}

#[test]
fn table_is_complete_and_variables_follow_the_rule() {
    for setting in settings() {
        assert!(good().iter().any(|(name, ..)| *name == setting.name), "{}", setting.name);
        assert!(
            BAD.iter().any(|(name, value, _)| *name == setting.name && value.is_empty()),
            "{}",
            setting.name
        );
        let rule = PREFIX.to_string() + &setting.name.to_uppercase().replace('-', "_");
        let variable = if setting.name == "log-level" { "FIRSTLINE_LOG" } else { &rule };
        assert_eq!(setting.variable, variable);
    }
}

#[test]
fn defaults_in_the_table_are_those_of_options() {
    assert_eq!(options(&[], &[]), Options::default());
    for setting in settings() {
        let mut options = Options::default();
        (setting.set)(&mut options, &(setting.default)()).unwrap();
        // These lists are empty by default, which means this.
        if setting.name == "listen" {
            assert_eq!(options.listen, [Listen::Everywhere { port: limits::PORT_DEFAULT }]);
            options.listen.clear();
        }
        if setting.name == "allow" {
            assert_eq!(options.allow, [Allow::Local]);
            options.allow.clear();
        }
        assert_eq!(options, Options::default(), "{}", setting.name);
    }
}

#[test]
fn command_line_wins_over_the_environment() {
    let env = [("FIRSTLINE_AGING", "10"), ("FIRSTLINE_PRINT", "on"), ("FIRSTLINE_LISTEN", "1 2")];
    let read = options(&["--aging", "20", "--print=off", "--listen", "3"], &env);
    assert_eq!(read.aging, Some(ms(20)));
    assert!(!read.print);
    assert_eq!(read.listen, [Listen::Everywhere { port: 3 }]);
    assert!(options(&["--aging", "20"], &env).print);
}

#[test]
fn variable_is_not_checked_if_its_option_is_given() {
    assert_eq!(options(&["--aging=20"], &[("FIRSTLINE_AGING", "nonsense")]).aging, Some(ms(20)));
}

#[test]
fn last_value_of_a_repeated_option_is_valid_but_listeners_and_networks_add_up() {
    let read = options(&["--aging=1", "--listen=1", "--print", "--listen", "2", "--aging=2"], &[]);
    assert_eq!(read.aging, Some(ms(2)));
    assert!(read.print);
    assert_eq!(read.listen, [1, 2].map(|port| Listen::Everywhere { port }));
    assert_eq!(refusal(&["--listen=1"; 9], &[]), "--listen 1: takes no more than 8 addresses in all");
    let read = options(&["--allow=local", "--allow", "192.0.2.0/24"], &[("FIRSTLINE_ALLOW", "any")]);
    assert_eq!(read.allow, [Allow::Local, network("192.0.2.0/24")]);
    assert_eq!(refusal(&["--allow=any"; 33], &[]), "--allow any: takes no more than 32 networks in all");
}

#[test]
fn empty_variable_is_not_set() {
    assert_eq!(options(&[], &[("FIRSTLINE_AGING", ""), ("FIRSTLINE_AGIN", "")]), Options::default());
}

#[test]
fn journal_command_ignores_the_environment() {
    let options = JournalOptions { directory: "d".into(), task: JournalTask::Print(Printing::default()) };
    assert_eq!(read(&["journal", "d"], &[("FIRSTLINE_NONSENSE", "1")]), Ok(Action::Journal(options)));
    assert_eq!(read(&["journal", "--help"], &[]), Ok(Action::Print(Page::JournalHelp)));
}

#[test]
fn other_variables_are_ignored() {
    let env = [("PATH", "/bin"), ("FIRSTLINE", "1"), ("FIRSTLINE_BOARD", "pi"), ("FIRSTLINE_TEST_PORT", "1")];
    assert_eq!(options(&[], &env), Options::default());
}

#[test]
fn variables_of_a_container_system_for_a_service_of_that_name_are_ignored() {
    let kubernetes = [
        ("FIRSTLINE_SERVICE_HOST", "10.96.0.7"),
        ("FIRSTLINE_SERVICE_PORT", "9090"),
        ("FIRSTLINE_SERVICE_PORT_LINES", "9090"),
        ("FIRSTLINE_PORT", "tcp://10.96.0.7:9090"),
        ("FIRSTLINE_PORT_9090_TCP", "tcp://10.96.0.7:9090"),
        ("FIRSTLINE_PORT_9090_TCP_PROTO", "tcp"),
        ("FIRSTLINE_PORT_9090_TCP_PORT", "9090"),
        ("FIRSTLINE_PORT_9090_TCP_ADDR", "10.96.0.7"),
        // The service is called firstline-web.
        ("FIRSTLINE_WEB_SERVICE_HOST", "10.96.0.8"),
        ("FIRSTLINE_WEB_PORT", "tcp://10.96.0.8:80"),
        ("FIRSTLINE_WEB_PORT_80_TCP_ADDR", "10.96.0.8"),
    ];
    let docker = [
        ("FIRSTLINE_NAME", "/web/firstline"),
        ("FIRSTLINE_PORT_9090_TCP_START", "tcp://172.17.0.2:9090"),
        ("FIRSTLINE_ENV_PATH", "/bin"),
    ];
    assert_eq!(options(&[], &kubernetes), Options::default());
    assert_eq!(options(&[], &docker), Options::default());
    for (name, value) in [
        ("FIRSTLINE_PORT", "9090"),
        ("FIRSTLINE_PORT", ":9090"),
        ("FIRSTLINE_NAME", "kitchen"),
        ("FIRSTLINE_HOST", "10.96.0.7"),
        ("FIRSTLINE_SERVICE", "on"),
        ("FIRSTLINE_PORT_TCP", "9090"),
        ("FIRSTLINE_PORT_9090_TCPP", "tcp://10.96.0.7:9090"),
        ("FIRSTLINE_ENV", "x"),
    ] {
        assert!(refusal(&[], &[(name, value)]).starts_with(&format!("{name}: no such setting")), "{name}");
    }
}

#[test]
fn unknown_variable_is_refused_with_the_known_ones() {
    let line = refusal(&[], &[("FIRSTLINE_FROBNICATE", "1")]);
    assert!(line.starts_with("FIRSTLINE_FROBNICATE: no such setting"), "{line}");
    assert!(settings().iter().all(|setting| line.contains(setting.variable)), "{line}");
    for (given, near) in [
        ("FIRSTLINE_LISTN", "FIRSTLINE_LISTEN"),
        ("FIRSTLINE_LOG_LEVEL", "FIRSTLINE_LOG"),
        ("FIRSTLINE_AUTH", "FIRSTLINE_AUTH_FILE"),
        ("FIRSTLINE_aging", "FIRSTLINE_AGING"),
    ] {
        let expected = format!("{given}: no such setting in the environment; did you mean {near}?");
        assert_eq!(refusal(&[], &[(given, "1")]), expected);
    }
    assert!(refusal(&[], &[("FIRSTLINE_", "1")]).starts_with("FIRSTLINE_: "));
}

#[test]
fn unknown_option_is_refused_with_the_nearest() {
    for (given, expected) in [
        ("--agin", "--agin: no such option; did you mean --aging?"),
        ("--agin=5", "--agin: no such option; did you mean --aging?"),
        ("--hlep", "--hlep: no such option; did you mean --help?"),
        ("--prot", "--prot: no such option; did you mean --listen?"),
        ("--port=80", "--port: no such option; did you mean --listen?"),
        ("-p", "-p: no such option; did you mean --listen?"),
        ("--verbose", "--verbose: no such option; did you mean --log-level?"),
        ("--frobnicate", "--frobnicate: no such option; see --help"),
        ("-x", "-x: no such option; see --help"),
        ("--auth", "--auth: no such option; did you mean --auth-file?"),
        ("--auth=file", "--auth: no such option; did you mean --auth-file?"),
        ("--journal-dir", "--journal-dir: no such option; did you mean --journal?"),
        ("--idle", "--idle: no such option; did you mean --idle-grace?"),
        ("-listen", "-listen: no such option; did you mean --listen?"),
        ("-p9090", "-p9090: no such option; did you mean --listen?"),
        ("--=x", "--: no such option; see --help"),
        ("--a\nb", r#""--a\nb": no such option; see --help"#),
    ] {
        assert_eq!(refusal(&[given], &[]), expected);
    }
}

#[test]
fn positional_argument_is_refused() {
    for given in [["9090", ""], ["--", "9090"], ["-", ""]] {
        assert!(refusal(&given, &[]).contains(": not an option; "), "{given:?}");
    }
}

#[test]
fn missing_value_is_refused_with_the_allowed_ones() {
    assert_eq!(refusal(&["--print", "--workers"], &[]), {
        format!("--workers without a value: takes a whole number from 1 to {}", limits::CLIENTS)
    });
    assert!(refusal(&["--log-file", "--print"], &[]).starts_with("--log-file --print: takes a path"));
}

#[test]
fn value_that_is_not_utf8_is_refused() {
    let bad = OsString::from_vec(b"/tmp/\xff".to_vec());
    let refusals = [
        (parse(["--log-file".into(), bad.clone()].into_iter(), [].into_iter()), "--log-file"),
        (parse([bad.clone()].into_iter(), [].into_iter()), "\"/tmp/\\xFF\""),
        (parse([].into_iter(), [("FIRSTLINE_LOG_FILE".into(), bad)].into_iter()), "FIRSTLINE_LOG_FILE="),
    ];
    for (result, start) in refusals {
        let line = result.unwrap_err().to_string();
        assert!(line.starts_with(start) && line.contains(r#""/tmp/\xFF": "#), "{line}");
    }
}

#[test]
fn first_page_is_printed_unless_an_error_precedes_it() {
    for (args, page) in [
        (&["--help"][..], Page::Help),
        (&["-h"], Page::Help),
        (&["--version", "--help"], Page::Version),
        (&["-V"], Page::Version),
        (&["--sizes", "nonsense"], Page::Sizes),
        (&["--aging", "5", "--sizes"], Page::Sizes),
    ] {
        assert_eq!(read(args, &[("FIRSTLINE_AGING", "nonsense")]), Ok(Action::Print(page)), "{args:?}");
    }
    assert!(refusal(&["--aging", "0", "--help"], &[]).starts_with("--aging 0: "));
    assert_eq!(refusal(&["--help=me"], &[]), "--help me: takes no value");
}

#[test]
fn scope_of_an_address_is_kept() {
    let expected = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 9090, 0, 7);
    assert_eq!(options(&["--listen", "::1%7"], &[]).listen, [Listen::At(expected.into())]);
}

/// Arguments that are likely to resemble valid ones.
fn argument() -> impl Strategy<Value = OsString> {
    let name = prop::sample::select(settings().iter().map(|setting| setting.name).collect::<Vec<_>>());
    let value = prop_oneof![
        "\\PC*".prop_map(String::into_bytes),
        "[0-9.:,%kMG \\[\\]-]{0,12}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..200),
    ];
    prop_oneof![
        value.clone().prop_map(OsString::from_vec),
        name.clone().prop_map(|name| format!("--{name}").into()),
        (name, value).prop_map(|(name, value)| {
            OsString::from_vec([format!("--{name}=").into_bytes(), value].concat())
        }),
    ]
}

/// Variables, most of them settings.
fn variable() -> impl Strategy<Value = (OsString, OsString)> {
    let known = prop::sample::select(settings().iter().map(|setting| setting.variable).collect::<Vec<_>>());
    let name = prop_oneof![
        known.prop_map(OsString::from),
        prop::collection::vec(any::<u8>(), 0..200)
            .prop_map(|tail| OsString::from_vec([PREFIX.as_bytes(), &tail].concat())),
    ];
    (name, argument())
}

#[test]
fn companion_gets_its_arguments_and_its_variables() {
    let env = [("FIRSTLINE_BRIDGE_NONSENSE", "is for the bridge")];
    let given = ["--to", "x", "journal"].map(OsString::from).to_vec();
    assert_eq!(read(&["bridge", "--to", "x", "journal"], &env), Ok(Action::Companion("bridge", given)));
    assert!(matches!(read(&[], &env), Ok(Action::Serve(_))));
}

proptest! {
    #[test]
    fn nothing_panics_and_every_refusal_is_one_line(
        args in prop::collection::vec(argument(), 0..4),
        env in prop::collection::vec(variable(), 0..3),
    ) {
        if let Err(usage) = parse(args.into_iter(), env.into_iter()) {
            let line = usage.to_string();
            prop_assert!(!line.is_empty() && !line.chars().any(char::is_control), "{line:?}");
            prop_assert!(line.len() <= 10 * limits::USAGE_GIVEN_BYTES_MAX + 300, "{line:?}");
        }
    }

    #[test]
    fn seconds_survive_round_trip(time in limits::TIMEOUT_MS_MIN..=limits::IDLE_TIMEOUT_MS_MAX) {
        let value = format!("--idle-timeout={}", values::show_seconds(time));
        prop_assert_eq!(options(&[&value], &[]).idle_timeout, Some(ms(time)));
    }

    #[test]
    fn sizes_survive_round_trip(size in limits::LOG_FILE_BYTES_MIN..=limits::LOG_FILE_BYTES_MAX) {
        for size in [size, size & !1023, (size & !0xf_ffff).max(1 << 20)] {
            let value = format!("--log-size={}", crate::counted::Size(size));
            prop_assert_eq!(options(&[&value, "--log-file=log"], &[]).log_size, size);
        }
    }
}
