//! The program: parses the arguments and starts the two threads.

use crate::bridge::CounterFile;
use crate::guard::Guard;
use crate::limits::POLLER_STACK_BYTES;
use crate::options::{self, Action, HELP, Options};
use crate::poller::Poller;
use crate::server;
use crate::sessions::Sessions;
use crate::site::Site;
use crate::state::State;
use crate::submission;
use firstline::client::Token;
use firstline::client::link::Link;
use firstline::client::shown::described;
use firstline::process_io::standard_error::say;
use firstline::service::Service;
use nix::unistd::gethostname;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use tokio::net::TcpListener;

/// The program cannot listen, or cannot read a token.
const NOT_STARTED: u8 = 1;
/// An option or a variable is wrong.
const USAGE: u8 = 2;

/// Runs the program.
pub fn main() -> ExitCode {
    let options = match options::parse(std::env::args_os().skip(1), std::env::vars_os()) {
        Ok(Action::Serve(options)) => options,
        Ok(Action::Help) => return show(HELP),
        Ok(Action::Version) => return show(concat!("firstline-web ", env!("CARGO_PKG_VERSION"), "\n")),
        Err(usage) => return fail(USAGE, &usage.to_string()),
    };
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => fail(NOT_STARTED, &reason),
    }
}

fn show(text: &str) -> ExitCode {
    // An error means that the reader has closed the pipe.
    let _ = io::Write::write_all(&mut io::stdout(), text.as_bytes());
    ExitCode::SUCCESS
}

fn fail(code: u8, reason: &str) -> ExitCode {
    say("firstline-web", reason);
    ExitCode::from(code)
}

/// Serves until a signal ends the process.
fn run(options: Options) -> Result<(), String> {
    let service = Service::from_environment();
    let (token, viewer_token) = (token(options.token_file)?, token(options.viewer_token_file)?);
    let hub = options.hub.ok_or("there is no HUB")?;
    let system = |error: io::Error| described(&error);
    let (submitter, submissions) = submission::channel().map_err(system)?;
    let state = Arc::new(State::new());
    let guard = Guard::new(options.hosts.into_iter().chain(own_name()));
    let bridge = options.bridge_counters.map(CounterFile::new);
    let poller = Poller::new(Link::new(hub, token), Arc::clone(&state), submissions, bridge);
    // One thread suffices for all viewers.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system)?;
    runtime.block_on(async {
        let mut bound = Vec::new();
        for address in options.listen {
            bound.push(listen(address).await?);
        }
        let sessions = Sessions::new().map_err(system)?;
        let site = Site::new(state, guard, viewer_token, options.allows_send, submitter, sessions);
        let (site, places) = (Arc::new(site), server::places());
        let mut listeners = tokio::task::JoinSet::new();
        for listener in bound {
            listeners.spawn(server::run(listener, Arc::clone(&site), places.clone()));
        }
        let thread = thread::Builder::new().name("poller".to_string()).stack_size(POLLER_STACK_BYTES);
        thread.spawn(|| poller.run()).map_err(system)?;
        service.ready(format_args!("serving the page"));
        // This never returns: the listeners run for ever.
        listeners.join_all().await;
        Ok(())
    })
}

async fn listen(address: SocketAddr) -> Result<TcpListener, String> {
    let failed = |error: io::Error| format!("--listen {address}: {}", described(&error));
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    say("firstline-web", format_args!("listening on {address}; the page is http://{address}/"));
    Ok(listener)
}

fn token(path: Option<PathBuf>) -> Result<Option<Token>, String> {
    path.map(|path| Token::read(&path)).transpose().map_err(|error| error.to_string())
}

/// The name of this machine.
fn own_name() -> Option<String> {
    gethostname().ok()?.into_string().ok()
}
