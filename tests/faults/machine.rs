//! Machines without memory, without processor time, or with a wrong clock.

use crate::scene::{Scene, report_not_run};
use crate::support::accounts::Speaker;
use crate::support::directory::Directory;
use crate::support::fake_time::FakeTime;
use crate::support::hosts::enter_new_network;
use crate::support::mounted::run;
use crate::support::{allow_many_connections, command, eventually};
use firstline::limits::{CLIENTS, IN_FLIGHT, SOCKET_BUFFER_BYTES};
use nix::sys::socket::{setsockopt, sockopt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

// ---- No memory ------------------------------------------------------------------------------------------------

/// Takes all places that are left, and everything that a place has.
fn use_everything(scene: &Scene) {
    let places = CLIENTS - scene.clients() as usize - 1;
    let mut speakers: Vec<Speaker> =
        (0..places).map(|number| scene.speaker(&format!("all-{number}"))).collect();
    for speaker in &mut speakers {
        speaker.command("/join 0 since 0").unwrap();
        speaker.say_many(IN_FLIGHT).unwrap();
    }
    for speaker in &mut speakers {
        speaker.await_replies().unwrap();
    }
    speakers.into_iter().for_each(Speaker::vanish);
}

#[test]
fn server_needs_no_memory_after_its_start() {
    allow_many_connections();
    with_mapping_forbidden();
    // A part that may be skipped is no test of its own, because a skipped test counts as passed.
    match MemoryGroup::new(memory_max()) {
        Ok(group) => with_full_buffers_on_all_places(&group),
        Err(why) => report_not_run("a memory cgroup", &why),
    }
}

fn with_mapping_forbidden() {
    let scene = Scene::start("no-memory", &[]);
    // Less than the server has, so every further mapping fails.
    run("prlimit", &["--pid", &scene.server.pid().to_string(), "--as=4096", "--data=4096"]);
    let bystander = scene.bystander();
    use_everything(&scene);
    eventually("all clients are closed", || scene.clients() == 1);
    bystander.assert_prompt();
    scene.end();
}

/// A control group with a memory limit. It is removed when this is dropped.
struct MemoryGroup(PathBuf);

impl MemoryGroup {
    /// A group below that of this process, if groups can be created and limited here.
    fn new(bytes: u64) -> Result<Self, String> {
        let own = std::fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        let path_of = |line: &str, controller: &str| {
            let mut fields = line.splitn(3, ':').skip(1);
            (fields.next() == Some(controller)).then(|| fields.next().unwrap_or("/").to_string())
        };
        let first = |controller| own.lines().find_map(|line| path_of(line, controller));
        let (root, path, limit) = match first("memory") {
            Some(path) => ("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes"),
            None => ("/sys/fs/cgroup", first("").unwrap_or_default(), "memory.max"),
        };
        let group = Self(
            Path::new(root)
                .join(path.trim_start_matches('/'))
                .join(format!("firstline-{}", std::process::id())),
        );
        let describe = |error: std::io::Error| format!("{}: {error}", group.0.display());
        std::fs::create_dir(&group.0).map_err(describe)?;
        std::fs::write(group.0.join(limit), bytes.to_string()).map_err(describe)?;
        Ok(group)
    }

    /// Puts a shell before the command, which moves itself into this group.
    fn put_in(&self, command: &mut Command) {
        let inner = std::mem::replace(command, Command::new("sh"));
        let procs = self.0.join("cgroup.procs");
        command.args(["-c", "echo $$ >\"$0\" && exec \"$@\""]).arg(procs);
        command.arg(inner.get_program()).args(inner.get_args());
    }

    /// The group's peak usage, in bytes.
    fn peak(&self) -> u64 {
        let read = |name| std::fs::read_to_string(self.0.join(name));
        let peak = read("memory.max_usage_in_bytes").or_else(|_| read("memory.peak"));
        peak.map_or(0, |peak| peak.trim().parse().unwrap_or(0))
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// MemoryMax of the systemd unit, in bytes.
fn memory_max() -> u64 {
    let unit =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/firstline.service"))
            .unwrap();
    let megabytes = unit.lines().find_map(|line| line.strip_prefix("MemoryMax=")?.strip_suffix('M'));
    megabytes.expect("MemoryMax is in M").parse::<u64>().unwrap() << 20
}

/// The server with no more memory than its systemd unit allows, of which the kernel uses some for connections.
fn with_full_buffers_on_all_places(group: &MemoryGroup) {
    let scene = Scene::start_with("memory-group", |command| {
        command.args(["--write-timeout", "off"]);
        group.put_in(command);
    });
    let bystander = scene.bystander();
    let questions = "/help\n".repeat(50_000);
    let unread: Vec<_> = (0..CLIENTS - 3)
        .map(|number| {
            let speaker = scene.speaker(&format!("deaf-{number}"));
            speaker.stream.set_nonblocking(true).unwrap();
            speaker
        })
        .collect();
    for _ in 0..10 {
        for speaker in &unread {
            while std::io::Write::write(&mut &speaker.stream, questions.as_bytes()).is_ok() {}
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let peak = group.peak();
    assert!(peak > 1 << 20, "the server is not in the group: {peak} bytes");
    println!("{peak} bytes at most, of {}", memory_max());
    unread.into_iter().for_each(Speaker::vanish);
    eventually("all clients are closed", || scene.clients() == 1);
    bystander.assert_prompt();
    scene.end();
}

// ---- No processor time --------------------------------------------------------------------------------------

/// A process that uses all the time of one processor. It is killed when this is dropped.
struct BusyProcess(Child);

impl BusyProcess {
    fn on(processor: usize) -> Self {
        let mut command = Command::new("taskset");
        command.args(["-c", &processor.to_string(), "sh", "-c", "while :; do :; done"]);
        Self(command.spawn().expect("taskset is installed"))
    }
}

impl Drop for BusyProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A processor that this process may run on.
fn a_processor() -> usize {
    let set = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)).unwrap();
    (0..nix::sched::CpuSet::count()).find(|processor| set.is_set(*processor).unwrap()).unwrap()
}

#[test]
fn clients_are_answered_on_one_processor_with_four_busy_processes() {
    let processor = a_processor();
    let scene = Scene::start_with("burners", |command| {
        let inner = std::mem::replace(command, Command::new("taskset"));
        command.args(["-c", &processor.to_string()]).arg(inner.get_program()).args(inner.get_args());
    });
    let busy: Vec<BusyProcess> = (0..4).map(|_| BusyProcess::on(processor)).collect();
    let bystander = scene.bystander();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let mut speaker = scene.speaker(&format!("busy-{number}"));
            scope.spawn(move || (0..20).for_each(|_| speaker.say_and_await_replies(2 * IN_FLIGHT).unwrap()));
        }
    });
    bystander.assert_prompt();
    drop(busy);
    scene.speaker("after").say_and_await_replies(1).unwrap();
    scene.end();
}

/// How long the server is stopped.
const STOPPED: Duration = Duration::from_secs(10);

#[test]
fn stop_longer_than_the_time_outs_closes_no_client_that_is_owed_replies() {
    // Both time-outs pass while it is stopped, also for clients that did their part meanwhile.
    let scene = Scene::start("stopped", &["--idle-timeout", "5", "--write-timeout", "5"]);
    let mut before = scene.speaker("before");
    let mut during = scene.speaker("during");
    let mut joined = scene.speaker("joined");
    let mut slow = scene.speaker("slow");
    joined.command("/join").unwrap();
    joined.await_replies().unwrap();
    // Small enough to block the server, and large enough that it continues at once when the client reads.
    setsockopt(&slow.stream, sockopt::RcvBuf, &SOCKET_BUFFER_BYTES).unwrap();
    let questions: Vec<u8> = (0..1_000).flat_map(|_| slow.account.command("/help")).collect();
    slow.send(&questions).unwrap();
    eventually("the socket of slow is full", || scene.stat("bytes-out") > SOCKET_BUFFER_BYTES as u64);
    before.say_many(IN_FLIGHT).unwrap();
    scene.server.signal("STOP");
    let since = Instant::now();
    during.say_many(IN_FLIGHT).unwrap();
    let (mut half, mut new_client, mut reset) =
        (scene.speaker("half"), scene.speaker("new"), scene.speaker("reset"));
    half.say_many(IN_FLIGHT).unwrap();
    half.end_sending();
    new_client.say_many(IN_FLIGHT).unwrap();
    reset.say_many(IN_FLIGHT).unwrap();
    reset.reset();
    let reading = std::thread::spawn(move || {
        // Reads what is there, and then waits for more.
        slow.await_replies().unwrap();
        slow
    });
    std::thread::sleep(STOPPED.saturating_sub(since.elapsed()));
    scene.server.signal("CONT");
    for speaker in [&mut during, &mut new_client] {
        speaker.await_replies().unwrap();
        speaker.say_and_await_replies(IN_FLIGHT).unwrap();
    }
    // It has been silent for longer than the time-out, but its replies were outstanding: it is answered, and
    // may be closed after that.
    before.await_replies().unwrap();
    before.end_sending();
    before.finish().unwrap();
    assert_eq!(half.finish().unwrap(), [] as [String; 0]);
    let slow = reading.join().unwrap();
    for speaker in [during, new_client, slow] {
        speaker.end_sending();
        speaker.finish().unwrap();
    }
    quit(joined);
    scene.end();
}

/// Sends /quit; messages to the subscriber are ignored.
fn quit(mut speaker: Speaker) {
    speaker.command("/quit").unwrap();
    let others = speaker.finish().unwrap();
    assert_eq!(others.last().map(String::as_str), Some("BYE quit"));
}

// ---- A wrong clock ------------------------------------------------------------------------------------------

#[test]
fn setting_the_wall_clock_changes_only_the_times_in_the_journal() {
    let clock = FakeTime::wall_clock();
    let scene = Scene::start_with("clock", |command| {
        clock.put_before(command);
        command.args([
            "--idle-timeout",
            "60",
            "--write-timeout",
            "60",
            "--sync",
            "7",
            "--sync-interval",
            "0.2",
        ]);
    });
    let bystander = scene.bystander();
    let mut idle = scene.speaker("idle");
    let mut speaker = scene.speaker("speaker");
    for offset in ["-20y", "+10y", "-60y", "+3650d", "+0"] {
        clock.set(offset);
        for _ in 0..10 {
            speaker.say_and_await_replies(IN_FLIGHT).unwrap();
        }
        let syncs = scene.stat("journal-syncs");
        speaker.say(0).unwrap();
        speaker.await_replies().unwrap();
        eventually("messages that are not urgent are synced in time", || scene.stat("journal-syncs") > syncs);
    }
    bystander.assert_prompt();
    // Years passed on the wall clock, but no time-out.
    idle.say_and_await_replies(1).unwrap();
    let years = years_in(scene.journal());
    assert!(
        years.len() >= 4 && years[0] == 1970,
        "the clock was not set, to {years:?}: is the server linked statically?"
    );
    for speaker in [idle, speaker] {
        speaker.end_sending();
        speaker.finish().unwrap();
    }
    scene.end();
}

#[test]
fn jump_of_the_wall_clock_is_logged_with_the_new_date() {
    enter_new_network();
    let clock = FakeTime::wall_clock();
    clock.set("-30y");
    let directory = Directory::new("date");
    std::fs::create_dir(&directory.0).unwrap();
    let log = directory.0.join("log");
    let scene = Scene::start_without_log("date", |mut command| {
        clock.put_before(&mut command);
        command.stderr(Stdio::null()).arg("--log-file").arg(&log);
        command
    });
    let say = |nick: &str| {
        let mut speaker = scene.speaker(nick);
        speaker.say_and_await_replies(1).unwrap();
        speaker.end_sending();
        speaker.finish().unwrap();
    };
    let text = || std::fs::read_to_string(&log).unwrap();
    say("early");
    let ends = || text().matches(" disconnected").count();
    eventually("the end of early is logged", || ends() == 1);
    clock.set("+0");
    say("late");
    eventually("the end of late is logged", || ends() == 2);
    let text = text();
    let lines: Vec<&str> = text.lines().collect();
    let is_jump = |line: &&str| line.contains(" INFO  the date jumps forward by ");
    let jump = lines.iter().position(is_jump).unwrap_or_else(|| panic!("{text}"));
    let year = |line: &str| line[..4].parse::<u32>().unwrap();
    let (before, after) = lines.split_at(jump);
    let now = year(after[0]);
    assert!(
        before.iter().all(|line| year(line) < now - 20) && after.iter().all(|line| year(line) == now),
        "{text}"
    );
    assert!(before.iter().any(|line| line.contains(" disconnected")), "{text}");
    assert_eq!(lines.iter().filter(|line| is_jump(line)).count(), 1, "{text}");
    scene.end();
}

/// The years of the messages in a journal.
fn years_in(journal: &Path) -> Vec<u32> {
    let mut reading = command();
    let output = reading.arg("journal").arg(journal).stderr(Stdio::inherit()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let mut years: Vec<u32> = said.lines().map(|line| line[..4].parse().unwrap()).collect();
    years.sort_unstable();
    years.dedup();
    years
}
