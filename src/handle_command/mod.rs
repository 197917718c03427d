//! `firstline handle`: processes messages of a server by running a program. This process is not the server, so it may
//! allocate. Its memory is bounded for any input.
//!
//! | file | owns |
//! | --- | --- |
//! | `limits` | every bound |
//! | `task` | a task of the server |
//! | `answer` | the answers of a program |
//! | `lines` | the output of a program, split into lines |
//! | `process` | a process, its group and its pipes |
//! | `children` | the exits of processes, as a descriptor to poll |
//! | `program` | the program and its arguments |
//! | `streaming` | a run of the program for many tasks |
//! | `single` | a run of the program for one task |
//! | `slot` | room for one task: starts the program, and enforces its time-outs |
//! | `report` | a line to the server about a task |
//! | `handling` | the connection to the server |
//! | `log` | the lines on standard error |
//! | `verdict` | why the command ended, and its exit code |
//! | `supervising` | runs the files above in one thread, with one poll |

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

/// Handles tasks until the server, a program that cannot be started, or a signal ends it.
///
/// # Errors
/// Why the command cannot start: no task was taken.
pub fn run(options: &HandleOptions) -> Result<Verdict, Failure> {
    let servers: Servers =
        options.servers.parse().map_err(|error| Usage::given(options.servers.as_ref(), error))?;
    let token = options.token_file.as_deref().map(Token::read).transpose()?;
    // Before another thread is started, because threads inherit the blocked signals.
    let (interruption, children) = (Interruption::block()?, Children::watch()?);
    let handling = Handling::new(Link::new(servers, token), options.min);
    let program = Program::new(options.program.clone());
    program.check()?;
    let manner = Manner { is_each: options.is_each, timeout: options.timeout };
    let slots = (0..options.count).map(|_| Slot::new(program.clone(), manner)).collect();
    Ok(Supervising::new(handling, slots, interruption, children)?.run())
}
