//! `firstline send`: sends a message, or each line of standard input, and reports the outcome of each. This process is
//! not the server, so it may allocate. Its memory is bounded for any input.
//!
//! | file | owns |
//! | --- | --- |
//! | `input` | standard input, split into lines |
//! | `source` | the messages of this call |
//! | `tag` | identifies a message in flight |
//! | `report` | the output: receipts, complaints, progress |
//! | `spool`, `name` | messages that wait in a directory, and their names |
//! | `backlog` | the messages of a spool that this process sends |
//! | `kept` | the backlog, and the reports about it |
//! | `presence`, `ending` | whether messages go to the server or to the spool; the end by signals |
//! | `tally` | the counts of the outcomes, and the exit code |
//! | `sending` | runs the files above and the client in one thread, with one poll |

mod backlog;
mod ending;
mod input;
mod kept;
mod name;
mod presence;
mod report;
mod sending;
mod source;
mod spool;
mod tag;
mod tally;

use crate::client::{Message, Repeats, Sender, Servers, Settings, Token};
use crate::options::{Content, SendOptions, Usage};
use crate::process_io::failure::Failure;
use crate::process_io::interruption::Interruption;
use crate::process_io::standard_error::say;
use crate::protocol::command::{Request, parse};
use backlog::Backlog;
use input::Input;
use sending::Sending;
use source::Source;
use std::io::{self, IsTerminal as _, stderr, stdin};
use std::path::Path;
pub use tally::Verdict;

/// Sends the messages of the options, and reports their outcomes on standard output and standard error.
///
/// # Errors
/// Why the command cannot start, or had nothing to send: nothing was sent.
pub fn run(options: &SendOptions) -> Result<Verdict, Failure> {
    let servers: Servers =
        options.servers.parse().map_err(|error| Usage::given(options.servers.as_ref(), error))?;
    let token = options.token_file.as_deref().map(Token::read).transpose()?;
    let repeats = if options.repeats_unknown { Repeats::All } else { Repeats::Nothing };
    let settings = Settings { token, timeout: options.timeout, repeats, ..Settings::default() };
    let sender = Sender::new(servers, settings);
    // Before another thread is started, because threads inherit the blocked signals.
    let interruption = Interruption::block()?;
    let sending = Sending::new(sender, options.timeout, interruption)?;
    let spool = options.spool.as_deref().map(|path| spool(path, options));
    match &options.content {
        Content::Text(text) => {
            let message = Message::new(options.priority, text.as_slice())
                .map_err(|error| Usage::given("TEXT".as_ref(), error))?;
            if stderr().is_terminal() {
                warn_of_word(text);
            }
            Ok(sending.send(Source::one(message), spool))
        }
        Content::Kept => match spool {
            Some(spool) => Ok(sending.flush(spool?)),
            None => Err(Failure::usage("--flush takes --spool DIR")),
        },
        Content::Unsaid if stdin().is_terminal() => {
            let host = &options.servers;
            Err(Failure::usage(format_args!(
                "there is no TEXT for HOST {host}; give some, or - to type lines"
            )))
        }
        Content::Unsaid => match sending.send(lines(options)?, spool) {
            // Perhaps a variable of a script is empty.
            verdict if verdict.is_of_nothing() => Err(Failure::usage(format_args!(
                "nothing was sent: there is no TEXT for HOST {}, and standard input has no lines; with -, that is no error",
                options.servers
            ))),
            verdict => Ok(verdict),
        },
        Content::Lines => Ok(sending.send(lines(options)?, spool)),
    }
}

/// Tells a person who knows the protocol that a word of priority, such as `/urgent`, has no effect here.
fn warn_of_word(text: &[u8]) {
    if text.starts_with(b"/")
        && !text.starts_with(b"//")
        && let Request::Message { priority, .. } = parse(text)
    {
        let priority = priority.number();
        say(
            "firstline",
            format_args!("the word with / is sent as a part of the text; the option is -p {priority}"),
        );
    }
}

fn spool(path: &Path, options: &SendOptions) -> Result<Backlog, Failure> {
    Backlog::open(path, options.repeats_unknown)
        .map_err(|error| Failure::system_of_path("--spool", path, &error))
}

fn lines(options: &SendOptions) -> io::Result<Source> {
    Ok(Source::lines(Input::new()?, options.priority))
}
