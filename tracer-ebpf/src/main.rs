//! tracer's kernel side: one hook a file, each a thin entry and a `try_` function.
//!
//! The kernel skips a program while the same program is running on that CPU. Since Linux 7.0
//! tracepoints can be preempted, so this happens by chance, when a task is preempted inside a hook and
//! the next one comes to the same hook. Fork, exec and exit must not be missed. So other programs stand
//! in, which find out at the price of one look whether the first has done its work: for fork one at a
//! place that cannot be preempted and so is never skipped; for exit a second one at the same hook, and
//! one that is never skipped where the task is freed; for exec a second one, and a count at the end of
//! what even that one missed.
//!
//! Built for `bpfel-unknown-none` by `cargo xtask ebpf`. On any other target this is an empty
//! program, so that commands over the whole workspace need no special compiler.

#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]
#![cfg_attr(
    target_arch = "bpf",
    allow(
        clippy::inline_always,
        reason = "the verifier judges one function; a call costs it the types of the arguments"
    )
)]

#[cfg(target_arch = "bpf")]
mod adopt;
#[cfg(target_arch = "bpf")]
mod ask;
#[cfg(target_arch = "bpf")]
mod exec;
#[cfg(target_arch = "bpf")]
mod exit;
#[cfg(target_arch = "bpf")]
mod follow;
#[cfg(target_arch = "bpf")]
mod fork;
#[cfg(target_arch = "bpf")]
mod free;
#[cfg(target_arch = "bpf")]
mod iter;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod oom;
#[cfg(target_arch = "bpf")]
mod process;
#[cfg(target_arch = "bpf")]
mod read;
#[cfg(target_arch = "bpf")]
mod send;
#[cfg(target_arch = "bpf")]
mod signal;
#[cfg(target_arch = "bpf")]
mod snapshot;
#[cfg(target_arch = "bpf")]
mod usage;

/// The kernel offers tracing helpers to GPL-compatible programs only.
#[cfg(target_arch = "bpf")]
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Nothing here panics; if something did, this endless loop would make the verifier refuse it.
#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
