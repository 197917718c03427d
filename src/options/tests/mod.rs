mod effects;
mod samples;

use super::*;
use crate::limits;
use proptest::prelude::*;
use samples::{BAD, good, ms, network};
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

fn setting(name: &str) -> &'static Setting {
    settings().iter().find(|setting| setting.name == name).unwrap()
}

/// Options that have an effect only with another setting: the option, the other setting's variable, and its value.
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
        // On the command line, an option without an effect is refused, so the test also sets what the option needs.
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
fn every_wrong_value_is_refused_in_options_and_variables() {
    for (name, value, part) in BAD {
        let shown = if value.is_empty() || value.contains(' ') { format!("{value:?}") } else { value.into() };
        let refusals = [
            (format!("--{name} {shown}: "), refusal(&[&format!("--{name}={value}")], &[])),
            // An empty variable counts as not set.
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
        // These lists are empty by default, which means the following.
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
    let env = [
        ("PATH", "/bin"),
        ("FIRSTLINE", "1"),
        ("FIRSTLINE_BOARD", "pi"),
        ("FIRSTLINE_TEST_PORT", "1"),
        // One file with variables may serve the server and its companions.
        ("FIRSTLINE_WEB_LISTEN", "9180"),
        ("FIRSTLINE_BRIDGE_TOPIC", "plant"),
    ];
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

/// Arguments that often resemble valid ones.
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

/// Variables, most of which are settings.
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

#[test]
fn help_of_each_command_names_every_option_and_fits_a_terminal() {
    // The help of send lists several options in one line.
    for (help, names, before) in [
        (journal_help(), &journal::NAMES[..], "\n  "),
        (send_help(), &send::NAMES, ""),
        (watch_help(), &watch::NAMES, "\n  "),
        (handle_help(), &handle::NAMES, "\n  "),
    ] {
        for name in names {
            assert!(help.contains(&format!("{before}--{name} ")), "{name}: {help}");
        }
        assert!(help.lines().all(|line| line.len() <= 80 && line.trim_end() == line), "{help}");
    }
}
