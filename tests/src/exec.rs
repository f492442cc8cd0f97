//! The ways to start another image, each done exactly as named: execve, execveat, `posix_spawn`, and
//! vfork with exec.

use std::ffi::CStr;
use std::io;
use std::ptr;

use crate::sys::{exit_now, wait4};

/// Arguments ready for `execve(2)`: no allocation is needed between fork and exec.
#[derive(Debug)]
pub struct Argv<'a> {
    pointers: Vec<*const libc::c_char>,
    file: &'a CStr,
    strings: std::marker::PhantomData<&'a CStr>,
}

impl<'a> Argv<'a> {
    /// `argv` becomes the arguments, `argv[0]` included; it may be empty.
    #[must_use]
    pub fn new(file: &'a CStr, argv: &[&'a CStr]) -> Self {
        let pointers = argv
            .iter()
            .map(|arg| arg.as_ptr())
            .chain([ptr::null()])
            .collect();
        Self {
            pointers,
            file,
            strings: std::marker::PhantomData,
        }
    }

    /// Replaces the image, environment unchanged; returns only when that failed.
    #[must_use]
    pub fn exec(&self) -> io::Error {
        // SAFETY: file is a C string, pointers a null-terminated array of C strings that `'a` keeps
        // alive; environ is the C library's own.
        unsafe {
            libc::execve(
                self.file.as_ptr(),
                self.pointers.as_ptr(),
                libc::environ.cast(),
            )
        };
        io::Error::last_os_error()
    }

    /// As [`Self::exec`] with `execveat(2)` on an open file and no path.
    #[must_use]
    pub fn exec_fd(&self, fd: i32) -> io::Error {
        // SAFETY: as in `exec`; the path is the empty C string that AT_EMPTY_PATH asks for.
        unsafe {
            libc::syscall(
                libc::SYS_execveat,
                fd,
                c"".as_ptr(),
                self.pointers.as_ptr(),
                libc::environ,
                libc::AT_EMPTY_PATH,
            );
        }
        io::Error::last_os_error()
    }

    /// `posix_spawn(3)`.
    ///
    /// # Errors
    /// As the C library says.
    pub fn posix_spawn(&self) -> io::Result<i32> {
        let mut pid = 0;
        // SAFETY: as in `exec`; null file actions and attributes mean none. The C library declares
        // argv as *const *mut but does not write through it.
        let error = unsafe {
            libc::posix_spawn(
                &raw mut pid,
                self.file.as_ptr(),
                ptr::null(),
                ptr::null(),
                self.pointers.as_ptr().cast(),
                libc::environ,
            )
        };
        if error == 0 {
            Ok(pid)
        } else {
            Err(io::Error::from_raw_os_error(error))
        }
    }
}

/// A stack for [`vfork_exec`]; making it once keeps a storm fast.
#[derive(Debug)]
pub struct VforkStack(Vec<u128>);

impl Default for VforkStack {
    fn default() -> Self {
        Self(vec![0; 4096])
    }
}

struct VforkCall<'a> {
    argv: &'a Argv<'a>,
    error: i32,
}

extern "C" fn vfork_child(call: *mut libc::c_void) -> libc::c_int {
    // SAFETY: `vfork_exec` passes a VforkCall that lives until this child has exec'd or ended, and
    // does not touch it meanwhile: CLONE_VFORK suspends it.
    let call = unsafe { &mut *call.cast::<VforkCall<'_>>() };
    call.error = call.argv.exec().raw_os_error().unwrap_or(libc::EIO);
    exit_now(127)
}

/// What `vfork(2)` and exec do, `CLONE_VM | CLONE_VFORK`, on a stack of the child's own: calling
/// vfork itself from Rust is undefined.
///
/// # Errors
/// As `clone(2)` or `execve(2)`; a child that could not exec is reaped.
pub fn vfork_exec(stack: &mut VforkStack, argv: &Argv<'_>) -> io::Result<i32> {
    let mut call = VforkCall { argv, error: 0 };
    // SAFETY: the stack is ours and 16-byte aligned and grows down from its end; the child uses only
    // it and `call`, and this thread is suspended until the child has left the shared memory.
    let pid = unsafe {
        libc::clone(
            vfork_child,
            stack.0.as_mut_ptr_range().end.cast(),
            libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
            (&raw mut call).cast(),
        )
    };
    if pid == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `call` is a live local; volatile because the child wrote it behind the compiler's back.
    let error = unsafe { ptr::read_volatile(&raw const call.error) };
    if error == 0 {
        return Ok(pid);
    }
    wait4(pid)?;
    Err(io::Error::from_raw_os_error(error))
}
