//! The running kernel's [`Offsets`], from its BTF.
//!
//! Pure: BTF in, numbers out. A field this kernel lacks, or keeps in a form the programs cannot read,
//! is absent and named as a lost capability. Without the few that identity, end and status rest on
//! there is nothing worth loading, and that is an error. Nothing here asks for a kernel's version.

mod places;
#[cfg(test)]
mod tests;

use thiserror::Error;
use tracer_common::{
    offsets::{ABSENT, Offsets},
    snapshot::Places,
};

use super::btf::{ArgKind, Btf, Kind, Member};

/// Something this kernel cannot tell, and what follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Degraded {
    /// The field or hook, such as `task_struct.ioac.read_bytes`.
    pub name: String,
    /// What is missing in the record for that.
    pub why: String,
}

/// This kernel lacks what nothing works without.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("this kernel's BTF has no usable {name}, which {why}")]
pub struct MissingField {
    /// The field or tracepoint.
    pub name: String,
    /// What it is for.
    pub why: &'static str,
}

/// What BTF says about the running kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelFacts {
    /// For the programs.
    pub offsets: Offsets,
    /// For snapshots; `None` where they are read from `/proc`.
    pub places: Option<Places>,
    /// What is missing.
    pub degraded: Vec<Degraded>,
    /// Type ids of the hooks, by the name aya looks them up under.
    pub hooks: HookIds,
}

/// Where BTF has the types that programs are attached to; `None` where this kernel lacks the hook.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HookIds {
    /// `btf_trace_sched_process_fork`.
    pub fork: Option<u32>,
    /// `btf_trace_sched_process_exec`.
    pub exec: Option<u32>,
    /// `btf_trace_sched_process_exit`.
    pub exit: Option<u32>,
    /// `btf_trace_signal_generate`.
    pub signal: Option<u32>,
    /// `btf_trace_mark_victim`.
    pub oom: Option<u32>,
    /// `btf_trace_sched_wakeup_new`.
    pub wakeup_new: Option<u32>,
    /// `btf_trace_sched_process_free`.
    pub free: Option<u32>,
    /// The function `bpf_iter_task`.
    pub task_iterator: Option<u32>,
}

/// `PF_IO_WORKER` of include/linux/sched.h: a thread of `io_uring` (5.12 and later; unused before).
const PF_IO_WORKER: u32 = 0x10;
/// `PF_USER_WORKER`, since 6.4; another flag had this bit before.
const PF_USER_WORKER: u32 = 0x4000;

/// How much the record depends on a field.
#[derive(Clone, Copy)]
enum Need {
    /// Nothing works without it, because it …
    Must(&'static str),
    /// The record lacks something without it.
    Should(&'static str),
}

const IDENTITY: Need = Need::Must("names processes");
const STATUS: Need = Need::Must("tells how processes end");
const START: Need = Need::Should("start times are unknown, so a reused pid is not noticed");
const NAMES: Need = Need::Should("names of programs are missing");
const IMAGE: Need = Need::Should("executed files and arguments are missing");
const OWNER: Need = Need::Should("user ids are missing");
const NAMESPACE: Need = Need::Should("pids of other pid namespaces are not translated");
const AGAIN: Need = Need::Should("execs can be missed where tracepoints are preempted");
const ACCOUNTS: Need = Need::Should("closed accounts of processes are missing");
const SKIPPED: Need = Need::Should("forks and exits can be missed where tracepoints are preempted");
const CPU: Need = Need::Should("CPU times are missing");
const FAULTS: Need = Need::Should("page faults are missing");
const SWITCHES: Need = Need::Should("context switches are missing");
const IO: Need = Need::Should("block I/O is missing (CONFIG_TASK_IO_ACCOUNTING)");
const PEAK: Need = Need::Should("peak memory is missing");
const IMAGE_PEAK: Need = Need::Should("peak memory of the last image alone is missing");
const ORPHANED: Need = Need::Should("who loses its parent during an attach can be missed");
const ADOPTED: Need = Need::Should("totals of processes joined while running are incomplete");
const VICTIM: Need = Need::Should("memory of OOM victims is missing");
const DISPOSITION: Need = Need::Should("whether a signal was blocked or handled is missing");
const LIMIT: Need = Need::Should("a kill for too much CPU time is not told from others");
const SENDER: Need = Need::Should("si_code of signals is missing");

/// Reads all the programs need from the kernel's type information.
///
/// # Errors
/// [`MissingField`] when processes could not be told apart, or their end not be seen.
pub fn read_kernel(btf: &Btf<'_>) -> Result<KernelFacts, MissingField> {
    let mut table = Table {
        btf,
        degraded: Vec::new(),
        missing: None,
    };
    if let Some(stopped) = btf.stopped_at() {
        table.lose("BTF", &format!("what follows is missing: {stopped}"));
    }
    let offsets = distances(&table.offsets());
    let hooks = table.hooks();
    match table.missing {
        Some(missing) => Err(missing),
        None => Ok(KernelFacts {
            offsets,
            places: places::find(&mut table, &offsets),
            degraded: table.degraded,
            hooks,
        }),
    }
}

/// Finds out which fields the programs can read together: each reading costs as much as the rest of a
/// field's way to user space.
fn distances(known: &Offsets) -> Offsets {
    let has = |first: u32, others: &[(u32, u32)]| {
        let is_there = |&(field, behind)| first.checked_add(behind) == Some(field);
        u32::from(others.iter().all(is_there))
    };
    Offsets {
        names_are_close: has(
            known.task_pid,
            &[
                (known.task_tgid, 4),
                (known.task_real_parent, 16),
                (known.task_group_leader, 64),
                (known.task_thread_pid, 104),
            ],
        ),
        cred_is_near_comm: has(known.task_cred, &[(known.task_comm, 16)]),
        ending_is_close: has(known.signal_group_exit_code, &[(known.signal_flags, 20)]),
        ..*known
    }
}

/// Looks fields up and keeps the book of what was not there.
struct Table<'b, 'a> {
    btf: &'b Btf<'a>,
    degraded: Vec<Degraded>,
    missing: Option<MissingField>,
}

impl Table<'_, '_> {
    #[rustfmt::skip]
    fn offsets(&mut self) -> Offsets {
        let task = "task_struct";
        let signal = "signal_struct";
        let user_worker = self.btf.member("kernel_clone_args", "user_worker").is_some();
        let (mm_rss_stat, mm_rss_stride) = self.rss_stat();
        Offsets {
            task_tgid: self.field(task, &["tgid"], 4, IDENTITY),
            task_pid: self.field(task, &["pid"], 4, IDENTITY),
            task_flags: self.field(task, &["flags"], 4, ADOPTED),
            task_exit_state: self.field(task, &["exit_state"], 4, ADOPTED),
            task_exit_code: self.field(task, &["exit_code"], 4, STATUS),
            task_comm: self.field(task, &["comm"], 16, NAMES),
            task_group_leader: self.field(task, &["group_leader"], 8, IDENTITY),
            task_real_parent: self.field(task, &["real_parent"], 8, IDENTITY),
            task_children: self.field(task, &["children"], 16, ORPHANED),
            task_sibling: self.field(task, &["sibling"], 16, ORPHANED),
            task_signal: self.field(task, &["signal"], 8, IDENTITY),
            task_mm: self.field(task, &["mm"], 8, IMAGE),
            task_thread_pid: self.field(task, &["thread_pid"], 8, NAMESPACE),
            task_cred: self.field(task, &["cred"], 8, OWNER),
            task_blocked: self.field(task, &["blocked"], 8, DISPOSITION),
            task_sighand: self.field(task, &["sighand"], 8, DISPOSITION),
            task_start_boottime: self.field(task, &["start_boottime", "real_start_time"], 8, START),
            task_self_exec_id: self.place(task, "self_exec_id", AGAIN),
            task_sum_exec_runtime: self.field(task, &["se.sum_exec_runtime"], 8, CPU),
            task_utime: self.field(task, &["utime"], 8, CPU),
            task_stime: self.field(task, &["stime"], 8, CPU),
            task_min_flt: self.field(task, &["min_flt"], 8, FAULTS),
            task_maj_flt: self.field(task, &["maj_flt"], 8, FAULTS),
            task_nvcsw: self.field(task, &["nvcsw"], 8, SWITCHES),
            task_nivcsw: self.field(task, &["nivcsw"], 8, SWITCHES),
            task_read_bytes: self.field(task, &["ioac.read_bytes"], 8, IO),
            task_write_bytes: self.field(task, &["ioac.write_bytes"], 8, IO),

            signal_live: self.field(signal, &["live"], 4, IDENTITY),
            signal_nr_threads: self.field(signal, &["nr_threads"], 4, ADOPTED),
            signal_flags: self.field(signal, &["flags"], 4, STATUS),
            signal_group_exit_code: self.field(signal, &["group_exit_code"], 4, STATUS),
            signal_oom_score_adj: self.field(signal, &["oom_score_adj"], 2, VICTIM),
            signal_rlim: self.place(signal, "rlim", LIMIT),
            signal_maxrss: self.field(signal, &["maxrss"], 8, PEAK),
            signal_sum_sched_runtime: self.field(signal, &["sum_sched_runtime"], 8, ADOPTED),
            signal_utime: self.field(signal, &["utime"], 8, ADOPTED),
            signal_stime: self.field(signal, &["stime"], 8, ADOPTED),
            signal_cutime: self.field(signal, &["cutime"], 8, CPU),
            signal_cstime: self.field(signal, &["cstime"], 8, CPU),
            signal_min_flt: self.field(signal, &["min_flt"], 8, ADOPTED),
            signal_maj_flt: self.field(signal, &["maj_flt"], 8, ADOPTED),
            signal_nvcsw: self.field(signal, &["nvcsw"], 8, ADOPTED),
            signal_nivcsw: self.field(signal, &["nivcsw"], 8, ADOPTED),
            signal_read_bytes: self.field(signal, &["ioac.read_bytes"], 8, IO),
            signal_write_bytes: self.field(signal, &["ioac.write_bytes"], 8, IO),

            mm_hiwater_rss: self.field("mm_struct", &["hiwater_rss"], 8, IMAGE_PEAK),
            mm_total_vm: self.field("mm_struct", &["total_vm"], 8, VICTIM),
            mm_arg_start: self.field("mm_struct", &["arg_start"], 8, IMAGE),
            mm_arg_end: self.field("mm_struct", &["arg_end"], 8, IMAGE),
            mm_rss_stat,
            mm_rss_stride,
            pid_level: self.field("pid", &["level"], 4, NAMESPACE),
            pid_numbers: self.place("pid", "numbers", NAMESPACE),
            upid_nr: self.field("upid", &["nr"], 4, NAMESPACE),
            upid_ns: self.field("upid", &["ns"], 8, NAMESPACE),
            upid_size: self.size("upid", NAMESPACE),
            ns_inum: self.field("pid_namespace", &["ns.inum"], 4, NAMESPACE),
            cred_uid: self.field("cred", &["uid"], 4, OWNER),
            cred_euid: self.field("cred", &["euid"], 4, OWNER),
            bprm_filename: self.field("linux_binprm", &["filename"], 8, IMAGE),
            bprm_argc: self.field("linux_binprm", &["argc"], 4, IMAGE),
            siginfo_code: self.field("kernel_siginfo", &["si_code"], 4, SENDER),
            sighand_action: self.place("sighand_struct", "action", DISPOSITION),
            sigaction_size: self.size("k_sigaction", DISPOSITION),
            sigaction_handler: self.field("k_sigaction", &["sa.sa_handler"], 8, DISPOSITION),

            names_are_close: 0,
            cred_is_near_comm: 0,
            ending_is_close: 0,
            exit_has_group_dead: self.exit_has_group_dead(),
            mark_victim_is_task: self.mark_victim_is_task(),
            programs_can_be_skipped: self.programs_can_be_skipped(),
            tells_accounts: 0,
            hidden_thread_flags: match self.programs_can_be_skipped() {
                // Every new thread is seen waking up.
                1 => 0,
                _ if user_worker => PF_IO_WORKER | PF_USER_WORKER,
                _ => PF_IO_WORKER,
            },
        }
    }

    /// A field of exactly `size` bytes, under the first of its names that this kernel knows.
    fn field(&mut self, owner: &str, names: &[&str], size: u32, need: Need) -> u32 {
        match self.btf.member_any(owner, names) {
            Some(Member {
                offset,
                size: found,
                bits: None,
                ..
            }) if found == size => offset,
            _ => self.absent(&format!("{owner}.{}", names[0]), need),
        }
    }

    /// Where a field begins, whatever its size: for flexible arrays.
    fn place(&mut self, owner: &str, name: &str, need: Need) -> u32 {
        match self.btf.member(owner, name) {
            Some(member) => member.offset,
            None => self.absent(&format!("{owner}.{name}"), need),
        }
    }

    fn size(&mut self, name: &str, need: Need) -> u32 {
        match self.btf.struct_size(name) {
            Some(size) => size,
            None => self.absent(&format!("struct {name}"), need),
        }
    }

    /// First counter of `mm_struct.rss_stat` and the distance to the next: an array of
    /// `percpu_counter` since 6.2, before that a struct with an array of `atomic_long_t`.
    fn rss_stat(&mut self) -> (u32, u32) {
        let btf = self.btf;
        let per_cpu = || {
            let stat = btf.member("mm_struct", "rss_stat")?;
            let array = btf.array(stat.type_id)?;
            let count = btf.member("percpu_counter", "count")?;
            let is_known = array.elem_size == btf.struct_size("percpu_counter")?;
            (is_known && array.count == 4 && count.size == 8)
                .then_some((stat.offset + count.offset, array.elem_size))
        };
        let plain = || {
            let stat = btf.member("mm_struct", "rss_stat.count")?;
            let array = btf.array(stat.type_id)?;
            (array.count == 4 && array.elem_size == 8).then_some((stat.offset, array.elem_size))
        };
        per_cpu().or_else(plain).unwrap_or_else(|| {
            let absent = self.absent("mm_struct.rss_stat", IMAGE_PEAK);
            (absent, absent)
        })
    }

    fn exit_has_group_dead(&self) -> u32 {
        let args = self
            .btf
            .tracepoint("sched_process_exit")
            .unwrap_or_default();
        u32::from(
            args.get(1)
                .is_some_and(|arg| arg.kind == ArgKind::Int && arg.size == 1),
        )
    }

    /// Tracepoints became preemptible in 7.0, by a lock whose guard is a type of that kernel. Should it
    /// ever be called otherwise, no program stands in for another, but what is skipped is counted.
    fn programs_can_be_skipped(&self) -> u32 {
        let has = |name| self.btf.tracepoint(name).is_some();
        let guard = self
            .btf
            .type_id_of("class_srcu_fast_notrace_t", Kind::Typedef);
        u32::from(
            guard.is_some()
                && self.exit_has_group_dead() == 1
                && has("sched_wakeup_new")
                && has("sched_process_free"),
        )
    }

    fn mark_victim_is_task(&mut self) -> u32 {
        let first = self
            .btf
            .tracepoint("mark_victim")
            .and_then(|args| args.first().copied());
        match first.map(|arg| arg.kind) {
            Some(ArgKind::PointerTo("task_struct")) => 1,
            Some(_) => {
                self.lose("mark_victim(task)", "memory of OOM victims is missing");
                0
            }
            None => 0,
        }
    }

    fn hooks(&mut self) -> HookIds {
        let btf = self.btf;
        let mut tracepoint = |name: &str, need| {
            let id = btf.type_id_of(&format!("btf_trace_{name}"), Kind::Typedef);
            if id.is_none() {
                self.absent(&format!("tracepoint {name}"), need);
            }
            id.map(|id| id.0)
        };
        let hooks = HookIds {
            fork: tracepoint("sched_process_fork", Need::Must("follows new processes")),
            exec: tracepoint("sched_process_exec", Need::Must("follows new images")),
            exit: tracepoint("sched_process_exit", Need::Must("sees processes end")),
            signal: tracepoint("signal_generate", Need::Should("signals are missing")),
            wakeup_new: tracepoint("sched_wakeup_new", SKIPPED),
            free: tracepoint("sched_process_free", ACCOUNTS),
            oom: tracepoint("mark_victim", Need::Should("OOM kills are missing")),
            task_iterator: None,
        };
        let task_iterator = btf.type_id_of("bpf_iter_task", Kind::Func).map(|id| id.0);
        if task_iterator.is_none() {
            self.absent(
                "task iterator",
                Need::Must("finds running processes (Linux 5.8)"),
            );
        }
        HookIds {
            task_iterator,
            ..hooks
        }
    }

    fn absent(&mut self, name: &str, need: Need) -> u32 {
        match need {
            Need::Must(why) => {
                self.missing.get_or_insert(MissingField {
                    name: name.to_owned(),
                    why,
                });
            }
            Need::Should(why) => self.lose(name, why),
        }
        ABSENT
    }

    fn lose(&mut self, name: &str, why: &str) {
        self.degraded.push(Degraded {
            name: name.to_owned(),
            why: why.to_owned(),
        });
    }
}
