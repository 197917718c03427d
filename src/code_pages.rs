//! The pages of the program's code that stay mapped.
//!
//! One binary is the server and all commands, and whenever code is used for the first time, Linux also maps the pages
//! around it: 64 KiB (`fault_around_bytes`), and since Linux 6.18 the whole large folio of the page cache, up to 2 MiB. So
//! a server that has just started has nearly all code in its resident memory, most of which it never uses.

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

/// The mappings of the program that hold its code, and the constants that the linker places before it: usually two.
const MAPPINGS_MAX: usize = 4;

/// The size of the parts into which mappings are split: the kernel maps no page beyond the part. Smaller parts
/// would have fewer unused pages, and take more reads from the disk after the page cache has dropped the code.
const PART_BYTES: usize = 32 * 1024;

/// The addresses of the program's code, and of the constants before it, of which no page was changed.
#[derive(Debug)]
pub struct Code(heapless::Vec<Range<usize>, MAPPINGS_MAX>);

impl Code {
    /// Finds them, and splits their mappings as far as the kernel permits it. A mapping with a changed page is not among
    /// them; if `/proc` is missing, there are none. Allocates.
    pub fn split() -> Self {
        let code = Self::find();
        let parts = code.0.iter().flat_map(|range| parts(range.clone()));
        // Neighbors of which only one has this advice are separate mappings. No core dump has code in it, anyway.
        parts.step_by(2).for_each(|part| advise(part, MmapAdvise::MADV_DONTDUMP));
        code
    }

    fn find() -> Self {
        let (Ok(program), Ok(pages)) = (fs::read_link("/proc/self/exe"), File::open("/proc/self/pagemap"))
        else {
            return Self(heapless::Vec::new());
        };
        let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let ranges = up_to_code(&maps, &program).into_iter();
        Self(ranges.filter(|range| is_unchanged(range, &pages)).take(MAPPINGS_MAX).collect())
    }

    /// Unmaps these pages, as far as the kernel permits it: most of what the start has mapped is not used again. A later
    /// access maps a page again, normally from the page cache. Does not allocate.
    pub fn unmap(self) {
        self.0.iter().cloned().for_each(|range| advise(range, MmapAdvise::MADV_DONTNEED));
    }
}

/// Divides addresses at the multiples of [`PART_BYTES`].
fn parts(range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let Range { start, end } = range;
    let first = start - start % PART_BYTES;
    (first..end).step_by(PART_BYTES).map(move |part| part.max(start)..end.min(part + PART_BYTES))
}

/// Advises the kernel about addresses that [are unchanged](is_unchanged). It may refuse: then they stay as they are.
fn advise(range: Range<usize>, advice: MmapAdvise) {
    let Some(address) = NonNull::new(ptr::with_exposed_provenance_mut::<c_void>(range.start)) else { return };
    // SAFETY: the pages are a private mapping of a file, and nobody has changed them. So if the advice unmaps them, a
    // later access reads the bytes of the file again, which are those that the mapping shows now.
    let _ = unsafe { madvise(address, range.len(), advice) };
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
        let code = Code::split();
        assert!(!code.0.is_empty());
        code.unmap();
        assert_eq!((MAPS.len(), up_to_code(MAPS, Path::new("/usr/bin/a firstline")).len()), (constant, 2));
    }

    #[test]
    fn parts_are_aligned_and_cover_everything() {
        let whole = 3 * PART_BYTES;
        let of = |range| parts(range).collect::<Vec<_>>();
        let page = whole..whole + 4096;
        assert_eq!(of(page.clone()), [page]);
        let (first, last) = (whole - 4096..whole, whole + PART_BYTES..whole + PART_BYTES + 4096);
        assert_eq!(of(first.start..last.end), [first, whole..whole + PART_BYTES, last]);
        assert!(of(whole..whole).is_empty());
    }

    #[test]
    fn split_code_is_in_mappings_of_one_part() {
        let code = Code::split();
        let program = fs::read_link("/proc/self/exe").unwrap();
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let largest =
            maps.lines().filter_map(|line| mapping(line, &program)).filter(|(rights, _)| *rights == "r-xp");
        let largest = largest.map(|(_, range)| range.len()).max().unwrap();
        assert!(!code.0.is_empty() && largest <= PART_BYTES, "{largest}");
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
