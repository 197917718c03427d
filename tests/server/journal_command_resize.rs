//! `firstline journal DIR --resize SIZE`, and readers of the journal meanwhile.

use crate::journal::VERSION_1;
use crate::journal_command::{Ran, end, flip, follow, line, lines, open, run, start, write};
use crate::support::directory::Directory;
use crate::support::traced::under_strace;
use crate::support::{LIMIT, Server, command, id_of, signal};
use firstline::journal::files::Files;
use firstline::journal::names::NAMES;
use firstline::journal::segment::HEADER_OFFSETS;
use firstline::journal::writer::{Buffers, Writer};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// Damages a journal.
type Damage<'a> = &'a dyn Fn(&Directory);

/// All files below that directory, with their contents.
fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut contents = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => contents.extend(self::contents(&path)),
            false => drop(contents.insert(path.display().to_string(), std::fs::read(&path).unwrap())),
        }
    }
    contents
}

fn resize(directory: &Directory, size: &str) -> Ran {
    run(&[directory.path(), "--resize", size])
}

/// A resize under strace, with a rule for some system calls.
fn traced(directory: &Directory, size: &str, calls: &str, rule: &str) -> (Option<i32>, String) {
    let (trace, inject) = (format!("trace={calls}"), format!("inject={calls}:{rule}"));
    let mut resize = command();
    resize.args(["journal", directory.path(), "--resize", size]);
    let output = under_strace(&["-o", "/dev/null", "-e", &trace, "-e", &inject], &resize).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// A journal of version 1.
fn version_1(name: &str) -> Directory {
    let directory = Directory::new(name);
    std::fs::create_dir(&directory.0).unwrap();
    for (segment, name) in NAMES.iter().enumerate() {
        let mut bytes = VERSION_1.get(segment).map_or(Vec::new(), |prefix| prefix.to_vec());
        bytes.resize(128 * 1024, 0);
        std::fs::write(directory.0.join(name), bytes).unwrap();
    }
    directory
}

/// A journal whose last message is damaged.
fn torn(name: &str) -> Directory {
    let directory = Directory::with(name, 1..2_001);
    let (file, offset) = directory.find(2_000);
    flip(&file, offset);
    directory
}

#[test]
#[cfg_attr(not(feature = "strace"), ignore = "takes strace")]
fn refused_resize_changes_nothing() {
    for directory in [torn("torn"), version_1("old"), Directory::with("sound", 1..2_001)] {
        let before = contents(&directory.0);
        let (code, said) = traced(&directory, "2M", "mkdir,mkdirat", "error=ENOSPC");
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("No space left on device") && said.lines().count() == 1, "{said}");
        assert!(contents(&directory.0) == before, "{}", directory.path());
        // The second time the disk is full later, when the new journal is partly written.
        let (code, said) = traced(&directory, "2M", "pwrite64", "error=ENOSPC:when=300+");
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("No space left on device"), "{said}");
        assert!(contents(&directory.0) == before, "{}", directory.path());
        assert_eq!(std::fs::read_dir(&directory.0).unwrap().count(), NAMES.len());
    }
}

#[test]
fn resize_keeps_what_a_start_would_recover() {
    let directory = version_1("carried");
    assert_eq!((resize(&directory, "2M").code, run(&[directory.path(), "--check"]).code), (Some(0), Some(0)));
    assert_eq!(run(&[directory.path()]).stdout.len(), 170);
    let directory = torn("end");
    let ran = resize(&directory, "2M");
    assert_eq!(ran.code, Some(1));
    let expected = " bytes: torn at the end, as a power cut does, and left out\n";
    assert!(ran.stderr.ends_with(expected) && ran.stderr.lines().count() == 1, "{}", ran.stderr);
    assert_eq!(run(&[directory.path()]).stdout, lines(1..2_000), "all but the torn message");
    let mut buffers = Buffers::new();
    let (writer, _) =
        Writer::open(Files::open(&directory.0, 256 * 1024).unwrap(), 256 * 1024, &mut buffers).unwrap();
    assert!(writer.next_id() > 2_000, "the ID of the torn message is not given again");
}

#[test]
fn everything_that_a_resize_leaves_out_is_reported() {
    let other = Directory::with("other", 1..3_001);
    let tests: [(&str, Damage<'_>, &str); 5] = [
        (
            "foreign",
            &|directory| assert!(std::fs::copy(other.file(1), directory.file(1)).unwrap() > 0),
            "/1.journal: damaged, another journal's, or a copy, and left out\n",
        ),
        (
            "headless",
            &|directory| HEADER_OFFSETS.iter().for_each(|at| flip(&directory.file(0), *at as u64 + 20)),
            "/0.journal: damaged, another journal's, or a copy, and left out\n",
        ),
        (
            "missing",
            &|directory| std::fs::remove_file(directory.file(2)).unwrap(),
            "/2.journal: missing, emptied or replaced; what it held is lost\n",
        ),
        (
            "replaced",
            &|directory| std::fs::File::create(directory.file(1)).unwrap().set_len(256 * 1024).unwrap(),
            "/1.journal: missing, emptied or replaced; what it held is lost\n",
        ),
        (
            "flipped",
            &|directory| flip(&directory.find(20).0, directory.find(20).1),
            " bytes: damaged, and left out\n",
        ),
    ];
    for (name, damage, expected) in tests {
        let directory = Directory::with(name, 1..2_001);
        damage(&directory);
        let before = run(&[directory.path()]).stdout;
        let ran = resize(&directory, "2M");
        assert_eq!(ran.code, Some(1), "{name}");
        assert!(
            ran.stderr.starts_with(&format!("firstline: {}", directory.path())),
            "{name}: {}",
            ran.stderr
        );
        assert!(ran.stderr.contains(expected), "{name}: {}", ran.stderr);
        assert_eq!(run(&[directory.path()]).stdout, before, "{name}");
        assert_eq!(run(&[directory.path(), "--check"]).code, Some(0), "{name}");
        let again = resize(&directory, "1M");
        assert_eq!((again.code, again.stderr.as_str()), (Some(0), ""), "{name}");
    }
}

#[test]
fn truncated_file_is_reported_by_a_resize() {
    let directory = Directory::with("short", 1..101);
    let cut = |segment, length| {
        OpenOptions::new().write(true).open(directory.file(segment)).unwrap().set_len(length).unwrap();
    };
    // Nothing was ever written to that part of the file; but written bytes may have been cut off, as far as the
    // command can tell.
    cut(7, 5_000);
    let ran = resize(&directory, "1M");
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stderr.ends_with("7.journal: missing, emptied or replaced; what it held is lost\n"),
        "{}",
        ran.stderr
    );
    cut(0, 100_000);
    let ran = resize(&directory, "2M");
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.ends_with(": 31072 bytes: missing at the ends of files\n"), "{}", ran.stderr);
    assert_eq!(run(&[directory.path()]).stdout, lines(1..101));
}

#[test]
fn files_of_two_lengths_are_refused_by_name() {
    let other = Directory::new("larger");
    let mut buffers = Buffers::new();
    let files = Files::open(&other.0, 256 * 1024).unwrap();
    let (mut writer, _) = Writer::open(files, 256 * 1024, &mut buffers).unwrap();
    write(&mut writer, 1..20_001);
    for (segment, name) in NAMES.iter().enumerate().take(3) {
        let directory = Directory::with(name, 1..2_001);
        std::fs::copy(other.file(7), directory.file(segment)).unwrap();
        let before = contents(&directory.0);
        let ran = resize(&directory, "2M");
        assert_eq!(ran.code, Some(1));
        let expected = format!("{name} in it does not belong to this journal; move it away\n");
        assert!(ran.stderr.ends_with(&expected), "{}", ran.stderr);
        assert!(contents(&directory.0) == before);
    }
}

#[test]
fn follow_continues_after_a_resize() {
    let directory = Directory::with("followed", 1..101);
    let mut child = start(&[directory.path(), "--follow", "--since", "90"]);
    let printed = follow(child.stdout.take().unwrap());
    let next = || printed.recv_timeout(LIMIT).expect("a line");
    (91..101).for_each(|id| assert_eq!(next(), line(id)));
    let mut first = 101;
    for (size, bytes) in [("2M", 256 * 1024), ("1M", 128 * 1024), ("1M", 128 * 1024)] {
        assert_eq!(resize(&directory, size).code, Some(0));
        let mut buffers = Buffers::new();
        let files = Files::open(&directory.0, bytes).unwrap();
        let (mut writer, _) = Writer::open(files, bytes, &mut buffers).unwrap();
        write(&mut writer, first..first + 10);
        writer.close().unwrap();
        (first..first + 10).for_each(|id| assert_eq!(next(), line(id), "{size}"));
        first += 10;
    }
    signal(child.id(), "TERM");
    end(&mut child);
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
}

#[test]
fn follow_reports_a_missing_or_replaced_journal() {
    let directory = Directory::with("gone", 1..11);
    let aside = Directory::new("moved-away");
    let mut child = start(&[directory.path(), "--follow"]);
    let printed = follow(child.stdout.take().unwrap());
    (1..11).for_each(|id| assert_eq!(printed.recv_timeout(LIMIT).unwrap(), line(id)));
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut next_line = || {
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        line
    };
    let start = format!("firstline: {}: ", directory.path());
    std::fs::rename(&directory.0, &aside.0).unwrap();
    assert_eq!(next_line(), format!("{start}its files are gone; --follow waits until they are back\n"));
    std::fs::rename(&aside.0, &directory.0).unwrap();
    let mut buffers = Buffers::new();
    let mut writer = open(&directory.0, &mut buffers);
    write(&mut writer, 11..12);
    assert_eq!(printed.recv_timeout(LIMIT).unwrap(), line(11));
    drop(writer);
    std::fs::rename(&directory.0, &aside.0).unwrap();
    let _other = Directory::with("other-in-place", 1..3);
    std::fs::rename(&_other.0, &directory.0).unwrap();
    let lines: Vec<String> = std::iter::repeat_with(next_line).take_while(|line| !line.is_empty()).collect();
    assert_eq!(
        lines.last().unwrap(),
        &format!("{start}another journal has taken its place; run the command again to read that one\n")
    );
    assert_eq!(end(&mut child), Some(1));
}

#[test]
fn foreign_files_with_the_names_of_a_resize_are_refused_and_kept() {
    for name in ["resize.unfinished", "resize.whole"] {
        let directory = Directory::with(name, 1..11);
        let path = directory.0.join(name);
        let makes: [&dyn Fn(); 4] = [
            &|| std::fs::write(&path, b"mine").unwrap(),
            &|| std::os::unix::fs::symlink("/tmp", &path).unwrap(),
            &|| {
                std::fs::create_dir(&path).unwrap();
                std::fs::write(path.join("letter"), b"mine").unwrap();
                std::fs::write(path.join("0.journal"), b"mine").unwrap();
            },
            &|| std::fs::create_dir_all(path.join("0.journal")).unwrap(),
        ];
        for make in makes {
            make();
            let expected =
                format!("{}: {name} in it does not belong to this journal; move it away\n", directory.path());
            let ran = resize(&directory, "2M");
            assert_eq!((ran.code, ran.stderr), (Some(1), format!("firstline: {expected}")));
            let mut server = command();
            server.args(["--listen", "127.0.0.1:0", "--journal-size", "1M", "--journal", directory.path()]);
            let output = server.output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(said.ends_with(&expected), "{said}");
            assert_eq!(output.status.code(), Some(1));
            assert!(path.symlink_metadata().is_ok());
            assert_eq!(run(&[directory.path()]).stdout, lines(1..11));
            if path.is_dir() && !path.is_symlink() {
                std::fs::remove_dir_all(&path).unwrap();
            } else {
                std::fs::remove_file(&path).unwrap();
            }
        }
    }
}

#[test]
#[cfg_attr(not(feature = "strace"), ignore = "takes strace")]
fn interrupted_resize_leaves_one_whole_journal_and_the_next_start_finishes_it() {
    // The journal holds more than the new one can, so the two are distinguishable.
    for cut in 1..10 {
        let directory = Directory::with("cut-off", 1..4_001);
        let old = run(&[directory.path()]).stdout;
        assert_eq!(resize(&directory, "2M").code, Some(0));
        let mut buffers = Buffers::new();
        let files = Files::open(&directory.0, 256 * 1024).unwrap();
        let (mut writer, _) = Writer::open(files, 256 * 1024, &mut buffers).unwrap();
        write(&mut writer, 4_001..7_001);
        writer.close().unwrap();
        drop(writer);
        let before = run(&[directory.path()]).stdout;
        assert!(before.len() > old.len());
        traced(&directory, "1M", "rename,renameat,renameat2", &format!("signal=KILL:when={cut}"));
        for options in [&[][..], &["--check"]] {
            let ran = run(&[&[directory.path()][..], options].concat());
            assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{cut}: {:?}", ran.stdout.last());
        }
        let printed = run(&[directory.path()]).stdout;
        let is_new = directory.0.join("resize.whole").exists() || cut == 10;
        assert_eq!(printed.len() < before.len(), is_new, "{cut}");
        assert_eq!(printed, before[before.len() - printed.len()..], "{cut}");
        let size = if is_new { "1M" } else { "2M" };
        let mut server = command();
        server.args(["--listen", "127.0.0.1:0", "--journal-size", size, "--journal", directory.path()]);
        let server = Server::start_command(server);
        assert_eq!(id_of(&server.connect().ask("goes on")), 7_001, "{cut}");
        assert_eq!(std::fs::read_dir(&directory.0).unwrap().count(), NAMES.len());
    }
}

#[test]
fn readers_during_resizes_see_one_whole_journal() {
    let directory = Directory::with("during", 1..501);
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let path = directory.path().to_string();
    let reads = std::thread::spawn(move || {
        let reads: Vec<_> = (0..60).map(|_| run(&[&path])).collect();
        drop(stop);
        reads
    });
    let mut resizes = 0;
    while let Err(std::sync::mpsc::TryRecvError::Empty) = stopped.try_recv() {
        assert_eq!(resize(&directory, ["2M", "1M"][resizes % 2]).code, Some(0));
        resizes += 1;
    }
    for ran in reads.join().unwrap() {
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        assert_eq!(ran.stdout, lines(1..501));
    }
    assert!(resizes > 2, "{resizes}");
}

#[test]
fn resize_without_the_newest_file_reuses_no_id() {
    for length in [None, Some(0), Some(50), Some(50_000)] {
        let directory = Directory::with("lost", 1..2_001);
        let (newest, _) = directory.find(2_000);
        match length {
            None => std::fs::remove_file(&newest).unwrap(),
            Some(length) => OpenOptions::new().write(true).open(&newest).unwrap().set_len(length).unwrap(),
        }
        let ran = resize(&directory, "2M");
        assert_eq!(ran.code, Some(1), "{length:?}: {ran:?}");
        assert_ne!(ran.stderr, "", "{length:?}");
        let next: u64 = ran.stdout[0].rsplit(' ').next().unwrap().parse().unwrap();
        assert!(next > 2_000, "{length:?}: {next}");
    }
}
