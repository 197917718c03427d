//! The heap of the C library. The server uses it only until it is ready.

#![expect(unsafe_code, reason = "no crate has a safe way to call mallopt")]

/// Lets all threads share one heap. Otherwise glibc gives each thread that allocates a heap of its own, up to eight for
/// each processor: two pages of memory and 64 MiB of addresses each, for the few bytes that a thread allocates while it
/// starts (mallopt(3), `M_ARENA_MAX`). Other C libraries have one heap anyway. Call it before there are other threads.
pub fn share() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use nix::libc::{M_ARENA_MAX, mallopt};
        // SAFETY: `mallopt` takes two numbers and has no other conditions. An allocator in place of glibc's, such as
        // that of a sanitizer, may ignore them.
        let _ = unsafe { mallopt(M_ARENA_MAX, 1) };
    }
}
