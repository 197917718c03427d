//! The test that nothing is allocated after "ready". With the feature `alloc-guard`, the binary's allocator aborts the
//! process if it gets a request for memory after a call of [`arm`]. Without the feature, [`arm`] does nothing.

#![cfg_attr(feature = "alloc-guard", expect(unsafe_code, reason = "an allocator is an unsafe trait"))]

/// Forbids allocations from now on.
pub fn arm() {
    #[cfg(feature = "alloc-guard")]
    guard::ARMED.store(true, core::sync::atomic::Ordering::SeqCst);
}

#[cfg(feature = "alloc-guard")]
pub use guard::Guard;

#[cfg(feature = "alloc-guard")]
mod guard {
    use core::sync::atomic::{AtomicBool, Ordering};
    use std::alloc::{GlobalAlloc, Layout, System};

    pub(super) static ARMED: AtomicBool = AtomicBool::new(false);

    /// The system's allocator until [`arm`](super::arm) is called; after that every request ends the process.
    pub struct Guard;

    fn check() {
        if ARMED.load(Ordering::SeqCst) {
            // A raw write, because it does not allocate. If it fails, the process aborts all the same.
            let _ =
                nix::unistd::write(std::io::stderr(), b"firstline: memory was allocated after \"ready\"\n");
            std::process::abort();
        }
    }

    // SAFETY: every call goes unchanged to the system's allocator, which keeps the contract, or the process aborts.
    unsafe impl GlobalAlloc for Guard {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            check();
            // SAFETY: the caller keeps the contract of `alloc`.
            unsafe { System.alloc(layout) }
        }

        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            check();
            // SAFETY: the caller keeps the contract of `alloc_zeroed`.
            unsafe { System.alloc_zeroed(layout) }
        }

        unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            check();
            // SAFETY: the caller keeps the contract of `realloc`.
            unsafe { System.realloc(memory, layout, size) }
        }

        unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
            // SAFETY: the caller keeps the contract of `dealloc`.
            unsafe { System.dealloc(memory, layout) }
        }
    }
}
