//! Reports the order that a mutex gives to valgrind's helgrind, which knows only the mutexes of the C library. It
//! exists only in a build with `--cfg helgrind` for x86_64, which `tests/helgrind` makes. In other builds these
//! functions are empty.

#![cfg_attr(helgrind, expect(unsafe_code, reason = "the requests to helgrind are instructions"))]

use super::Futex;

/// Reports that this thread has taken the lock: it sees what the former holder did.
#[inline]
pub fn taken(_lock: &Futex) {
    #[cfg(helgrind)]
    request::send(request::RECEIVED, _lock);
}

/// Reports that this thread is about to release the lock: the next holder sees what it did.
#[inline]
pub fn to_be_released(_lock: &Futex) {
    #[cfg(helgrind)]
    request::send(request::TO_BE_SENT, _lock);
}

/// A request to valgrind: a sequence of instructions that has no effect and that no compiler emits. Source:
/// valgrind.h.
#[cfg(helgrind)]
mod request {
    use super::Futex;
    use core::arch::asm;

    /// `_VG_USERREQ__HG_USERSO_SEND_PRE` and `_VG_USERREQ__HG_USERSO_RECV_POST` of helgrind.h.
    pub const TO_BE_SENT: usize = 0x4847_0121;
    pub const RECEIVED: usize = 0x4847_0122;

    pub fn send(request: usize, of: &Futex) {
        let words = [request, &raw const *of as usize, 0, 0, 0, 0];
        // SAFETY: the instructions change no register but rdx, in which valgrind returns its result.
        unsafe {
            asm!(
                "rol rdi, 3", "rol rdi, 13", "rol rdi, 61", "rol rdi, 51", "xchg rbx, rbx",
                in("rax") words.as_ptr(), inout("rdx") 0usize => _,
            );
        }
    }
}
