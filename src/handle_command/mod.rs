//! `firstline handle`: processes messages of a server by running a program. This process is not the server, so it may
//! allocate; its memory is bounded for any input.
//!
//! | file | owns |
//! | --- | --- |
//! | `limits` | every bound |
//! | `task` | a task of the server |
//! | `answer` | what a program says |
//! | `lines` | the output of a program, cut into lines |
//! | `process` | a process, its group and its pipes |
//! | `children` | the ends of processes, as a descriptor to poll |
//! | `program` | the program and its arguments |
//! | `streaming` | a run of the program for many tasks |
//! | `single` | a run of the program for one task |
//! | `slot` | a place for one task at once: starts the program, and watches its time |
//! | `report` | what was told to the server |
//! | `handling` | the connection to the server |
//! | `log` | the lines on standard error |
//! | `verdict` | why it ended, and the exit code |
//! | `supervising` | the files above together, in one thread and one poll |

mod answer;
mod children;
mod handling;
mod limits;
mod lines;
mod log;
mod process;
mod program;
mod report;
mod single;
mod slot;
mod streaming;
mod supervising;
mod task;
mod verdict;

use crate::client::link::Link;
use crate::client::{Servers, Token};
use crate::options::{HandleOptions, Usage};
use crate::process_io::failure::Failure;
use crate::process_io::interruption::Interruption;
use children::Children;
use handling::Handling;
use program::Program;
use slot::{Manner, Slot};
use supervising::Supervising;
pub use verdict::Verdict;

/// Handles tasks until the server or a signal ends it.
///
/// # Errors
/// Why it cannot begin: no task was taken.
pub fn run(options: &HandleOptions) -> Result<Verdict, Failure> {
    let servers: Servers =
        options.servers.parse().map_err(|error| Usage::given(options.servers.as_ref(), error))?;
    let token = options.token_file.as_deref().map(Token::read).transpose()?;
    // Before there is another thread.
    let (interruption, children) = (Interruption::block()?, Children::watch()?);
    let handling = Handling::new(Link::new(servers, token), options.min);
    let program = Program::new(options.program.clone());
    let manner = Manner { is_each: options.is_each, timeout: options.timeout };
    let slots = (0..options.count).map(|_| Slot::new(program.clone(), manner)).collect();
    Ok(Supervising::new(handling, slots, interruption, children)?.run())
}
