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
use nix::unistd::{SysconfVar, sysconf};
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// The entry of a page in `/proc/self/pagemap`.
const ENTRY_BYTES: usize = 8;
/// The page is in memory.
const PRESENT: u64 = 1 << 63;
/// The page is in swap, so it is not one of a file.
const SWAPPED: u64 = 1 << 62;
/// The page is one of a file, or shared.
const OF_FILE: u64 = 1 << 61;

/// Unmaps the pages of this program's code, and the constants that the linker placed before it: most of what is mapped
/// after the start is not used again. A later access maps a page again, normally from the page cache. Returns the size
/// of the unmapped ranges, in bytes. A range in which a page was changed stays mapped, and so does everything if
/// `/proc` is missing or the kernel refuses.
pub fn unmap_code() -> usize {
    let (Ok(program), Ok(pages)) = (fs::read_link("/proc/self/exe"), File::open("/proc/self/pagemap")) else {
        return 0;
    };
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let ranges = up_to_code(&maps, &program).into_iter();
    ranges.filter(|range| is_unchanged(range, &pages) && unmap(range.clone())).map(|range| range.len()).sum()
}

/// Unmaps the pages of addresses that [are unchanged](is_unchanged). Returns false if the kernel refuses.
fn unmap(range: Range<usize>) -> bool {
    let address = NonNull::new(ptr::with_exposed_provenance_mut::<c_void>(range.start));
    address.is_some_and(|address| {
        // SAFETY: the pages are a private mapping of a file, and nobody has changed them. So a later access reads the
        // bytes of the file again, which are those that the mapping shows now.
        unsafe { madvise(address, range.len(), MmapAdvise::MADV_DONTNEED) }.is_ok()
    })
}

/// Whether all pages of a mapping of a file are those of the file, from the text of `/proc/self/pagemap` (the kernel's
/// `Documentation/admin-guide/mm/pagemap.rst`). The dynamic linker changes pages, and so does a debugger.
fn is_unchanged(range: &Range<usize>, pagemap: &File) -> bool {
    let Ok(Some(page_bytes)) = sysconf(SysconfVar::PAGE_SIZE) else { return false };
    let pages = range.start / page_bytes as usize..range.end / page_bytes as usize;
    let mut entries = vec![0; pages.len() * ENTRY_BYTES];
    pagemap.read_exact_at(&mut entries, (pages.start * ENTRY_BYTES) as u64).is_ok()
        && entries.chunks_exact(ENTRY_BYTES).all(|entry| {
            let entry = u64::from_ne_bytes(entry.try_into().expect("a chunk has that many bytes"));
            entry & SWAPPED == 0 && (entry & PRESENT == 0 || entry & OF_FILE != 0)
        })
}

/// The addresses of the program's code, and of what the linker placed before it, from the text of `/proc/self/maps`, as
/// in proc_pid_maps(5). The constants that hold addresses come after the code: the dynamic linker has changed them.
fn up_to_code(maps: &str, program: &Path) -> Vec<Range<usize>> {
    let of_program: Vec<_> = maps.lines().filter_map(|line| mapping(line, program)).collect();
    let code = of_program.iter().position(|(rights, _)| *rights == "r-xp");
    let first = of_program.iter().take(code.map_or(0, |code| code + 1));
    first.filter(|(rights, _)| !rights.contains('w')).map(|(_, range)| range.clone()).collect()
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
    fn only_code_and_what_comes_before_it_is_found() {
        let program = Path::new("/usr/bin/a firstline");
        let code = 0x5602000..0x5605000;
        assert_eq!(up_to_code(MAPS, program), [0x5601000..0x5602000, code.clone()]);
        let writable = MAPS.replacen("r--p", "rw-p", 1);
        assert_eq!(up_to_code(&writable, program), [code]);
        for nothing in ["", "5601000-5602000 r--p 00000000 fe:00 1234567 /usr/bin/a firstline\n"] {
            assert_eq!(up_to_code(nothing, program), [], "{nothing}");
        }
        assert_eq!(up_to_code(MAPS, Path::new("/usr/bin/other")), []);
    }

    #[test]
    fn program_runs_on_without_its_pages() {
        let constant = MAPS.len();
        assert!(unmap_code() > 0);
        assert_eq!((MAPS.len(), up_to_code(MAPS, Path::new("/usr/bin/a firstline")).len()), (constant, 2));
    }

    #[test]
    fn changed_page_is_found() {
        let pages = File::open("/proc/self/pagemap").unwrap();
        let program = fs::read_link("/proc/self/exe").unwrap();
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        assert!(up_to_code(&maps, &program).iter().all(|range| is_unchanged(range, &pages)));
        let own = vec![1_u8; 1 << 20];
        let start = own.as_ptr().addr().next_multiple_of(1 << 16);
        assert!(!is_unchanged(&(start..start + (1 << 16)), &pages), "it is memory, not a file");
    }
}
