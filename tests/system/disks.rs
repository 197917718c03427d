//! The journal on disks that fill up, turn read-only, and come back.
//!
//! Mounting takes root: `tests/run disks`, which gives the tests a mount namespace of their own.

#[path = "../support/mod.rs"]
mod support;

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use support::directory::take_away;
use support::mounted::{Mounted, run};
use support::traced::under_strace;
use support::{Server, command, eventually, id_of};

/// The size of the journals here: the smallest that is permitted.
const JOURNAL: &str = "1M";

impl Mounted {
    fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }

    fn start(&self) -> Server {
        Server::start_command(self.command())
    }

    fn command(&self) -> Command {
        let mut command = command();
        command.args(["--listen", "127.0.0.1:0", "--journal-size", JOURNAL, "--journal"]).arg(self.journal());
        command
    }
}

#[test]
fn disk_that_fills_up_does_not_stop_a_preallocated_journal() {
    let disk = Mounted::tmpfs("room", 3_000);
    let server = disk.start();
    disk.fill();
    let mut client = server.connect();
    // Several times the journal's size.
    for _ in 0..200 {
        client.send(format!("{}\n", "x".repeat(500)).repeat(32));
        (0..32).for_each(|_| assert!(id_of(&client.line()) > 0));
    }
}

#[test]
fn start_is_refused_until_the_disk_has_room() {
    let disk = Mounted::tmpfs("full", 3_000);
    disk.fill();
    let output = disk.command().output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let expected = format!(
        "firstline: --journal {}: it needs 1048576 bytes more, and the disk has 0 to give; --journal-size takes less\n",
        disk.journal().display()
    );
    assert!(said.ends_with(&expected), "{said}");
    assert_eq!(output.status.code(), Some(1));
    assert!(!disk.journal().exists());
    disk.free();
    assert_eq!(id_of(&disk.start().connect().ask("hello")), 1);
}

#[test]
fn deleted_journal_is_recreated_when_the_disk_has_room() {
    let disk = Mounted::tmpfs("vanished", 3_000);
    let server = disk.start();
    let mut client = server.connect();
    id_of(&client.ask("before"));
    take_away(&disk.journal());
    // The space of the deleted files is free only when the server closes them.
    std::fs::write(disk.0.join("more"), [0; 1_000_000]).unwrap();
    disk.fill();
    assert!(client.ask("into the void").ends_with("journal-failed"));
    server.wait_for_log("messages get NAK journal-failed until it works");
    assert_eq!(client.stats()["journal-works"], 0);
    assert!(client.ask("still").ends_with("journal-failed"));
    disk.free();
    std::fs::remove_file(disk.0.join("more")).unwrap();
    eventually("an ACK again", || client.ask("after").starts_with("ACK "));
    assert_eq!(client.stats()["journal-works"], 1);
}

/// A mount point for disks in image files, with the file system of typical boards.
struct Ext4 {
    mounted: Mounted,
    images: Vec<PathBuf>,
}

impl Ext4 {
    fn new() -> Self {
        let mut disk = Self { mounted: Mounted::new("ext4"), images: Vec::new() };
        disk.mount_new();
        disk
    }

    /// Mounts a new disk there.
    fn mount_new(&mut self) {
        let image = self.mounted.0.with_extension(format!("image-{}", self.images.len()));
        std::fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
        run("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()]);
        run("mount", &["-o", "loop,errors=remount-ro", image.to_str().unwrap(), self.mounted.path()]);
        self.images.push(image);
    }

    /// The kernel's name of the disk.
    fn device(&self) -> String {
        let found = run("findmnt", &["-n", "-o", "SOURCE", self.mounted.path()]);
        let device = String::from_utf8(found.stdout).unwrap();
        device.trim().trim_start_matches("/dev/").to_string()
    }

    /// Makes the kernel detect an error in the file system, which turns read-only.
    fn break_down(&self) {
        let trigger = Path::new("/sys/fs/ext4").join(self.device()).join("trigger_fs_error");
        std::fs::write(trigger, "as the test wants it").unwrap();
    }
}

impl Drop for Ext4 {
    fn drop(&mut self) {
        for image in &self.images {
            let _ = std::fs::remove_file(image);
        }
    }
}

#[test]
fn read_only_disk_means_naks_until_it_is_replaced() {
    let mut disk = Ext4::new();
    let server = disk.mounted.start();
    let mut client = server.connect();
    assert_eq!(id_of(&client.ask("before")), 1);
    disk.break_down();
    assert!(client.ask("read-only").ends_with("journal-failed"));
    server.wait_for_log("messages get NAK journal-failed until it works");
    // Other clients are served nevertheless, and commands are answered.
    assert_eq!(server.connect().ask("/ping"), "OK 1");
    run("umount", &["-l", disk.mounted.path()]);
    disk.mount_new();
    eventually("an ACK again", || client.ask("after").starts_with("ACK "));
    server.wait_for_log("the disk works again");
    assert_eq!(server.end(), Some(0));
}

#[test]
fn journal_rotates_when_clients_hold_all_descriptors() {
    let disk = Mounted::tmpfs("descriptors", 3_000);
    let mut limited = Command::new("prlimit");
    let command = disk.command();
    limited.arg("--nofile=40").arg(command.get_program()).args(command.get_args()).args(["--workers", "1"]);
    let server = Server::start_command(limited);
    let mut first = server.connect();
    let _others: Vec<_> = (0..50).map(|_| std::net::TcpStream::connect(server.address).unwrap()).collect();
    server.wait_for_log("cannot accept a connection");
    let text = "x".repeat(500);
    for _ in 0..100 {
        first.send(format!("{text}\n").repeat(32));
        (0..32).for_each(|_| assert!(id_of(&first.line()) > 0));
    }
}

/// The standard error of `firstline journal DIR --resize SIZE`, and its exit code.
fn resize(disk: &Mounted, size: &str) -> (String, Option<i32>) {
    let output = command().arg("journal").arg(disk.journal()).args(["--resize", size]).output().unwrap();
    (String::from_utf8(output.stderr).unwrap(), output.status.code())
}

/// The files of a journal, with their contents.
fn contents(disk: &Mounted) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(disk.journal()).unwrap().map(|entry| entry.unwrap().path());
    let mut contents: Vec<_> = entries.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
    contents.sort();
    contents
}

#[test]
fn resize_without_room_changes_nothing() {
    let disk = Mounted::tmpfs("resize", 4_000);
    let server = disk.start();
    id_of(&server.connect().ask("before the end"));
    assert_eq!(server.end(), Some(0));
    // A torn end, which a start of the server would repair.
    let newest = disk.journal().join("0.journal");
    let mut bytes = std::fs::read(&newest).unwrap();
    let at = bytes.windows(14).position(|window| window == b"before the end").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&newest, bytes).unwrap();
    let before = contents(&disk);
    let expected = |needed: u64| {
        let journal = disk.journal();
        format!(
            "firstline: {}: the new one needs {needed} bytes beside the old one, and the disk has ",
            journal.display()
        )
    };
    let (said, code) = resize(&disk, "8M");
    assert!(said.starts_with(&expected(8 << 20)), "{said}");
    assert!(said.ends_with(" to give; make room, or give a smaller --resize\n"), "{said}");
    assert_eq!(code, Some(1));
    assert!(contents(&disk) == before);
    disk.fill();
    assert!(resize(&disk, "1M").0.starts_with(&expected(1 << 20)));
    assert!(contents(&disk) == before);
    disk.free();
    let (said, code) = resize(&disk, "2M");
    assert!(said.ends_with(" bytes: torn at the end, as a power cut does, and left out\n"), "{said}");
    assert_eq!((code, contents(&disk).len()), (Some(1), before.len()));
}

#[test]
#[cfg_attr(not(feature = "strace"), ignore = "takes strace")]
fn resize_by_root_keeps_owner_group_and_mode() {
    let disk = Mounted::tmpfs("owner", 6_000);
    assert_eq!(disk.start().end(), Some(0));
    let files = || std::fs::read_dir(disk.journal()).unwrap().map(|entry| entry.unwrap().path());
    for path in files() {
        chown(&path, Some(12_345), Some(54_321)).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    }
    chown(disk.journal(), Some(12_345), Some(54_321)).unwrap();
    std::fs::set_permissions(disk.journal(), Permissions::from_mode(0o750)).unwrap();
    // As a power cut leaves it, before and after the new journal is whole; the owner must be able to continue.
    let journal = disk.journal();
    for when in [1, 4] {
        let rule = format!("inject=rename,renameat,renameat2:signal=KILL:when={when}");
        let how = ["-o", "/dev/null", "-e", "trace=rename,renameat,renameat2", "-e", &rule];
        let mut cut = under_strace(&how, &command());
        cut.arg("journal").arg(&journal).args(["--resize", "2M"]);
        assert!(!cut.status().unwrap().success());
        let left = journal.join(if when == 1 { "resize.unfinished" } else { "resize.whole" });
        for path in std::fs::read_dir(&left).unwrap().map(|entry| entry.unwrap().path()).chain([left.clone()])
        {
            let status = std::fs::metadata(&path).unwrap();
            assert_eq!((status.uid(), status.gid()), (12_345, 54_321), "{}", path.display());
            assert_eq!(status.mode() & 0o777, if path == left { 0o750 } else { 0o640 }, "{}", path.display());
        }
    }
    assert_eq!(resize(&disk, "1M").1, Some(0));
    assert_eq!(files().count(), 8);
    for path in files() {
        let status = std::fs::metadata(&path).unwrap();
        assert_eq!((status.uid(), status.gid(), status.mode() & 0o777), (12_345, 54_321, 0o640));
        assert_eq!(status.len(), 128 * 1024);
    }
}

// ---- The commands --------------------------------------------------------------------------------------

/// Runs a command of firstline that ends by itself, and returns its exit code and what it says on both outputs.
fn ran(args: &[&str]) -> (Option<i32>, String, String) {
    let output = command().args(args).stdin(std::process::Stdio::null()).output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    (output.status.code(), stdout, stderr)
}

#[test]
fn what_a_full_disk_cannot_keep_is_told_as_not_sent_and_nothing_that_is_kept_is_lost() {
    let disk = Mounted::tmpfs("spool", 1_000);
    let spool = disk.0.join("spool");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let keep =
        |text: &str| ran(&["send", "--timeout=0.1", "--spool", spool.to_str().unwrap(), &nobody, text]);
    let (code, _, said) = keep("kept");
    assert!(code == Some(0) && said.contains("not sent, and kept in "), "{said}");
    disk.fill();
    let (code, _, said) = keep("not kept");
    assert!(code == Some(4) && said.contains("No space left on device"), "{said}");
    disk.free();
    let (code, _, said) = keep("kept again");
    assert_eq!(code, Some(0), "{said}");
    let server = Server::start(&[]);
    let host = server.address.to_string();
    let flushed = ran(&["send", "--flush", "--spool", spool.to_str().unwrap(), &host]);
    assert_eq!(flushed, (Some(0), "1\n2\n".to_string(), String::new()));
}

#[test]
fn state_on_a_full_disk_stays_as_it_was_and_is_written_when_there_is_room() {
    let disk = Mounted::tmpfs("state", 3_000);
    let state = disk.0.join("state");
    let server = disk.start();
    let host = server.address.to_string();
    let watch = |count: &str| {
        ran(&["watch", "--since=all", "--state", state.to_str().unwrap(), "--count", count, &host])
    };
    let mut client = server.connect();
    id_of(&client.ask("one"));
    assert_eq!(watch("1").0, Some(0));
    let before = std::fs::read_to_string(&state).unwrap();
    id_of(&client.ask("two"));
    disk.fill();
    // It is tried before anything is printed.
    let (code, printed, said) = watch("1");
    assert_eq!((code, &printed[..]), (Some(2), ""));
    assert!(said.contains("--state ") && said.contains("No space left on device"), "{said}");
    assert_eq!(std::fs::read_to_string(&state).unwrap(), before);
    disk.free();
    let (code, printed, said) = watch("1");
    assert!(code == Some(0) && printed.starts_with("MSG 2 ") && said.is_empty(), "{printed}{said}");
}
