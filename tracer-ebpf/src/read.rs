//! Reading kernel memory at offsets that are known only when the programs are loaded.
//!
//! Two ways. [`Direct`] is an ordinary load through a pointer whose type the verifier knows: it costs
//! one instruction, the verifier checks it against the kernel's own BTF, and a fault reads as 0.
//! [`Probed`] asks `bpf_probe_read_kernel`: for pointers that came as plain numbers, for variable
//! offsets, and for what older verifiers do not follow (arrays of typedefs).
//!
//! To *follow* a pointer with a direct load is a trap on some kernels (seen on 6.18): where a hook's own
//! argument leads to another object, the verifier looks five times through the names of all the kernel's
//! types, one and a half milliseconds for each load on each path. So what is behind a pointer is probed,
//! for 30 ns a field, and a program loads in one millisecond instead of ten.

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use tracer_common::{limits::COMM_LEN, offsets::ABSENT};

/// The value of a frozen global. Volatile, or the compiler would use the placeholder it sees here.
#[inline(always)]
pub(crate) fn frozen(global: &'static u32) -> u32 {
    // SAFETY: a read through a reference.
    unsafe { core::ptr::read_volatile(global) }
}

/// Where this kernel keeps a field, or another fact of [`tracer_common::offsets::Offsets`].
macro_rules! off {
    ($field:ident) => {
        $crate::read::frozen(&$crate::maps::OFFSETS.$field)
    };
}
pub(crate) use off;

/// A kernel object, and a way to read its fields.
pub(crate) trait Object: Copy {
    /// The field at `offset`; 0 when it is absent or unreadable.
    fn get<T: Copy + Default>(self, offset: u32) -> T;
    /// The object that the pointer at `offset` leads to.
    fn follow(self, offset: u32) -> Self;
    /// Its address.
    fn address(self) -> u64;

    /// The same object, all of it to be probed.
    #[inline(always)]
    fn probed(self) -> Probed {
        Probed(self.address())
    }
}

/// An object behind a pointer whose type the verifier knows.
#[derive(Clone, Copy)]
pub(crate) struct Direct(pub(crate) u64);

impl Object for Direct {
    #[inline(always)]
    fn get<T: Copy + Default>(self, offset: u32) -> T {
        if offset == ABSENT {
            return T::default();
        }
        // SAFETY: the verifier checks that a `T` is at this offset of the kernel's type, and the
        // kernel turns a fault into 0.
        unsafe { core::ptr::read_volatile((self.0 + u64::from(offset)) as *const T) }
    }

    #[inline(always)]
    fn follow(self, offset: u32) -> Self {
        Self(self.get(offset))
    }

    #[inline(always)]
    fn address(self) -> u64 {
        self.0
    }
}

/// An object behind an address that is just a number to the verifier.
#[derive(Clone, Copy)]
pub(crate) struct Probed(pub(crate) u64);

impl Object for Probed {
    #[inline(always)]
    fn get<T: Copy + Default>(self, offset: u32) -> T {
        if offset == ABSENT {
            return T::default();
        }
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: the destination is a `T` of ours; the helper writes all of it (zeros on a fault).
        unsafe {
            bpf_probe_read_kernel(
                value.as_mut_ptr().cast(),
                size_of::<T>() as u32,
                (self.0 + u64::from(offset)) as *const c_void,
            );
            value.assume_init()
        }
    }

    #[inline(always)]
    fn follow(self, offset: u32) -> Self {
        Self(self.get(offset))
    }

    #[inline(always)]
    fn address(self) -> u64 {
        self.0
    }
}

/// Several fields that lie as in `T`, in one reading.
///
/// # Safety
/// Any bytes are a `T`.
#[inline(always)]
pub(crate) unsafe fn together<T>(object: Probed, first: u32) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the destination is a `T` of ours; the helper writes all of it (zeros on a fault), and the
    // caller promises that it is one then.
    unsafe {
        bpf_probe_read_kernel(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            (object.0 + u64::from(first)) as *const c_void,
        );
        value.assume_init()
    }
}

/// Copies a task's name to `to`. A byte array cannot be loaded directly.
///
/// # Safety
/// `to` is writable.
#[inline(always)]
pub(crate) unsafe fn comm_into(to: *mut [u8; COMM_LEN], task: impl Object) {
    let offset = off!(task_comm);
    if offset == ABSENT {
        // SAFETY: the caller's promise.
        unsafe { to.write([0; COMM_LEN]) };
        return;
    }
    // SAFETY: the caller's promise; the helper writes exactly COMM_LEN bytes.
    unsafe {
        bpf_probe_read_kernel(
            to.cast(),
            COMM_LEN as u32,
            (task.address() + u64::from(offset)) as *const c_void,
        );
    }
}

/// A task's credentials; its name goes to `to`.
///
/// # Safety
/// `to` is writable.
#[inline(always)]
pub(crate) unsafe fn cred_and_comm_into(to: *mut [u8; COMM_LEN], task: Probed) -> Probed {
    /// As since Linux 5.3: between the two is a pointer to a key.
    #[repr(C)]
    struct CredAndComm {
        cred: u64,
        key: u64,
        comm: [u64; COMM_LEN / 8],
    }
    if off!(cred_is_near_comm) == 1 {
        // SAFETY: integers only; the caller's promise.
        unsafe {
            let both: CredAndComm = together(task, off!(task_cred));
            to.cast::<[u64; COMM_LEN / 8]>().write(both.comm);
            return Probed(both.cred);
        }
    }
    // SAFETY: the caller's promise.
    unsafe { comm_into(to, task) };
    task.follow(off!(task_cred))
}

/// The smaller of `value` and `MAX`, in a form no optimiser can take from the verifier's sight.
#[inline(always)]
pub(crate) fn at_most<const MAX: u64>(mut value: u64) -> u64 {
    // SAFETY: touches its own register only.
    unsafe {
        core::arch::asm!(
            "if {value} <= {max} goto +1",
            "{value} = {max}",
            value = inout(reg) value,
            max = const MAX,
        );
    }
    value
}

/// 1 when `value` is not 0, else 0; without a branch, which the verifier would follow both ways each time.
#[inline(always)]
pub(crate) fn is_set(mut value: u64) -> u64 {
    // SAFETY: touches its own registers only.
    unsafe {
        core::arch::asm!(
            "{other} = {value}",
            "{other} = -{other}",
            "{value} |= {other}",
            "{value} >>= 63",
            value = inout(reg) value,
            other = out(reg) _,
        );
    }
    value
}

/// 1 when the two are the same, else 0; without a branch.
#[inline(always)]
pub(crate) fn is_same(a: u64, b: u64) -> u64 {
    is_set(a ^ b) ^ 1
}

/// 1 when `value` is more than 0, else 0; without a branch.
#[inline(always)]
pub(crate) fn is_positive(value: i32) -> u64 {
    let mut value = i64::from(value);
    // SAFETY: touches its own register only.
    unsafe {
        core::arch::asm!(
            "{value} = -{value}",
            "{value} >>= 63",
            value = inout(reg) value,
        );
    }
    value as u64
}

/// Adds to a counter that other CPUs add to as well. `core`'s atomics have no `fetch_add` for this
/// target.
///
/// # Safety
/// `counter` points to a map value.
#[inline(always)]
pub(crate) unsafe fn atomic_add(counter: *mut u64, value: u64) {
    // SAFETY: the caller's promise; the verifier checks it.
    unsafe {
        core::arch::asm!(
            "lock *(u64 *)({counter} + 0) += {value}",
            counter = in(reg) counter,
            value = in(reg) value,
        );
    }
}
