//! `firstline journal DIR --resize SIZE`, and who reads the journal meanwhile.

use crate::common::directory::Directory;
use crate::common::traced::under_strace;
use crate::common::{LIMIT, Server, command, id_of, signal};
use crate::journal::VERSION_1;
use crate::journal_command::{Ran, end, flip, follow, line, lines, open, run, start, write};
use firstline::journal::files::Files;
use firstline::journal::names::NAMES;
use firstline::journal::segment::HEADER_OFFSETS;
use firstline::journal::writer::{Buffers, Writer};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// What does harm to a journal.
type Harm<'a> = &'a dyn Fn(&Directory);

/// All files below that directory, with what is in them.
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

fn resize(place: &Directory, size: &str) -> Ran {
    run(&[place.path(), "--resize", size])
}

/// The same with what strace does to its system calls.
fn traced(place: &Directory, size: &str, calls: &str, rule: &str) -> (Option<i32>, String) {
    let (trace, inject) = (format!("trace={calls}"), format!("inject={calls}:{rule}"));
    let mut resize = command();
    resize.args(["journal", place.path(), "--resize", size]);
    let output = under_strace(&["-o", "/dev/null", "-e", &trace, "-e", &inject], &resize).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// A journal of version 1.
fn version_1(name: &str) -> Directory {
    let place = Directory::new(name);
    std::fs::create_dir(&place.0).unwrap();
    for (segment, name) in NAMES.iter().enumerate() {
        let mut bytes = VERSION_1.get(segment).map_or(Vec::new(), |prefix| prefix.to_vec());
        bytes.resize(128 * 1024, 0);
        std::fs::write(place.0.join(name), bytes).unwrap();
    }
    place
}

/// A journal whose last message is torn.
fn torn(name: &str) -> Directory {
    let place = Directory::with(name, 1..2_001);
    let (file, offset) = place.find(2_000);
    flip(&file, offset);
    place
}

#[test]
#[cfg_attr(not(feature = "strace"), ignore = "takes strace")]
fn a_resize_that_is_refused_changes_nothing() {
    for place in [torn("torn"), version_1("old"), Directory::with("sound", 1..2_001)] {
        let before = contents(&place.0);
        let (code, said) = traced(&place, "2M", "mkdir,mkdirat", "error=ENOSPC");
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("No space left on device") && said.lines().count() == 1, "{said}");
        assert!(contents(&place.0) == before, "{}", place.path());
        // Later, when some of the new one is written.
        let (code, said) = traced(&place, "2M", "pwrite64", "error=ENOSPC:when=300+");
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("No space left on device"), "{said}");
        assert!(contents(&place.0) == before, "{}", place.path());
        assert_eq!(std::fs::read_dir(&place.0).unwrap().count(), NAMES.len());
    }
}

#[test]
fn what_is_carried_over_is_what_a_start_would_find() {
    let place = version_1("carried");
    assert_eq!((resize(&place, "2M").code, run(&[place.path(), "--check"]).code), (Some(0), Some(0)));
    assert_eq!(run(&[place.path()]).stdout.len(), 170);
    let place = torn("end");
    let ran = resize(&place, "2M");
    assert_eq!(ran.code, Some(1));
    let told = " bytes: torn at the end, as a power cut does, and left out\n";
    assert!(ran.stderr.ends_with(told) && ran.stderr.lines().count() == 1, "{}", ran.stderr);
    assert_eq!(run(&[place.path()]).stdout, lines(1..2_000), "all but the torn one");
    let mut buffers = Buffers::new();
    let (writer, _) =
        Writer::open(Files::open(&place.0, 256 * 1024).unwrap(), 256 * 1024, &mut buffers).unwrap();
    assert!(writer.next_id() > 2_000, "the ID of the torn one is not given again");
}

#[test]
fn all_that_is_left_out_is_told() {
    let other = Directory::with("other", 1..3_001);
    let tests: [(&str, Harm<'_>, &str); 5] = [
        (
            "foreign",
            &|place| assert!(std::fs::copy(other.file(1), place.file(1)).unwrap() > 0),
            "/1.journal: damaged, another journal's, or a copy, and left out\n",
        ),
        (
            "headless",
            &|place| HEADER_OFFSETS.iter().for_each(|at| flip(&place.file(0), *at as u64 + 20)),
            "/0.journal: damaged, another journal's, or a copy, and left out\n",
        ),
        (
            "missing",
            &|place| std::fs::remove_file(place.file(2)).unwrap(),
            "/2.journal: missing, emptied or replaced; what it held is lost\n",
        ),
        (
            "replaced",
            &|place| std::fs::File::create(place.file(1)).unwrap().set_len(256 * 1024).unwrap(),
            "/1.journal: missing, emptied or replaced; what it held is lost\n",
        ),
        ("flipped", &|place| flip(&place.find(20).0, place.find(20).1), " bytes: damaged, and left out\n"),
    ];
    for (name, harm, told) in tests {
        let place = Directory::with(name, 1..2_001);
        harm(&place);
        let before = run(&[place.path()]).stdout;
        let ran = resize(&place, "2M");
        assert_eq!(ran.code, Some(1), "{name}");
        assert!(ran.stderr.starts_with(&format!("firstline: {}", place.path())), "{name}: {}", ran.stderr);
        assert!(ran.stderr.contains(told), "{name}: {}", ran.stderr);
        assert_eq!(run(&[place.path()]).stdout, before, "{name}");
        assert_eq!(run(&[place.path(), "--check"]).code, Some(0), "{name}");
        let again = resize(&place, "1M");
        assert_eq!((again.code, again.stderr.as_str()), (Some(0), ""), "{name}");
    }
}

#[test]
fn a_file_that_was_cut_off_is_told_as_such() {
    let place = Directory::with("short", 1..101);
    let cut = |segment, length| {
        OpenOptions::new().write(true).open(place.file(segment)).unwrap().set_len(length).unwrap();
    };
    // Nothing was ever written there; but what was may have been cut off.
    cut(7, 5_000);
    let ran = resize(&place, "1M");
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stderr.ends_with("7.journal: missing, emptied or replaced; what it held is lost\n"),
        "{}",
        ran.stderr
    );
    cut(0, 100_000);
    let ran = resize(&place, "2M");
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.ends_with(": 31072 bytes: missing at the ends of files\n"), "{}", ran.stderr);
    assert_eq!(run(&[place.path()]).stdout, lines(1..101));
}

#[test]
fn files_of_two_lengths_are_refused_and_the_odd_one_is_named() {
    let other = Directory::new("larger");
    let mut buffers = Buffers::new();
    let files = Files::open(&other.0, 256 * 1024).unwrap();
    let (mut writer, _) = Writer::open(files, 256 * 1024, &mut buffers).unwrap();
    write(&mut writer, 1..20_001);
    for (segment, name) in NAMES.iter().enumerate().take(3) {
        let place = Directory::with(name, 1..2_001);
        std::fs::copy(other.file(7), place.file(segment)).unwrap();
        let before = contents(&place.0);
        let ran = resize(&place, "2M");
        assert_eq!(ran.code, Some(1));
        let told = format!("{name} in it does not belong to this journal; move it away\n");
        assert!(ran.stderr.ends_with(&told), "{}", ran.stderr);
        assert!(contents(&place.0) == before);
    }
}

#[test]
fn whoever_follows_goes_on_after_a_resize() {
    let place = Directory::with("followed", 1..101);
    let mut child = start(&[place.path(), "--follow", "--since", "90"]);
    let printed = follow(child.stdout.take().unwrap());
    let next = || printed.recv_timeout(LIMIT).expect("a line");
    (91..101).for_each(|id| assert_eq!(next(), line(id)));
    let mut first = 101;
    for (size, bytes) in [("2M", 256 * 1024), ("1M", 128 * 1024), ("1M", 128 * 1024)] {
        assert_eq!(resize(&place, size).code, Some(0));
        let mut buffers = Buffers::new();
        let files = Files::open(&place.0, bytes).unwrap();
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
fn whoever_follows_is_told_that_another_journal_is_there_or_none() {
    let place = Directory::with("gone", 1..11);
    let aside = Directory::new("moved-away");
    let mut child = start(&[place.path(), "--follow"]);
    let printed = follow(child.stdout.take().unwrap());
    (1..11).for_each(|id| assert_eq!(printed.recv_timeout(LIMIT).unwrap(), line(id)));
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut told = || {
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        line
    };
    let start = format!("firstline: {}: ", place.path());
    std::fs::rename(&place.0, &aside.0).unwrap();
    assert_eq!(told(), format!("{start}its files are gone; --follow waits until they are back\n"));
    std::fs::rename(&aside.0, &place.0).unwrap();
    let mut buffers = Buffers::new();
    let mut writer = open(&place.0, &mut buffers);
    write(&mut writer, 11..12);
    assert_eq!(printed.recv_timeout(LIMIT).unwrap(), line(11));
    drop(writer);
    std::fs::rename(&place.0, &aside.0).unwrap();
    let _other = Directory::with("other-in-place", 1..3);
    std::fs::rename(&_other.0, &place.0).unwrap();
    let told: Vec<String> = std::iter::repeat_with(told).take_while(|line| !line.is_empty()).collect();
    assert_eq!(
        told.last().unwrap(),
        &format!("{start}another journal has taken its place; run the command again to read that one\n")
    );
    assert_eq!(end(&mut child), Some(1));
}

#[test]
fn what_is_called_as_a_resize_calls_its_own_is_named_and_stays() {
    for name in ["resize.unfinished", "resize.whole"] {
        let place = Directory::with(name, 1..11);
        let path = place.0.join(name);
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
            let told =
                format!("{}: {name} in it does not belong to this journal; move it away\n", place.path());
            let ran = resize(&place, "2M");
            assert_eq!((ran.code, ran.stderr), (Some(1), format!("firstline: {told}")));
            let mut server = command();
            server.args(["--listen", "127.0.0.1:0", "--journal-size", "1M", "--journal", place.path()]);
            let output = server.output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(said.ends_with(&told), "{said}");
            assert_eq!(output.status.code(), Some(1));
            assert!(path.symlink_metadata().is_ok());
            assert_eq!(run(&[place.path()]).stdout, lines(1..11));
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
fn a_resize_that_is_cut_off_shows_one_whole_journal_and_the_next_start_goes_on() {
    // Of a journal that has more than the new one holds, so the two are told apart.
    for cut in 1..10 {
        let place = Directory::with("cut-off", 1..4_001);
        let old = run(&[place.path()]).stdout;
        assert_eq!(resize(&place, "2M").code, Some(0));
        let mut buffers = Buffers::new();
        let files = Files::open(&place.0, 256 * 1024).unwrap();
        let (mut writer, _) = Writer::open(files, 256 * 1024, &mut buffers).unwrap();
        write(&mut writer, 4_001..7_001);
        writer.close().unwrap();
        drop(writer);
        let before = run(&[place.path()]).stdout;
        assert!(before.len() > old.len());
        traced(&place, "1M", "rename,renameat,renameat2", &format!("signal=KILL:when={cut}"));
        for options in [&[][..], &["--check"]] {
            let ran = run(&[&[place.path()][..], options].concat());
            assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{cut}: {:?}", ran.stdout.last());
        }
        let printed = run(&[place.path()]).stdout;
        let is_new = place.0.join("resize.whole").exists() || cut == 10;
        assert_eq!(printed.len() < before.len(), is_new, "{cut}");
        assert_eq!(printed, before[before.len() - printed.len()..], "{cut}");
        let size = if is_new { "1M" } else { "2M" };
        let mut server = command();
        server.args(["--listen", "127.0.0.1:0", "--journal-size", size, "--journal", place.path()]);
        let server = Server::start_command(server);
        assert_eq!(id_of(&server.connect().ask("goes on")), 7_001, "{cut}");
        assert_eq!(std::fs::read_dir(&place.0).unwrap().count(), NAMES.len());
    }
}

#[test]
fn whoever_reads_during_resizes_sees_one_whole_journal() {
    let place = Directory::with("during", 1..501);
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let path = place.path().to_string();
    let reads = std::thread::spawn(move || {
        let reads: Vec<_> = (0..60).map(|_| run(&[&path])).collect();
        drop(stop);
        reads
    });
    let mut resizes = 0;
    while let Err(std::sync::mpsc::TryRecvError::Empty) = stopped.try_recv() {
        assert_eq!(resize(&place, ["2M", "1M"][resizes % 2]).code, Some(0));
        resizes += 1;
    }
    for ran in reads.join().unwrap() {
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        assert_eq!(ran.stdout, lines(1..501));
    }
    assert!(resizes > 2, "{resizes}");
}

#[test]
fn no_id_is_given_again_after_a_resize_of_a_journal_whose_newest_file_is_lost() {
    for length in [None, Some(0), Some(50), Some(50_000)] {
        let place = Directory::with("lost", 1..2_001);
        let (newest, _) = place.find(2_000);
        match length {
            None => std::fs::remove_file(&newest).unwrap(),
            Some(length) => OpenOptions::new().write(true).open(&newest).unwrap().set_len(length).unwrap(),
        }
        let ran = resize(&place, "2M");
        assert_eq!(ran.code, Some(1), "{length:?}: {ran:?}");
        assert_ne!(ran.stderr, "", "{length:?}");
        let next: u64 = ran.stdout[0].rsplit(' ').next().unwrap().parse().unwrap();
        assert!(next > 2_000, "{length:?}: {next}");
    }
}
