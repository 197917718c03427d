//! Real time: what `--realtime` makes of the server's threads, what it says where it may not, and the inversion of priorities
//! that the mutex does not let happen then.
//!
//! Needs the permission to run in real time, as root has it: `tests/run realtime`.

mod common;

use common::{Server, command};
use firstline::budget;
use firstline::scheduler;
use firstline::sync::{Mutex, inheritance};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Priorities of the threads in the inversion.
const LOW: u32 = 1;
const MIDDLE: u32 = 2;
const HIGH: u32 = 3;
const CONDUCTOR: u32 = 4;

/// How long the thread of middle priority keeps its processor: less than the 950 of 1,000 ms that Linux leaves to real time.
const BUSY: Duration = Duration::from_millis(200);

/// Makes a thread that runs in real time.
fn spawn_at<T: Send + 'static>(priority: u32, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    scheduler::in_real_time(priority, || thread::spawn(work))
        .expect("these tests need to run as root, or with ulimit -r 99")
}

/// This thread and those it makes run on one processor from now on.
fn stay_on_one_processor() {
    let mine = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let first = (0..CpuSet::count()).find(|cpu| mine.is_set(*cpu).unwrap()).unwrap();
    let mut one = CpuSet::new();
    one.set(first).unwrap();
    sched_setaffinity(Pid::from_raw(0), &one).unwrap();
}

/// Keeps the processor until `done`, but no longer than [`BUSY`]; says whether it was.
fn keep_busy_until(done: &AtomicBool) -> bool {
    let used = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap());
    let end = used() + BUSY;
    while !done.load(SeqCst) && used() < end {
        std::hint::spin_loop();
    }
    done.load(SeqCst)
}

/// On one processor: a thread of low priority has the mutex, one of high priority waits for it, one of middle priority
/// has something else to do. Whether the high one had the mutex before the middle one was done.
fn high_comes_before_middle() -> bool {
    let conductor = spawn_at(CONDUCTOR, || {
        static MUTEX: Mutex<()> = Mutex::new(());
        static HIGH_HAD_IT: AtomicBool = AtomicBool::new(false);
        HIGH_HAD_IT.store(false, SeqCst);
        stay_on_one_processor();
        // To make a thread may have to wait for others of this process; so all are there before anything is locked.
        let (start_high, high_may_start) = channel();
        let high = spawn_at(HIGH, move || {
            high_may_start.recv().unwrap();
            drop(MUTEX.lock());
            HIGH_HAD_IT.store(true, SeqCst);
        });
        let (start_middle, middle_may_start) = channel();
        let middle = spawn_at(MIDDLE, move || {
            middle_may_start.recv().unwrap();
            keep_busy_until(&HIGH_HAD_IT)
        });
        let (locked, is_locked) = channel();
        let low = spawn_at(LOW, move || {
            let _guard = MUTEX.lock();
            locked.send(()).unwrap();
        });
        is_locked.recv().unwrap();
        // From here on the low one, which has the mutex, runs only when all others wait.
        start_high.send(()).unwrap();
        start_middle.send(()).unwrap();
        low.join().unwrap();
        high.join().unwrap();
        middle.join().unwrap()
    });
    conductor.join().unwrap()
}

#[test]
fn who_has_the_mutex_is_held_up_by_others_unless_it_inherits_the_priority_of_who_waits() {
    // In one test, for inheritance stays on.
    assert!(!high_comes_before_middle(), "the inversion is there");
    inheritance::turn_on().unwrap();
    assert!(high_comes_before_middle(), "and gone");
}

/// A thread as the scheduler has it.
#[derive(Debug, PartialEq, Eq)]
struct Scheduled {
    policy: u32,
    priority: u32,
}

/// The threads of a process by their names; /proc/PID/task/TID/stat, see proc_pid_stat(5).
fn threads(pid: u32) -> BTreeMap<String, Scheduled> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks
        .map(|task| {
            let stat = std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
            let (name, fields) = stat.split_once('(').unwrap().1.rsplit_once(") ").unwrap();
            // The first of them is the third field.
            let field = |number: usize| fields.split(' ').nth(number - 3).unwrap().parse().unwrap();
            (name.to_string(), Scheduled { policy: field(41), priority: field(40) })
        })
        .collect()
}

#[test]
fn the_consumer_runs_in_real_time_and_nothing_else_does() {
    let server = Server::start(&["--realtime", "7"]);
    let mut client = server.connect();
    assert_eq!(client.ask("/urgent smoke"), "ACK 1 1");
    let threads = threads(server.pid());
    for (name, scheduled) in &threads {
        let expected = match name.as_str() {
            "consumer" => Scheduled { policy: 1, priority: 7 },
            _ => Scheduled { policy: 0, priority: 0 },
        };
        assert_eq!(*scheduled, expected, "{name}");
    }
    assert!(threads.contains_key("consumer") && threads.contains_key("worker 0"), "{threads:?}");
    let needed = budget::total(&budget::STATIC) + budget::total(&budget::STACKS);
    assert!(server.status("VmLck") as usize * 1024 >= needed, "all memory is locked");
    assert_eq!(server.end(), Some(0));
}

/// Runs the server as a user who may do nothing special but for some capabilities.
struct Unprivileged {
    binary: PathBuf,
}

impl Unprivileged {
    fn new() -> Self {
        // Where everybody can read it.
        let binary = std::env::temp_dir().join(format!("firstline-realtime-{}", std::process::id()));
        std::fs::copy(command().get_program(), &binary).unwrap();
        std::fs::set_permissions(&binary, Permissions::from_mode(0o755)).unwrap();
        Self { binary }
    }

    /// The command with no limits but these: no real-time priority, and 64 KiB of locked memory.
    fn command(&self, capabilities: &str) -> Command {
        let mut command = Command::new("prlimit");
        command.args(["--rtprio=0", "--memlock=65536", "setpriv", "--reuid=65534", "--regid=65534"]).args([
            "--clear-groups",
            &format!("--inh-caps={capabilities}"),
            &format!("--ambient-caps={capabilities}"),
        ]);
        command.arg(&self.binary).args(["--listen", "127.0.0.1:0", "--realtime", "7"]);
        command
    }

    /// What the server says that does not start.
    fn refusal(&self, capabilities: &str) -> String {
        let output = self.command(capabilities).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
        said
    }
}

impl Drop for Unprivileged {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.binary);
    }
}

#[test]
fn what_is_not_permitted_is_told_with_what_it_takes() {
    let user = Unprivileged::new();
    assert_eq!(
        user.refusal("-all"),
        "firstline: --realtime: not permitted: the limit of real-time priority is 0; it takes ulimit -r 7, \
         in systemd LimitRTPRIO=7, or the capability CAP_SYS_NICE\n"
    );
    assert_eq!(
        user.refusal("-all,+sys_nice"),
        "firstline: --realtime: the memory cannot be locked (ENOMEM): the limit is 64 KiB; it takes \
         ulimit -l unlimited, in systemd LimitMEMLOCK=infinity, or the capability CAP_IPC_LOCK\n"
    );
    let server = Server::start_command(user.command("-all,+sys_nice,+ipc_lock"));
    assert_eq!(server.connect().ask("hello"), "ACK 1 1");
    assert_eq!(server.end(), Some(0));
}
