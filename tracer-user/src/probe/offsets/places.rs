//! What only snapshots read: [`Places`].
//!
//! All of it or nothing: where this kernel keeps something else than expected, processes are read from
//! `/proc`, which costs more and tells the same.

use tracer_common::{
    offsets::{ABSENT, Offsets},
    snapshot::Places,
};

use super::Table;
use crate::probe::{
    btf::Btf,
    snapshot::{CAPABILITY, INSTEAD},
};

/// Where the kernel keeps it; `None`, and named as lost, when a snapshot would lack something that `/proc`
/// has.
pub(super) fn find(table: &mut Table<'_, '_>, known: &Offsets) -> Option<Places> {
    let places = read(table.btf, known);
    if places.is_none() {
        let why = format!("{INSTEAD}: this kernel keeps what is in them elsewhere");
        table.lose(CAPABILITY, &why);
    }
    places
}

fn read(btf: &Btf<'_>, known: &Offsets) -> Option<Places> {
    let field = |owner: &str, path: &str, size: u32| {
        let member = btf.member(owner, path)?;
        (member.size == size && member.bits.is_none()).then_some(member.offset)
    };
    let place = |owner: &str, path: &str| btf.member(owner, path).map(|member| member.offset);
    // Signal actions are read in one piece, by words: as they lie on all supported machines.
    let actions_are_plain = known.sigaction_size == 32 && known.sigaction_handler == 0;
    let others = [
        known.task_blocked,
        known.task_sighand,
        known.sighand_action,
        known.signal_rlim,
        known.signal_oom_score_adj,
        known.signal_nr_threads,
        known.signal_sum_sched_runtime,
        known.signal_nvcsw,
        known.signal_nivcsw,
        known.task_nvcsw,
        known.task_nivcsw,
        known.task_sum_exec_runtime,
        known.task_start_boottime,
        known.task_flags,
        known.task_exit_state,
        known.task_mm,
        known.task_comm,
        known.mm_hiwater_rss,
        known.mm_rss_stat,
    ];
    if !actions_are_plain || others.contains(&ABSENT) {
        return None;
    }
    // Since 6.2 resident counters are per CPU: the pointer to the shares lies as far behind the count as
    // in any counter, and the shares of all four lie side by side.
    let mm_rss_counters = match field("percpu_counter", "counters", 8) {
        Some(counters) if known.mm_rss_stride == btf.struct_size("percpu_counter")? => {
            known.mm_rss_stat - field("percpu_counter", "count", 8)? + counters
        }
        _ => ABSENT,
    };
    Some(Places {
        task_state: place("task_struct", "__state").or_else(|| place("task_struct", "state"))?,
        task_pending: field("task_struct", "pending.signal", 8)?,
        task_files: field("task_struct", "files", 8)?,
        task_cgroups: field("task_struct", "cgroups", 8)?,
        task_vfork_done: field("task_struct", "vfork_done", 8)?,
        signal_shared_pending: field("signal_struct", "shared_pending.signal", 8)?,
        mm_pgtables_bytes: field("mm_struct", "pgtables_bytes", 8)?,
        mm_flags: place("mm_struct", "flags")?,
        mm_rss_counters,
        files_fdt: field("files_struct", "fdt", 8)?,
        fdt_max_fds: field("fdtable", "max_fds", 4)?,
        fdt_fd: field("fdtable", "fd", 8)?,
        fdt_open_fds: field("fdtable", "open_fds", 8)?,
        file_inode: field("file", "f_inode", 8)?,
        file_private_data: field("file", "private_data", 8)?,
        inode_mode: field("inode", "i_mode", 2)?,
        socket_sk: field("socket", "sk", 8)?,
        sock_state: field("sock", "__sk_common.skc_state", 1)?,
        sock_family: field("sock", "__sk_common.skc_family", 2)?,
        sock_protocol: field("sock", "sk_protocol", 2)?,
        array_pptrs: place("bpf_array", "pptrs")?,
    })
}
