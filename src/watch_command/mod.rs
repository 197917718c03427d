//! `firstline watch`: prints the messages of a server, each once and in order, and reports lost ones. This process is
//! not the server, so it may allocate. Its memory is bounded for any input.
//!
//! | file | owns |
//! | --- | --- |
//! | `line` | formats an event as a line |
//! | `printer` | the output, and how much of it is written |
//! | `state_file` | the file with the positions in journals |
//! | `keeper` | decides when to write that file |
//! | `verdict` | why the command ended, and its exit code |
//! | `watching` | runs the files above and the client in one thread, with one poll |

mod keeper;
mod line;
#[cfg(test)]
mod power_tests;
mod printer;
mod state_file;
mod verdict;
mod watching;

use crate::client::{Interest, Positions, Servers, Since, Token, Watcher};
use crate::options::{self, Usage, WatchOptions};
use crate::process_io::failure::Failure;
use crate::process_io::interruption::Interruption;
use keeper::Keeper;
use printer::Printer;
use state_file::StateFile;
pub use verdict::Verdict;
use watching::{Limits, Watching};

/// Prints messages until an option, the server, the reader, an error or a signal ends it.
///
/// # Errors
/// Why the command cannot start: nothing was printed.
pub fn run(options: &WatchOptions) -> Result<Verdict, Failure> {
    let servers: Servers =
        options.servers.parse().map_err(|error| Usage::given(options.servers.as_ref(), error))?;
    let token = options.token_file.as_deref().map(Token::read).transpose()?;
    let (file, positions) = match &options.state {
        Some(path) => StateFile::open(path).map(|(file, positions)| (Some(file), positions))?,
        None => (None, Positions::default()),
    };
    let interest = Interest { min: options.min, since: since(options.since), positions: positions.clone() };
    // Before another thread is started, because threads inherit the blocked signals.
    let interruption = Interruption::block()?;
    let watcher = Watcher::new(servers, token, interest);
    let (printer, keeper) = (Printer::new(options.json)?, Keeper::new(file, positions));
    let limits = Limits { count: options.count, timeout: options.timeout };
    Ok(Watching::new(watcher, printer, keeper, interruption, limits)?.run())
}

fn since(given: options::Since) -> Since {
    match given {
        options::Since::All => Since::All,
        options::Since::Id(id) => Since::Id(id),
        options::Since::Last => Since::Last,
    }
}
