//! Open descriptors of a process: how many (`proc_readfd_count` of fs/proc/fd.c), and which of them are
//! established TCP sockets.

use aya_ebpf::bindings::seq_file;
use tracer_common::snapshot::{
    FD_WORDS_MAX, FDS_MAX, NOT_LOOKED_THROUGH, ROW_SOCKET, RowHeader, SocketRow,
};

use super::{place, probe, write as write_record};
use crate::{
    maps::SnapshotScratch,
    read::{Direct, Object, Probed, at_most},
};

/// Of `inode->i_mode`, uapi/linux/stat.h.
const S_IFMT: u16 = 0o170_000;
const S_IFSOCK: u16 = 0o140_000;
/// uapi/linux/tcp_states.h, uapi/linux/in.h, linux/socket.h.
const TCP_ESTABLISHED: u8 = 1;
const IPPROTO_TCP: u16 = 6;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// Writes the counts into the row, and a record for each descriptor of an established socket.
///
/// # Safety
/// `scratch` is the map value.
#[inline(always)]
pub(super) unsafe fn write(
    seq: *mut seq_file,
    scratch: *mut SnapshotScratch,
    process: RowHeader,
    leader: Direct,
) {
    let files = Probed(leader.get(place!(task_files)));
    let table = files.follow(place!(files_fdt));
    let max: u32 = table.get(place!(fdt_max_fds));
    // SAFETY: the caller's promise.
    unsafe {
        let row = &raw mut (*scratch).row;
        (*row).fd_count = match u64::from(max) <= FD_WORDS_MAX as u64 * 64 {
            true => count(scratch, table, u64::from(max) / 64),
            false => NOT_LOOKED_THROUGH,
        };
        (*row).fds_seen = NOT_LOOKED_THROUGH;
        if u64::from(max) <= FDS_MAX as u64 {
            (*row).fds_seen = max;
            write_sockets(seq, scratch, process, table, u64::from(max));
        }
    }
}

/// Bits set in so many words of the table's bitmap.
///
/// # Safety
/// `scratch` is the map value.
#[inline(always)]
unsafe fn count(scratch: *mut SnapshotScratch, table: Probed, words: u64) -> u32 {
    let words = at_most::<{ FD_WORDS_MAX as u64 }>(words);
    let mut count = 0;
    // SAFETY: the caller's promise.
    unsafe {
        let open = &raw mut (*scratch).open;
        let bits = table.follow(place!(fdt_open_fds)).address();
        probe(open.cast(), (words * 8) as u32, bits);
        for word in 0..FD_WORDS_MAX {
            if word as u64 >= words {
                break;
            }
            count += ones((&raw const (*open)[word]).read_volatile());
        }
    }
    count as u32
}

/// Bits set, in the way that needs no table and no branch.
#[inline(always)]
fn ones(mut bits: u64) -> u64 {
    bits -= (bits >> 1) & 0x5555_5555_5555_5555;
    bits = (bits & 0x3333_3333_3333_3333) + ((bits >> 2) & 0x3333_3333_3333_3333);
    bits = (bits + (bits >> 4)) & 0x0f0f_0f0f_0f0f_0f0f;
    bits.wrapping_mul(0x0101_0101_0101_0101) >> 56
}

/// # Safety
/// `scratch` is the map value.
#[inline(always)]
unsafe fn write_sockets(
    seq: *mut seq_file,
    scratch: *mut SnapshotScratch,
    process: RowHeader,
    table: Probed,
    max: u64,
) {
    let max = at_most::<{ FDS_MAX as u64 }>(max);
    // SAFETY: the caller's promise.
    unsafe {
        let files = &raw mut (*scratch).files;
        let pointers = table.follow(place!(fdt_fd)).address();
        probe(files.cast(), (max * 8) as u32, pointers);
        for fd in 0..FDS_MAX {
            if fd as u64 >= max {
                break;
            }
            let file = Probed((&raw const (*files)[fd]).read_volatile());
            if file.address() == 0 {
                continue;
            }
            let inode = file.follow(place!(file_inode));
            if inode.get::<u16>(place!(inode_mode)) & S_IFMT != S_IFSOCK {
                continue;
            }
            let socket = file.follow(place!(file_private_data));
            let sock = socket.follow(place!(socket_sk));
            if !is_established(sock) {
                continue;
            }
            let record = SocketRow {
                header: RowHeader {
                    kind: ROW_SOCKET,
                    ..process
                },
                sock: sock.address(),
            };
            write_record(seq, &raw const record);
        }
    }
}

#[inline(always)]
fn is_established(sock: Probed) -> bool {
    if sock.get::<u8>(place!(sock_state)) != TCP_ESTABLISHED {
        return false;
    }
    let family: u16 = sock.get(place!(sock_family));
    (family == AF_INET || family == AF_INET6)
        && sock.get::<u16>(place!(sock_protocol)) == IPPROTO_TCP
}
