//! The help.

use super::table::{SETTINGS, Setting};

/// The help, each line with its LF.
pub fn help() -> String {
    let mut help = "\
Usage: firstline bridge --to mqtt://[USER@]HOST[:PORT] --journal DIR [OPTION]...
       firstline bridge --to mqtt://... --subscribe TOPIC [OPTION]...

Sends the messages in the journal of a firstline server to an MQTT broker, the
urgent ones first, and each until the broker has acknowledged it. A message can
arrive twice, with the same key, NODE-ID-CHECKSUM. Lost messages are reported on
the topic lost, beside those of the messages. With --subscribe, it also passes
commands from the broker to the server.

"
    .to_string();
    for Setting { name, value, help: text, .. } in &SETTINGS {
        let option = format!("--{name} {value}");
        // Both columns together fit the width of a terminal.
        if text.len() > 54 || option.len() > 22 {
            help += &format!("  {option}\n{:8}{text}\n", "");
        } else {
            help += &format!("  {option:<22}  {text}\n");
        }
    }
    help += "  -V, --version           print the version
  -h, --help              print this

Each option is a variable too: FIRSTLINE_BRIDGE_JOURNAL=DIR. Without --state,
the file is cursors in $STATE_DIRECTORY, or in ~/.local/state/firstline-bridge;
FILE.json beside it has counters, or with systemd counters.json in
$RUNTIME_DIRECTORY. It ends on SIGTERM with 0; with 2 for a wrong option, and
with 1 for a file that cannot be used. A broker or a journal that is away does
not end it.
";
    help
}
