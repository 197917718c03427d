//! Which options are accepted, and which are refused.

use super::*;
use std::collections::BTreeSet;

fn read(args: &[&str], env: &[(&str, &str)]) -> Result<Options, String> {
    let env = env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    match parse(args.iter().map(OsString::from), env)? {
        Action::Run(options) => Ok(*options),
        Action::Print(text) => Err(text),
    }
}

const LEAST: [&str; 4] = ["--journal", "j", "--to", "mqtt://pi"];

#[test]
fn command_line_wins_over_the_environment() {
    let env = [
        ("FIRSTLINE_BRIDGE_IN_FLIGHT", "7"),
        ("FIRSTLINE_BRIDGE_URGENT", "9"),
        ("FIRSTLINE_LISTEN", "1"),
        ("X", ""),
    ];
    let options = read(&[&LEAST[..], &["--urgent", "5"]].concat(), &env).unwrap();
    assert_eq!((options.in_flight, options.urgent.number()), (7, 5));
    let env = [
        ("FIRSTLINE_BRIDGE_JOURNAL", "j"),
        ("FIRSTLINE_BRIDGE_TO", "mqtts://pi"),
        ("FIRSTLINE_BRIDGE_CA", ""),
    ];
    assert!(read(&[], &env).unwrap().to.unwrap().is_tls);
}

#[test]
fn every_refusal_says_what_is_allowed() {
    let with = |args: &[&str]| read(&[&LEAST[..], args].concat(), &[]).map(|_| ()).unwrap_err();
    for (args, part) in [
        (&["--urgent", "10"][..], "takes a number from 0 to 9"),
        (&["--in-flight", "0"], "takes a number from 1 to 200"),
        (&["--min-share", "91"], "takes a number from 1 to 90"),
        (&["--max-age", "x"], "or off"),
        (&["--mqtt", "4"], "5 or 3.1.1"),
        (&["--topic", "a/#"], "without + and #"),
        (&["--subscribe", "a/#/b"], "# only as the last level"),
        (&["--node", "a b"], "A-Z"),
        (&["--to", "pi"], "mqtt://"),
        (&["--to", "mqtt://me:secret@pi"], "--password-file"),
        (&["--to", "mqtt://me@pi"], "--password-file"),
        (&["--cert", "c"], "mqtts://"),
        (&["--to", "mqtts://pi", "--cert", "c"], "go together"),
        (&["--token-file", "t"], "--subscribe"),
        (&["--hub", "pi"], "--hub does nothing without --subscribe"),
        (&["--jounral", "j"], "did you mean --journal?"),
        (&["x"], "no option"),
        (&["--state"], "takes a path"),
    ] {
        let error = with(args);
        assert!(error.contains(part) && !error.contains('\n'), "{args:?}: {error}");
    }
    assert!(read(&["--to", "mqtt://pi"], &[]).unwrap_err().contains("--journal"));
    let commands = ["--to", "mqtt://pi", "--subscribe", "do"];
    for (name, value) in [
        ("topic", "a"),
        ("state", "s"),
        ("payload", "text"),
        ("urgent", "8"),
        ("min-share", "5"),
        ("in-flight", "5"),
        ("max-age", "5"),
    ] {
        let error = read(&[&commands[..], &[&format!("--{name}"), value]].concat(), &[]).unwrap_err();
        assert_eq!(error, format!("--{name} does nothing without --journal"));
        let name = format!("{PREFIX}{}", variable(name));
        assert!(read(&commands, &[(&name, value)]).is_ok(), "a file of settings may have all of them");
    }
    assert!(read(&["--journal", "j"], &[]).unwrap_err().contains("--to"));
    assert!(read(&LEAST, &[("FIRSTLINE_BRIDGE_TOPICS", "x")]).unwrap_err().contains("no such variable"));
}

#[test]
fn help_names_every_option_and_fits_a_terminal() {
    let help = help();
    for setting in &SETTINGS {
        assert!(help.contains(&format!("--{} ", setting.name)), "{}", setting.name);
    }
    assert!(help.lines().all(|line| line.len() <= 80), "{help}");
    assert_eq!(read(&["--help"], &[]).unwrap_err(), help);
}

#[test]
fn environment_file_has_every_variable() {
    let file = include_str!("../../../deploy/firstline-bridge.env");
    let given = |line: &'static str| line.strip_prefix('#')?.strip_prefix(PREFIX)?.split_once('=');
    let variables: Vec<_> = file.lines().filter_map(given).collect();
    for setting in &SETTINGS {
        assert!(variables.iter().any(|(name, _)| *name == variable(setting.name)), "{}", setting.name);
    }
    for (name, value) in variables {
        let name = format!("{PREFIX}{name}");
        read_variable(OsStr::new(&name), OsStr::new(value), &[], &mut Options::new()).unwrap();
    }
}

#[test]
fn manual_page_and_settings_file_have_every_option() {
    let page = include_str!("../../../deploy/firstline-bridge.1").replace("\\-", "-");
    let is_of_name = |letter: char| letter.is_ascii_lowercase() || letter == '-';
    let names = page.split("--").skip(1).filter_map(|rest| rest.split(|letter| !is_of_name(letter)).next());
    let own = SETTINGS.iter().map(|setting| setting.name);
    assert_eq!(names.collect::<BTreeSet<_>>(), own.chain(["help", "version"]).collect());
    let file = include_str!("../../../deploy/firstline-bridge.env");
    let lines =
        file.lines().filter_map(|line| line.strip_prefix('#')?.strip_prefix(PREFIX)?.split('=').next());
    let variables: BTreeSet<String> = SETTINGS.iter().map(|setting| variable(setting.name)).collect();
    assert_eq!(lines.map(str::to_string).collect::<BTreeSet<_>>(), variables);
}
