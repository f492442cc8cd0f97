//! What the kernel side and user space both speak: the bytes of the ring buffer, of the maps, and of
//! the globals, and nothing else.
//!
//! Every struct here is made of integers, `#[repr(C)]`, without padding (bytemuck's derive refuses
//! padding at compile time) and safe to read from any bytes of its length. There is no enum on the
//! wire: a kind this build does not know must survive as a number.

#![no_std]

pub mod control;
pub mod event;
pub mod follow;
pub mod ids;
pub mod limits;
pub mod loss;
pub mod names;
pub mod offsets;
pub mod snapshot;
pub mod usage;
