//! Where the running kernel keeps what the programs read.
//!
//! User space fills [`Offsets`] from the kernel's own BTF before loading; the kernel side has them as
//! frozen constants, so the verifier folds each load and prunes the branches a kernel does not need.
//! A field this kernel lacks is [`ABSENT`]: the program then takes another way or sends nothing for
//! it, and user space says so as a lost capability.

use bytemuck::{Pod, Zeroable};

/// Offset of a field that the running kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// Byte offsets, sizes and yes/no facts of the running kernel. Extended by the kernel side.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct Offsets {
    /// `task_struct.tgid`.
    pub task_tgid: u32,
}
