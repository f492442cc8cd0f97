//! Ends at once: `tiny 37` exits with 37, `tiny -9` dies of signal 9. Starts without the standard
//! library's runtime, so that a storm of it is a storm of processes and not of start-up work.
#![no_main]

use std::ffi::CStr;

use tracer_tests::sys;

/// # Safety
/// Called by the C library with the arguments of the process.
// SAFETY: the only `main` of this program.
#[unsafe(no_mangle)]
extern "C" fn main(count: libc::c_int, argv: *const *const libc::c_char) -> libc::c_int {
    if count < 2 {
        return 0;
    }
    // SAFETY: count is at least 2, so argv[1] is a C string the kernel put there.
    let arg = unsafe { CStr::from_ptr(*argv.add(1)) };
    let code: i32 = arg
        .to_str()
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(125);
    if code < 0 && sys::die_of(-code).is_err() {
        return 125;
    }
    code
}
