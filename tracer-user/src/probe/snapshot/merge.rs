//! One row a process, from the records of its threads, its sockets and itself.
//!
//! Pure. The records of a process may come in any order and be cut anywhere; which belong together is
//! said by tgid and start time. A process of which only threads were seen is none: its leader came too
//! early or too late.

use std::collections::HashMap;

use bytemuck::Pod;
use thiserror::Error;
use tracer_common::snapshot::{
    NOT_LOOKED_THROUGH, ProcessRow, ROW_PROCESS, ROW_SOCKET, ROW_THREAD, RowHeader, SocketRow,
    ThreadRow,
};

use crate::{
    snapshot::kernel::{KernelRow, OomFacts},
    units::{BootNs, Comm, Tgid},
};

/// `PF_EXITING` of include/linux/sched.h.
const PF_EXITING: u32 = 0x4;
/// `MMF_OOM_SKIP` of `include/linux/mm_types.h`: the OOM killer has been there.
const MMF_OOM_SKIP: u64 = 1 << 21;

/// Output that no kernel side of ours writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum MergeError {
    #[error("a record of the unknown kind {0}")]
    Kind(u32),
    #[error("{0} bytes of a record are left over")]
    LeftOver(usize),
}

type Key = (u32, u64);

/// Puts rows together.
#[derive(Debug, Default)]
pub(super) struct Merger {
    cut: Vec<u8>,
    leaders: Vec<ProcessRow>,
    /// Threads that are not leaders.
    threads: HashMap<Key, Sums>,
    sockets: HashMap<Key, Vec<u64>>,
}

/// What all threads of a process but the leader have used.
#[derive(Debug, Default)]
struct Sums {
    cpu_ns: u64,
    nvcsw: u64,
    nivcsw: u64,
    read_bytes: u64,
    write_bytes: u64,
    disk_sleep: Vec<u32>,
}

impl Sums {
    fn add(&mut self, thread: &ThreadRow) {
        self.cpu_ns = self.cpu_ns.wrapping_add(thread.cpu_ns);
        self.nvcsw = self.nvcsw.wrapping_add(thread.nvcsw);
        self.nivcsw = self.nivcsw.wrapping_add(thread.nivcsw);
        self.read_bytes = self.read_bytes.wrapping_add(thread.read_bytes);
        self.write_bytes = self.write_bytes.wrapping_add(thread.write_bytes);
        if letter(thread.state, thread.exit_state) == b'D' {
            self.disk_sleep.push(thread.tid);
        }
    }
}

impl Merger {
    /// Forgets the last snapshot.
    pub(super) fn begin(&mut self) {
        self.cut.clear();
        self.leaders.clear();
        self.threads.clear();
        self.sockets.clear();
        // What a burst needed is not kept for the rest of the session.
        self.leaders.shrink_to(256);
        self.threads.shrink_to(256);
        self.sockets.shrink_to(256);
    }

    /// Takes some of the output, cut anywhere.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), MergeError> {
        if self.cut.is_empty() {
            let used = self.records(bytes)?;
            self.cut.extend_from_slice(&bytes[used..]);
            return Ok(());
        }
        let mut joined = std::mem::take(&mut self.cut);
        joined.extend_from_slice(bytes);
        let used = self.records(&joined)?;
        joined.drain(..used);
        self.cut = joined;
        Ok(())
    }

    /// Whether that was all of it.
    pub(super) fn end(&self) -> Result<(), MergeError> {
        match self.cut.len() {
            0 => Ok(()),
            len => Err(MergeError::LeftOver(len)),
        }
    }

    /// Takes the whole records that `bytes` begins with, and says how long they are.
    fn records(&mut self, bytes: &[u8]) -> Result<usize, MergeError> {
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            let Some(header) = front::<RowHeader>(rest) else {
                return Ok(used);
            };
            let key = (header.tgid_init, header.start_boottime_ns);
            used += match header.kind {
                ROW_PROCESS => {
                    let Some(row) = front::<ProcessRow>(rest) else {
                        return Ok(used);
                    };
                    self.leaders.push(row);
                    size_of::<ProcessRow>()
                }
                ROW_THREAD => {
                    let Some(row) = front::<ThreadRow>(rest) else {
                        return Ok(used);
                    };
                    self.threads.entry(key).or_default().add(&row);
                    size_of::<ThreadRow>()
                }
                ROW_SOCKET => {
                    let Some(row) = front::<SocketRow>(rest) else {
                        return Ok(used);
                    };
                    self.sockets.entry(key).or_default().push(row.sock);
                    size_of::<SocketRow>()
                }
                other => return Err(MergeError::Kind(other)),
            };
        }
    }

    /// Replaces `rows` by those of the processes that are well alive.
    pub(super) fn rows(&mut self, rows: &mut Vec<KernelRow>) {
        rows.clear();
        for row in &self.leaders {
            let header = row.leader.header;
            let key = (header.tgid_init, header.start_boottime_ns);
            let is_well = row.tgid != 0
                && row.has_mm != 0
                && row.leader.exit_state == 0
                && row.leader.flags & PF_EXITING == 0;
            if is_well {
                let mut sums = self.threads.remove(&key).unwrap_or_default();
                sums.add(&row.leader);
                rows.push(kernel_row(row, sums, self.sockets.remove(&key)));
            }
        }
    }
}

fn front<T: Pod>(bytes: &[u8]) -> Option<T> {
    bytes
        .get(..size_of::<T>())
        .map(bytemuck::pod_read_unaligned)
}

fn kernel_row(row: &ProcessRow, mut sums: Sums, sockets: Option<Vec<u64>>) -> KernelRow {
    let released = &row.released;
    let io_is_known = row.leader.read_bytes != u64::MAX;
    sums.disk_sleep.sort_unstable();
    KernelRow {
        t: BootNs(row.t_boot_ns),
        tgid: Tgid(row.tgid),
        start: BootNs(row.leader.header.start_boottime_ns),
        ppid: Tgid(row.ppid),
        comm: Comm::from_bytes(&row.comm),
        state: letter(row.leader.state, row.leader.exit_state),
        threads: row.threads,
        cpu_ns: sums.cpu_ns.wrapping_add(released.cpu_ns),
        rss_pages: row.rss_pages,
        hwm_pages: row.hiwater_pages.max(row.rss_pages),
        oom: OomFacts {
            adj: i16::try_from(row.oom_score_adj).unwrap_or(0),
            pages: row.oom_pages,
            page_tables: row.page_tables,
            is_spared: row.mm_flags & MMF_OOM_SKIP != 0
                || row.in_vfork != 0
                || row.leader.header.tgid_init == 1,
        },
        fd_count: known(row.fd_count),
        net_established: known(row.fds_seen).map(|_| distinct(sockets.unwrap_or_default())),
        fd_soft_limit: row.fd_soft_limit,
        voluntary: sums.nvcsw.wrapping_add(released.nvcsw),
        involuntary: sums.nivcsw.wrapping_add(released.nivcsw),
        leader_voluntary: row.leader.nvcsw,
        pending: row.pending | row.shared_pending,
        blocked: row.blocked,
        caught: row.caught,
        io: io_is_known.then(|| {
            (
                sums.read_bytes.wrapping_add(released.read_bytes),
                sums.write_bytes.wrapping_add(released.write_bytes),
            )
        }),
        disk_sleep: sums.disk_sleep,
        stack: row.stack,
        cgroups: row.cgroups,
    }
}

fn known(count: u32) -> Option<u64> {
    (count != NOT_LOOKED_THROUGH).then_some(count.into())
}

/// Several descriptors may be of one socket.
fn distinct(mut sockets: Vec<u64>) -> u64 {
    sockets.sort_unstable();
    sockets.dedup();
    sockets.len() as u64
}

/// The letter that `/proc/<pid>/stat` shows for a task, by `__task_state_index` of
/// include/linux/sched.h. Bits that only some kernels know are zero on the others.
fn letter(state: u32, exit_state: u32) -> u8 {
    const REPORTED: u32 = 0x7f;
    const UNINTERRUPTIBLE: u32 = 0x02;
    const IDLE: u32 = 0x402;
    const RTLOCK_WAIT: u32 = 0x1000;
    const FROZEN: u32 = 0x8000;
    if state & IDLE == IDLE {
        return b'I';
    }
    let shown = match state & (RTLOCK_WAIT | FROZEN) {
        0 => (state | exit_state) & REPORTED,
        _ => UNINTERRUPTIBLE,
    };
    match 32 - shown.leading_zeros() {
        0 => b'R',
        1 => b'S',
        2 => b'D',
        3 => b'T',
        4 => b't',
        5 => b'X',
        6 => b'Z',
        _ => b'P',
    }
}

#[cfg(test)]
mod tests;
