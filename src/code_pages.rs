//! The pages of the program's code that stay mapped.
//!
//! One binary is the server and all commands, and whenever code is used for the first time, Linux also maps the pages
//! around it (`fault_around_bytes`, 64 KiB). So a server that has just started has nearly all code in its resident
//! memory, most of which it never uses.

#![expect(unsafe_code, reason = "no crate has a safe way to call madvise")]

use core::ffi::c_void;
use core::ops::Range;
use core::ptr::{self, NonNull};
use nix::sys::mman::{MmapAdvise, madvise};
use std::{fs, path::Path};

/// Unmaps the pages of this program's code and constants, of which the start has used the most. Those that are used
/// again are mapped again from the page cache, without a disk. Returns how many bytes that is about: 0 if `/proc` is
/// missing, or the kernel refuses.
pub fn unmap_unused() -> usize {
    let Ok(program) = fs::read_link("/proc/self/exe") else { return 0 };
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    unchanged(&maps, &program).into_iter().filter(|range| unmap(range.clone())).map(|range| range.len()).sum()
}

/// Unmaps the pages of [`unchanged`] addresses. Returns false if the kernel refuses.
fn unmap(range: Range<usize>) -> bool {
    let address = NonNull::new(ptr::with_exposed_provenance_mut::<c_void>(range.start));
    address.is_some_and(|address| {
        // SAFETY: the pages are a private mapping of a file that nobody can write to while it runs, and nobody has
        // changed them, not even the dynamic linker. So they have the bytes of the file, and have them again when they
        // are used next.
        unsafe { madvise(address, range.len(), MmapAdvise::MADV_DONTNEED) }.is_ok()
    })
}

/// The addresses of the program's code, and of what the linker placed before it, from the text of `/proc/self/maps`, as
/// in proc_pid_maps(5). The constants that hold addresses come after the code: the dynamic linker has changed them.
fn unchanged(maps: &str, program: &Path) -> Vec<Range<usize>> {
    let of_program: Vec<_> = maps.lines().filter_map(|line| mapping(line, program)).collect();
    let code = of_program.iter().position(|(rights, _)| *rights == "r-xp");
    let up_to_code = of_program.iter().take(code.map_or(0, |code| code + 1));
    up_to_code.filter(|(rights, _)| !rights.contains('w')).map(|(_, range)| range.clone()).collect()
}

/// The rights and the addresses of a mapping of the program; `None`: it maps something else.
fn mapping<'a>(line: &'a str, program: &Path) -> Option<(&'a str, Range<usize>)> {
    let (range, rest) = line.split_once(' ')?;
    let (rights, rest) = rest.split_once(' ')?;
    let path = rest.splitn(4, ' ').nth(3)?.trim_start();
    let (start, end) = range.split_once('-')?;
    let address = |digits| usize::from_str_radix(digits, 16).ok();
    (Path::new(path) == program).then_some((rights, address(start)?..address(end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
5601000-5602000 r--p 00000000 fe:00 1234567                              /usr/bin/a firstline
5602000-5605000 r-xp 00001000 fe:00 1234567                              /usr/bin/a firstline
5605000-5606000 r--p 00004000 fe:00 1234567                              /usr/bin/a firstline
5606000-5607000 rw-p 00005000 fe:00 1234567                              /usr/bin/a firstline
7601000-7602000 rw-p 00000000 00:00 0
7702000-7705000 r-xp 00001000 fe:00 1234568                              /usr/lib/libc.so.6
7ffd100-7ffd200 r-xp 00000000 00:00 0                                    [vdso]
";

    #[test]
    fn only_what_the_linkers_leave_unchanged_is_found() {
        let program = Path::new("/usr/bin/a firstline");
        let code = 0x5602000..0x5605000;
        assert_eq!(unchanged(MAPS, program), [0x5601000..0x5602000, code.clone()]);
        let writable = MAPS.replacen("r--p", "rw-p", 1);
        assert_eq!(unchanged(&writable, program), [code]);
        for nothing in ["", "5601000-5602000 r--p 00000000 fe:00 1234567 /usr/bin/a firstline\n"] {
            assert_eq!(unchanged(nothing, program), [], "{nothing}");
        }
        assert_eq!(unchanged(MAPS, Path::new("/usr/bin/other")), []);
    }

    #[test]
    fn program_runs_on_without_its_pages() {
        let constant = MAPS.len();
        assert!(unmap_unused() > 0);
        assert_eq!((MAPS.len(), unchanged(MAPS, Path::new("/usr/bin/a firstline")).len()), (constant, 2));
    }
}
