//! The arenas from which the C library allocates. The server allocates only until it is ready.

#![expect(unsafe_code, reason = "no crate has a safe way to call mallopt")]

/// Limits glibc to one arena. By default, threads that allocate get further arenas: up to eight for each processor on
/// 64-bit systems, and two on 32-bit ones (mallopt(3), `M_ARENA_MAX`). On 64-bit systems each arena reserves 64 MiB of
/// addresses. Other C libraries do not change. Call this before there are other threads.
pub fn limit_to_one() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use nix::libc::{M_ARENA_MAX, mallopt};
        // SAFETY: `mallopt` takes two numbers and has no other conditions. An allocator in place of glibc's, such as
        // that of a sanitizer, may ignore them.
        let _ = unsafe { mallopt(M_ARENA_MAX, 1) };
    }
}
