//! Starts the server. Everything that allocates, maps or makes a thread happens here, before "ready".

use crate::auth::authenticator::Authenticator;
use crate::auth::{AuthFile, file};
use crate::conn_id::ConnId;
use crate::counted::Counted;
use crate::hub::accept::acceptor::Acceptor;
use crate::hub::connection::session::Session;
use crate::hub::dispatch::consumer::Consumer;
use crate::hub::dispatch::dispatcher::Dispatcher;
use crate::hub::dispatch::policy::Policy;
use crate::hub::dispatch::sinks::journal::JournalSink;
use crate::hub::dispatch::sinks::stdout::StdoutSink;
use crate::hub::replay;
use crate::hub::settings;
use crate::hub::shared::Hub;
use crate::hub::shutdown::{self, Outcome};
use crate::hub::signals::Signals;
use crate::hub::workers::worker::{Worker, WorkerParts};
use crate::hub::workers::worker_id::WorkerId;
use crate::journal::read_only::ReadOnly;
use crate::limits::{
    CLIENTS, CONSUMER_STACK_BYTES, DELIVERY_STACK_BYTES, DESCRIPTORS_OTHER, LOG_DRAIN_MS_MAX, RECEIVE_BYTES,
    REPLAY_STACK_BYTES, WORKER_STACK_BYTES,
};
use crate::net::{Allowed, Listener};
use crate::options::{Interface, Options};
use crate::service::{self, Service};
use crate::sync::{Condvar, Mutex};
use crate::{alloc_guard, clock, code_pages, logger, malloc_arenas, net, realtime};
use core::fmt;
use heapless::Vec;
use ipnet::Ipv6Net;
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use static_cell::{ConstStaticCell, StaticCell};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The receive buffer of each connection.
pub type ReceiveBuffers = [[u8; RECEIVE_BYTES]; CLIENTS];

static RECEIVE: ConstStaticCell<ReceiveBuffers> = ConstStaticCell::new([[0; RECEIVE_BYTES]; CLIENTS]);
static SESSIONS: ConstStaticCell<Vec<Session, CLIENTS>> = ConstStaticCell::new(Vec::new());
static HUB: StaticCell<Hub> = StaticCell::new();
static DISPATCHER: StaticCell<Dispatcher> = StaticCell::new();
static STARTING: Starting = Starting { threads: Mutex::new(0), started: Condvar::new() };

/// Why the server could not start, in one line.
#[derive(Debug)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<realtime::Error> for Error {
    fn from(error: realtime::Error) -> Self {
        Self(error.to_string())
    }
}

/// Counts the threads that have been made but do not run yet. A new thread maps and allocates until it runs its own
/// code, so the server is ready only when every thread runs its own code.
struct Starting {
    threads: Mutex<usize>,
    started: Condvar,
}

impl Starting {
    fn spawn(
        &'static self,
        name: String,
        stack_bytes: usize,
        run: impl FnOnce() + Send + 'static,
    ) -> Result<(), Error> {
        *self.threads.lock() += 1;
        let run = move || {
            *self.threads.lock() -= 1;
            self.started.notify_one();
            run();
        };
        let thread = std::thread::Builder::new().name(name).stack_size(stack_bytes).spawn(run);
        thread.map(drop).map_err(|error| Error(format!("cannot make a thread: {error}")))
    }

    fn wait(&self) {
        drop(self.started.wait_while(self.threads.lock(), |threads| *threads > 0));
    }
}

/// Runs the server until a signal ends it, and returns how the shutdown went. A process calls this once.
///
/// # Errors
/// Why it could not start.
pub fn run(options: &Options, filter: logger::Filter) -> Result<Outcome, Error> {
    malloc_arenas::limit_to_one();
    let service = Service::from_environment();
    let inherited = service::take_listeners().map_err(|error| Error(error.to_string()))?;
    if options.realtime.is_some() {
        realtime::prepare()?;
    }
    let signals = Signals::block().map_err(|errno| no_descriptor(errno, options.workers))?;
    raise_descriptor_limit(options.workers);
    clock::start();
    let config = logger::Config { filter, file: options.log_file.clone(), size_bytes_max: options.log_size };
    logger::init(config).map_err(|error| Error(error.to_string()))?;
    let listeners = net::listen(&options.listen, inherited).map_err(|error| Error(error.to_string()))?;
    let mut auth_file = open_auth_file(options)?;
    let authenticator = auth_file.as_mut().map(read_tokens).transpose()?;
    let (hub, dispatcher) = make_hub(options, authenticator, &service)?;
    hub.fill_outboxes();
    start_threads(hub, dispatcher, options)?;
    let allowed = Allowed::new(&options.allow, clock::now_ns());
    allowed.awaited().for_each(log_missing_interface);
    let code = options.realtime.is_none().then(code_pages::Code::split);
    alloc_guard::arm();
    listeners.iter().for_each(log_listener);
    service.ready(format_args!("listening, for {CLIENTS} clients"));
    if let Some(code) = code {
        code.unmap();
    }
    Acceptor::new(hub, &signals, &service, listeners, allowed, auth_file).run();
    service.stopping();
    let outcome = shutdown::drain(hub, dispatcher, &signals);
    report(outcome);
    logger::flush(Duration::from_millis(LOG_DRAIN_MS_MAX));
    Ok(outcome)
}

fn log_listener(listener: &Listener) {
    let Listener { address, is_awaited, .. } = listener;
    if *is_awaited {
        log::warn!(
            "this machine does not have the address {} yet; clients can connect as soon as it has: listening on {address}",
            address.ip()
        );
    } else {
        log::info!("listening on {address}");
    }
}

fn log_missing_interface((network, interface): (&Ipv6Net, &Interface)) {
    log::warn!(
        "this machine does not have the interface {interface} yet: until it has, --allow lets nobody in from {network} on it"
    );
}

fn open_auth_file(options: &Options) -> Result<Option<AuthFile>, Error> {
    let open = |path: &PathBuf| AuthFile::new(path).map_err(|error| wrong_auth_file(path, &error));
    options.auth_file.as_ref().map(open).transpose()
}

/// The authenticator with the tokens of that file.
fn read_tokens(auth_file: &mut AuthFile) -> Result<Authenticator, Error> {
    match auth_file.load() {
        Ok(tokens) => {
            log::info!(
                "clients must show a token: the auth file has {}",
                Counted(tokens.len() as u64, "name")
            );
            Ok(Authenticator::new(tokens))
        }
        Err(error) => Err(wrong_auth_file(auth_file.path(), &error)),
    }
}

fn wrong_auth_file(path: &Path, error: &file::Error) -> Error {
    Error(format!("--auth-file {}: {error}", path.display()))
}

/// Makes the hub and its dispatcher, with the sinks that the options name.
fn make_hub(
    options: &Options,
    authenticator: Option<Authenticator>,
    service: &Service,
) -> Result<(&'static Hub, &'static Dispatcher), Error> {
    if options.journal.is_some() {
        service.opening_journal(options.journal_size);
    }
    let journal_sink = JournalSink::open(options).map_err(|error| Error(error.to_string()))?;
    let replay = journal_sink.as_ref().zip(options.journal.clone());
    let replay =
        replay.map(|(journal_sink, directory)| replay::Handle::new(directory, journal_sink.committed()));
    let stdout_sink = options.print.then(|| StdoutSink::new(std::io::stdout()));
    let consumer = Consumer::new(stdout_sink, journal_sink);
    let policy =
        Policy::new(options.realtime.is_some(), consumer.needs_thread(), consumer.lets_workers_run());
    let hub = Hub::new(options, policy, replay, authenticator);
    let hub = HUB.init(hub.map_err(|errno| no_descriptor(errno, options.workers))?);
    // Set here, so that the first `/stats` already lists the counters of the journal.
    if let Some(state) = consumer.journal_state() {
        hub.counters.lock().set_journal(state);
    }
    hub.queue.set_order(settings::order(options));
    Ok((hub, DISPATCHER.init(Dispatcher::new(hub, consumer.into_pipeline()))))
}

/// Starts all threads, and waits until each of them runs.
fn start_threads(hub: &'static Hub, dispatcher: &'static Dispatcher, options: &Options) -> Result<(), Error> {
    start_own_threads(hub, dispatcher, options)?;
    start_workers(hub, dispatcher, options.workers)?;
    STARTING.wait();
    if let Some(priority) = options.realtime {
        realtime::lock_memory()?;
        log::info!("the consumer runs in real time, at priority {priority}; the memory is locked");
    }
    Ok(())
}

/// Starts the threads that serve no connections: those of the consumer, the delivery and the replay, where they are
/// needed.
fn start_own_threads(
    hub: &'static Hub,
    dispatcher: &'static Dispatcher,
    options: &Options,
) -> Result<(), Error> {
    if hub.policy.has_own_thread() {
        let spawn =
            || STARTING.spawn("consumer".to_string(), CONSUMER_STACK_BYTES, || dispatcher.keep_processing());
        match options.realtime {
            Some(priority) => realtime::run(priority, spawn)??,
            None => spawn()?,
        }
    }
    if dispatcher.has_delivery_thread() {
        STARTING.spawn("delivery".to_string(), DELIVERY_STACK_BYTES, || dispatcher.keep_delivering())?;
    }
    if let Some((handle, directory)) = hub.replay.as_ref().zip(options.journal.as_ref()) {
        let files = ReadOnly::open(directory);
        let reader = replay::Reader::new(files.map_err(|error| Error(format!("the journal: {error}")))?);
        STARTING.spawn("replay".to_string(), REPLAY_STACK_BYTES, || reader.run(hub, handle))?;
    }
    Ok(())
}

/// Starts the workers, each with its share of the sessions.
fn start_workers(hub: &'static Hub, dispatcher: &'static Dispatcher, workers: usize) -> Result<(), Error> {
    let sessions = SESSIONS.take();
    // One by one: an array of all of them would be made on the stack.
    sessions.extend(ConnId::all().zip(RECEIVE.take()).map(|(conn, buffer)| Session::new(conn, buffer)));
    let mut sessions: &'static mut [Session] = sessions;
    for worker in (0..workers).map(WorkerId::new) {
        let (mine, others) = sessions.split_at_mut(hub.wakeups.connections_of(worker).len());
        sessions = others;
        let parts = WorkerParts::new(hub, dispatcher, worker, mine);
        let parts = parts.map_err(|errno| no_descriptor(errno, workers))?;
        STARTING
            .spawn(format!("worker {}", worker.index()), WORKER_STACK_BYTES, || Worker::new(parts).run())?;
    }
    Ok(())
}

/// Raises the limit of descriptors to the number that the process may need, as far as the hard limit permits.
fn raise_descriptor_limit(workers: usize) {
    let needed = descriptors_needed(workers);
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < needed
    {
        // If this fails, the server serves fewer clients, and logs that when it happens.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, needed.min(hard), hard);
    }
}

fn descriptors_needed(workers: usize) -> rlim_t {
    // A worker has an epoll set, a waker and a timer.
    (CLIENTS + 3 * workers + DESCRIPTORS_OTHER) as rlim_t
}

/// Why the system gives no epoll set, eventfd, signalfd or timerfd.
fn no_descriptor(errno: Errno, workers: usize) -> Error {
    let description = errno.desc();
    Error(match errno {
        Errno::ENOSYS => format!(
            "{description}: the kernel must have epoll, eventfd, signalfd and timerfd (CONFIG_EPOLL, CONFIG_EVENTFD, \
             CONFIG_SIGNALFD, CONFIG_TIMERFD), as Linux 3.2 and later"
        ),
        Errno::EPERM | Errno::EACCES => format!(
            "{description}: something, perhaps a container's filter, forbids epoll, eventfd, signalfd or timerfd"
        ),
        Errno::EMFILE => {
            let (needed, limit) = (descriptors_needed(workers), getrlimit(Resource::RLIMIT_NOFILE));
            let limit = limit.map_or(0, |(soft, _)| soft);
            format!(
                "{description}: {needed} needed, the limit is {limit}; raise it with ulimit -n or LimitNOFILE"
            )
        }
        _ => format!("{description}: the server needs {} descriptors", descriptors_needed(workers)),
    })
}

fn report(outcome: Outcome) {
    match outcome {
        Outcome::Drained => log::info!("drained: all that was admitted is processed"),
        Outcome::LeftOver(messages) => {
            log::error!("the drain time-out is over: {messages} messages were not processed")
        }
        Outcome::Interrupted(signal) => log::warn!("signal {signal}: not drained"),
    }
}
