//! Real time: what `--realtime` does to the server's threads, what the server says if it is not permitted, and
//! priority inversion, which the mutex then prevents.
//!
//! Takes the permission to run in real time, which root has: `tests/run realtime`.

#[path = "../support/mod.rs"]
mod support;

use firstline::budget;
use firstline::scheduler;
use firstline::sync::{Mutex, inheritance};
use nix::sched::{CpuSet, sched_setaffinity};
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
use support::{Server, command, copy_program, processor};

/// The priorities of the threads in the inversion.
const LOW: u32 = 1;
const MIDDLE: u32 = 2;
const HIGH: u32 = 3;
const COORDINATOR: u32 = 4;

/// How long the thread of middle priority keeps its processor: less than the 950 of 1,000 ms that Linux leaves
/// to real time.
const BUSY: Duration = Duration::from_millis(200);

/// Spawns a thread that runs in real time.
fn spawn_at<T: Send + 'static>(priority: u32, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    scheduler::in_real_time(priority, || thread::spawn(work))
        .expect("these tests need to run as root, or with ulimit -r 99")
}

/// From now on, this thread and those that it spawns run on one processor.
fn stay_on_one_processor() {
    let mut one = CpuSet::new();
    one.set(processor()).unwrap();
    sched_setaffinity(Pid::from_raw(0), &one).unwrap();
}

/// Keeps the processor until `done`, but no longer than [`BUSY`]; returns `done`.
fn keep_busy_until(done: &AtomicBool) -> bool {
    let used = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap());
    let end = used() + BUSY;
    while !done.load(SeqCst) && used() < end {
        std::hint::spin_loop();
    }
    done.load(SeqCst)
}

/// On one processor: a thread of low priority holds the mutex, a thread of high priority waits for it, and a
/// thread of middle priority computes. Returns whether the high one got the mutex before the middle one ended.
fn high_comes_before_middle() -> bool {
    let coordinator = spawn_at(COORDINATOR, || {
        static MUTEX: Mutex<()> = Mutex::new(());
        static HIGH_HAD_IT: AtomicBool = AtomicBool::new(false);
        HIGH_HAD_IT.store(false, SeqCst);
        stay_on_one_processor();
        // Spawning a thread may wait for other threads of this process, so all are spawned before the mutex is locked.
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
        // From here on the thread of low priority, which holds the mutex, runs only while all others wait.
        start_high.send(()).unwrap();
        start_middle.send(()).unwrap();
        low.join().unwrap();
        high.join().unwrap();
        middle.join().unwrap()
    });
    coordinator.join().unwrap()
}

#[test]
fn priority_inheritance_prevents_priority_inversion() {
    // One test for both cases, because inheritance cannot be turned off.
    assert!(!high_comes_before_middle(), "without inheritance there is an inversion");
    inheritance::turn_on().unwrap();
    assert!(high_comes_before_middle(), "with inheritance there is none");
}

/// The policy and priority of a thread.
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
            // `fields` begins with the third field.
            let field = |number: usize| fields.split(' ').nth(number - 3).unwrap().parse().unwrap();
            (name.to_string(), Scheduled { policy: field(41), priority: field(40) })
        })
        .collect()
}

#[test]
fn only_the_consumer_runs_in_real_time() {
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

/// Runs the server as a user without any rights except some capabilities.
struct Unprivileged {
    binary: PathBuf,
}

impl Unprivileged {
    fn new() -> Self {
        // A place where everybody can read the binary.
        let binary = std::env::temp_dir().join(format!("firstline-realtime-{}", std::process::id()));
        copy_program(command().get_program(), &binary);
        std::fs::set_permissions(&binary, Permissions::from_mode(0o755)).unwrap();
        Self { binary }
    }

    /// The command with these limits only: no real-time priority, and 64 KiB of locked memory.
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

    /// What the server says when it refuses to start.
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
fn missing_permissions_are_named_with_a_remedy() {
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
