//! The program: from the arguments to the exit code.

use super::commands::{Commands, Subscription};
use super::counter_file::{self, CounterFile};
use super::counters::CommandCounters;
use super::cursor_file::CursorFile;
use super::destination::Destination;
use super::exchange::Introduction;
use super::limits::{COMMAND_SESSION_S, LOOK_OFFLINE_MS};
use super::names::Names;
use super::options::{self, Action, Options};
use super::outgoing::{Manner, Outgoing};
use super::publication::Form;
use super::publisher::Publisher;
use super::reader::Selection;
use super::report::{Throttle, say};
use super::secret::Login;
use super::state_files::StateFiles;
use super::stop::{Stop, Woken};
use super::tls::Tls;
use crate::client::Token;
use crate::client::shown::described;
use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// A file cannot be used.
const UNUSABLE: u8 = 1;
/// An option or a variable is wrong.
const USAGE: u8 = 2;

/// Runs the program.
pub fn main() -> ExitCode {
    let (code, reason) = match options::parse(env::args_os().skip(1), env::vars_os()) {
        Ok(Action::Print(text)) => {
            // An error means that the reader of the output has closed the pipe.
            let _ = std::io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Ok(Action::Run(options)) => {
            match Names::new(&options).and_then(|names| Ok((names, state(&options)?))) {
                Ok((names, state)) => match run(&options, names, state) {
                    Ok(()) => return ExitCode::SUCCESS,
                    Err(reason) => (UNUSABLE, reason),
                },
                Err(reason) => (USAGE, reason),
            }
        }
        Err(reason) => (USAGE, reason),
    };
    say(format_args!("{reason}"));
    ExitCode::from(code)
}

fn run(options: &Options, names: Names, state: Option<PathBuf>) -> Result<(), String> {
    let stop = Stop::new().map_err(|errno| errno.desc().to_string())?;
    let destination = destination(options, &names.node)?;
    let counters = Arc::new(CommandCounters::default());
    let commands = match &names.subscription {
        Some(topic) => {
            let mut destination = destination.clone();
            destination.introduction.client_id += "-commands";
            destination.introduction.session_expiry_s = COMMAND_SESSION_S;
            let subscription = subscription(options, topic.clone())?;
            Some(Commands::new(destination, subscription, Arc::clone(&counters), stop.clone()))
        }
        None => None,
    };
    let (Some(directory), Some(state)) = (&options.journal, state) else {
        commands.into_iter().for_each(Commands::run);
        return Ok(());
    };
    let manner = manner(options, directory, names);
    thread::scope(|scope| {
        // If one direction ends, for whatever reason, the other one ends, too.
        let _end = stop.request_at_end();
        if let Some(commands) = commands {
            let end = stop.request_at_end();
            let run = move || {
                let _end = end;
                commands.run();
            };
            let thread = thread::Builder::new().name("commands".to_string());
            thread.spawn_scoped(scope, run).map_err(|error| described(&error))?;
        }
        forward(manner, destination, &state, counters, stop.clone())
    })
}

/// Waits for the journal to exist, and sends it.
fn forward(
    manner: Manner,
    destination: Destination,
    state: &Path,
    counters: Arc<CommandCounters>,
    stop: Stop,
) -> Result<(), String> {
    let mut cursors = CursorFile::open(state).map_err(|error| error.to_string())?;
    let saved = cursors.as_ref().and_then(CursorFile::saved);
    let mut troubles = Throttle::default();
    let outgoing = loop {
        match Outgoing::open(&manner, saved) {
            Ok(outgoing) => break outgoing,
            Err(trouble) => troubles.say(format_args!("{trouble}; the bridge waits for it")),
        }
        let again = Instant::now() + Duration::from_millis(LOOK_OFFLINE_MS);
        if stop.wait(&[], Some(again)) == Woken::Stop {
            return Ok(());
        }
    };
    if cursors.is_none() {
        say(format_args!(
            "{}: there are no cursors yet, so the journal is sent from its oldest message on",
            state.display()
        ));
        cursors = Some(CursorFile::create(state, outgoing.cursors()).map_err(|error| error.to_string())?);
    }
    if let Some(cursors) = cursors {
        let counter_file = CounterFile::at(counter_file::path(state));
        let state_files = StateFiles::new(cursors, counter_file, counters);
        Publisher::new(manner, destination, outgoing, state_files, stop).run();
    }
    Ok(())
}

fn destination(options: &Options, node: &str) -> Result<Destination, String> {
    let broker = options.to.clone().ok_or("--to is missing")?;
    let login = match &options.password_file {
        Some(path) => Some(Login::read(path, broker.user.as_deref())?),
        None => None,
    };
    let introduction = Introduction {
        version: options.mqtt,
        client_id: options.client_id.clone().unwrap_or_else(|| format!("firstline-{node}")),
        login,
        session_expiry_s: 0,
        answer_timeout: options.ack_timeout,
    };
    let tls = if broker.is_tls { Some(Tls::new(&options.tls, &broker.name_for_tls())?) } else { None };
    Ok(Destination { broker, tls, introduction })
}

fn subscription(options: &Options, topic: String) -> Result<Subscription, String> {
    let token =
        options.token_file.as_deref().map(Token::read).transpose().map_err(|error| error.to_string())?;
    Ok(Subscription { topic, hub: options.hub.clone(), token })
}

fn manner(options: &Options, directory: &Path, names: Names) -> Manner {
    let Names { node, topics, .. } = names;
    let max_age_ms = options.max_age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    Manner {
        directory: directory.to_path_buf(),
        selection: Selection { urgent_from: options.urgent, max_age_ms },
        form: Form { topics, payload: options.payload, node },
        in_flight: options.in_flight,
        min_share: options.min_share,
    }
}

/// The file of the cursors; `None` if there is no journal.
fn state(options: &Options) -> Result<Option<PathBuf>, String> {
    if options.journal.is_none() || options.state.is_some() {
        return Ok(options.state.clone());
    }
    // systemd separates several directories by colons; the last one is the bridge's.
    let of_service =
        env::var("STATE_DIRECTORY").ok().and_then(|list| list.rsplit(':').next().map(PathBuf::from));
    let of_user =
        || env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state/firstline-bridge"));
    let directory =
        of_service.or_else(of_user).ok_or("--state FILE is missing: it says where the cursors are kept")?;
    Ok(Some(directory.join("cursors")))
}
