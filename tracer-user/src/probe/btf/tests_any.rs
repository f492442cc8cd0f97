//! That no bytes can hurt the reader, and that real kernels are read right.

use std::hint::black_box;

use proptest::{prelude::*, sample::Index};

use super::{
    build::{Blob, LAYOUT, cut},
    *,
};

/// What the kernel side needs to know, for cutting real blobs small.
const ROOTS: [&str; 18] = [
    "task_struct",
    "signal_struct",
    "mm_struct",
    "kernel_siginfo",
    "linux_binprm",
    "pid",
    "upid",
    "pid_namespace",
    "cred",
    "kernel_clone_args",
    "bpf_func_id",
    "bpf_iter_task",
    "btf_trace_sched_process_fork",
    "btf_trace_sched_process_exec",
    "btf_trace_sched_process_exit",
    "btf_trace_sched_process_free",
    "btf_trace_signal_generate",
    "btf_trace_mark_victim",
];

/// The structs inside those, and the enumerators, that are asked about.
const INNER: [&str; 8] = [
    "sched_entity",
    "task_io_accounting",
    "ns_common",
    "percpu_counter",
    "mm_rss_stat",
    "BPF_FUNC_get_current_task",
    "BPF_FUNC_get_current_task_btf",
    "BPF_FUNC_ktime_get_boot_ns",
];

/// One captured kernel and what `bpftool btf dump` says about it.
struct Captured {
    bytes: &'static [u8],
    comm: u32,
    start: u32,
    runtime: u32,
    maxrss: u32,
    hiwater: u32,
    /// Path, bytes of one counter, number of them.
    rss: (&'static str, u32, u32),
    exit_args: usize,
    victim_is_task: bool,
    current_task_btf: bool,
}

macro_rules! cut_of {
    ($kernel:literal) => {
        include_bytes!(concat!("../../../../tests/data/", $kernel, "/btf.cut"))
    };
}

/// Cut from the kernels that Debian ships, and the one this was written on, by
/// `a_cut_of_this_kernel_answers_like_the_whole`.
#[rustfmt::skip]
const CAPTURED: [Captured; 5] = [
    Captured { bytes: cut_of!("5.10"), comm: 2736, start: 2544, runtime: 200, maxrss: 592, hiwater: 176,
        rss: ("rss_stat.count", 8, 4), exit_args: 1, victim_is_task: false, current_task_btf: false },
    Captured { bytes: cut_of!("6.1"), comm: 2976, start: 2784, runtime: 200, maxrss: 608, hiwater: 168,
        rss: ("rss_stat.count", 8, 4), exit_args: 1, victim_is_task: true, current_task_btf: true },
    Captured { bytes: cut_of!("6.12"), comm: 2976, start: 2784, runtime: 224, maxrss: 600, hiwater: 232,
        rss: ("rss_stat", 40, 4), exit_args: 1, victim_is_task: true, current_task_btf: true },
    Captured { bytes: cut_of!("6.18"), comm: 1752, start: 1560, runtime: 232, maxrss: 600, hiwater: 344,
        rss: ("rss_stat", 40, 4), exit_args: 2, victim_is_task: true, current_task_btf: true },
    Captured { bytes: cut_of!("7.2"), comm: 3344, start: 3160, runtime: 232, maxrss: 624, hiwater: 592,
        rss: ("rss_stat", 40, 4), exit_args: 2, victim_is_task: true, current_task_btf: true },
];

const CUT: &[u8] = cut_of!("7.2");

const QUESTIONS: [(&str, &str); 14] = [
    ("task_struct", "comm"),
    ("task_struct", "__state"),
    ("task_struct", "start_boottime"),
    ("task_struct", "se.sum_exec_runtime"),
    ("task_struct", "in_execve"),
    ("signal_struct", "maxrss"),
    ("signal_struct", "live.counter"),
    ("mm_struct", "hiwater_rss"),
    ("mm_struct", "rss_stat"),
    ("kernel_siginfo", "si_code"),
    ("linux_binprm", "filename"),
    ("pid", "numbers"),
    ("upid", "ns"),
    ("pid_namespace", "ns.inum"),
];

const TRACEPOINTS: [&str; 5] = [
    "sched_process_fork",
    "sched_process_exec",
    "sched_process_exit",
    "signal_generate",
    "mark_victim",
];

fn live() -> Vec<u8> {
    std::fs::read("/sys/kernel/btf/vmlinux").expect("this kernel shows its BTF")
}

fn ask_everything(bytes: &[u8]) {
    let Ok(btf) = Btf::parse(bytes) else {
        return;
    };
    for (name, path) in QUESTIONS {
        if let Some(member) = btf.member(name, path) {
            black_box((btf.array(member.type_id), btf.name_of(member.type_id)));
        }
        black_box(btf.struct_size(name));
    }
    for name in TRACEPOINTS {
        black_box(btf.tracepoint(name));
    }
    black_box(btf.enum_value("bpf_func_id", "BPF_FUNC_get_current_task_btf"));
    black_box(btf.func_exists("do_exit"));
    for id in 0..=u32::try_from(btf.type_count()).unwrap() {
        black_box(btf.size_of(TypeId(id)));
    }
}

/// With `TRACER_BTF` (a whole blob) and `TRACER_BTF_CUT` (where to write), captures another kernel.
#[test]
fn a_cut_of_this_kernel_answers_like_the_whole() {
    let bytes =
        std::env::var_os("TRACER_BTF").map_or_else(live, |path| std::fs::read(path).unwrap());
    let whole = Btf::parse(&bytes).unwrap();
    assert_eq!(whole.stopped_at(), None);
    let cut = cut(&whole, &ROOTS, &INNER);
    assert!(cut.len() < 32 << 10, "{} bytes", cut.len());
    if let Some(path) = std::env::var_os("TRACER_BTF_CUT") {
        std::fs::write(path, &cut).unwrap();
    }
    let small = Btf::parse(&cut).unwrap();
    for (name, path) in QUESTIONS {
        let strip = |member: Option<Member>| member.map(|m| (m.offset, m.size, m.bits));
        let expected = strip(whole.member(name, path));
        assert_eq!(strip(small.member(name, path)), expected, "{name}.{path}");
        assert_eq!(small.struct_size(name), whole.struct_size(name), "{name}");
    }
    for name in TRACEPOINTS {
        assert_eq!(small.tracepoint(name), whole.tracepoint(name), "{name}");
    }
    assert_eq!(
        small.func_exists("bpf_iter_task"),
        whole.func_exists("bpf_iter_task")
    );
}

#[test]
fn captured_kernels_give_the_offsets_that_bpftool_shows() {
    for kernel in CAPTURED {
        let btf = Btf::parse(kernel.bytes).unwrap();
        let at = |name, path| btf.member(name, path).unwrap().offset;
        assert_eq!(at("task_struct", "comm"), kernel.comm);
        assert_eq!(at("task_struct", "start_boottime"), kernel.start);
        assert_eq!(at("task_struct", "se.sum_exec_runtime"), kernel.runtime);
        assert_eq!(at("signal_struct", "maxrss"), kernel.maxrss);
        assert_eq!(at("mm_struct", "hiwater_rss"), kernel.hiwater);
        assert_eq!(at("kernel_siginfo", "si_code"), 8);
        let (path, elem_size, count) = kernel.rss;
        let rss = btf.member("mm_struct", path).unwrap();
        let rss = btf.array(rss.type_id).unwrap();
        assert_eq!((rss.elem_size, rss.count), (elem_size, count));
        let args = |name| btf.tracepoint(name).unwrap();
        assert_eq!(args("sched_process_exit").len(), kernel.exit_args);
        let task = ArgKind::PointerTo("task_struct");
        assert_eq!(args("mark_victim")[0].kind == task, kernel.victim_is_task);
        let kinds: Vec<ArgKind<'_>> = args("sched_process_exec")
            .iter()
            .map(|arg| arg.kind)
            .collect();
        assert_eq!(
            kinds,
            [task, ArgKind::Int, ArgKind::PointerTo("linux_binprm")]
        );
        let helper = "BPF_FUNC_get_current_task_btf";
        assert_eq!(btf.enum_has("bpf_func_id", helper), kernel.current_task_btf);
        assert_eq!(
            btf.enum_value("bpf_func_id", "BPF_FUNC_get_current_task"),
            Some(35)
        );
    }
}

/// Structs of the system call ABI: the C library declares them too, and they can never change.
#[test]
fn the_running_kernel_agrees_with_the_c_library() {
    let bytes = live();
    let btf = Btf::parse(&bytes).unwrap();
    macro_rules! same {
        ($kernel:literal, $libc:ident: $($field:ident $(= $named:literal)?),+) => {
            $({
                let path = [$($named,)? stringify!($field)][0];
                let found = btf.member($kernel, path).map(|member| member.offset as usize);
                assert_eq!(found, Some(std::mem::offset_of!(libc::$libc, $field)), "{}.{path}", $kernel);
            })+
        };
    }
    same!("rusage", rusage: ru_utime, ru_maxrss, ru_minflt, ru_majflt, ru_inblock, ru_nvcsw, ru_nivcsw);
    same!("statx", statx: stx_mask, stx_ino, stx_btime, stx_dev_major, stx_mnt_id);
    same!("clone_args", clone_args: flags, pidfd, exit_signal, set_tid, cgroup);
    same!("epoll_event", epoll_event: events, u64 = "data");
    #[cfg(target_arch = "x86_64")]
    same!("user_regs_struct", user_regs_struct: r15, orig_rax = "orig_ax", rip = "ip", rsp = "sp", gs);
    // The others can grow at their end.
    let size = |name| btf.struct_size(name).map(|size| size as usize);
    assert_eq!(size("rusage"), Some(size_of::<libc::rusage>()));
    assert_eq!(size("epoll_event"), Some(size_of::<libc::epoll_event>()));
    // Bit fields of headers on the wire: their place is fixed by the protocols.
    for (name, path, first, width) in [
        ("iphdr", "ihl", 0, 4),
        ("iphdr", "version", 4, 4),
        ("tcphdr", "syn", 105, 1),
    ] {
        let member = btf.member(name, path).unwrap();
        assert_eq!(
            member.bits,
            Some(BitField { first, width }),
            "{name}.{path}"
        );
    }
    // Helper numbers are ABI of eBPF programs.
    assert_eq!(
        btf.enum_value("bpf_func_id", "BPF_FUNC_get_current_task"),
        Some(35)
    );
    assert!(btf.func_exists("do_exit") && !btf.func_exists("do_exit_at_once"));
}

#[test]
fn a_real_blob_cut_off_anywhere_is_refused() {
    for len in 0..CUT.len() {
        assert!(Btf::parse(&CUT[..len]).is_err(), "cut at {len}");
    }
}

#[test]
fn types_that_end_anywhere_give_the_right_offset_or_none() {
    // Only the type section is shortened: the header says so, and the strings stay.
    let whole = Btf::parse(CUT).unwrap();
    let answers: Vec<_> = QUESTIONS
        .iter()
        .map(|(name, path)| whole.member(name, path))
        .collect();
    let mut bytes = CUT.to_vec();
    let full = raw::u32_at(&bytes, 12).unwrap();
    for len in (0..full).step_by(61) {
        bytes[12..16].copy_from_slice(&len.to_le_bytes());
        let btf = Btf::parse(&bytes).unwrap();
        for ((name, path), right) in QUESTIONS.iter().zip(&answers) {
            let found = btf.member(name, path).map(|member| member.offset);
            assert!(
                found.is_none() || found == right.map(|member| member.offset),
                "{name}.{path} at {len}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        ask_everything(&bytes);
    }

    #[test]
    fn any_bytes_behind_a_good_header_are_read_or_refused(
        types in prop::collection::vec(any::<u8>(), 0..600),
        hdr_len in 24_u32..40,
    ) {
        let len = u32::try_from(types.len()).unwrap();
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        for word in [hdr_len, 0, len, 0, len, 0, len] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.resize(hdr_len as usize, 0);
        bytes.extend_from_slice(&types);
        ask_everything(&bytes);
    }
}

/// Names that the questions ask for, so that answers are looked for in whatever the types are.
const NAMES: [&str; 8] = [
    "",
    "task_struct",
    "comm",
    "se",
    "sum_exec_runtime",
    "pid",
    "numbers",
    "btf_trace_mark_victim",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn any_tangle_of_types_is_walked_to_an_end(
        types in prop::collection::vec(
            (0..NAMES.len(), 0_u32..22, any::<bool>(), 0_u32..4, 0_u32..24, prop::collection::vec(0_u32..24, 12)),
            0..24,
        ),
        has_layout: bool,
    ) {
        let mut blob = Blob::new();
        // Every name once, so that a small number in a tail is the place of a name, too.
        for name in NAMES {
            blob.alias(name, 8, 9);
        }
        for (name, kind, flag, vlen, to, words) in types {
            let len = match kind {
                1 | 14 | 17 => 1,
                3 => 3,
                4 | 5 | 15 | 19 => vlen * 3,
                6 | 13 => vlen * 2,
                _ => 0,
            };
            let flag = u32::from(flag) << 31;
            blob.add(NAMES[name], kind, flag | vlen, to, &words[..len as usize]);
        }
        ask_everything(&blob.build_with(32, if has_layout { &LAYOUT } else { &[] }));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_real_blob_with_some_bytes_wrong_never_panics(
        hits in prop::collection::vec((any::<Index>(), any::<u8>()), 1..40),
    ) {
        let mut bytes = CUT.to_vec();
        for (at, byte) in hits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        ask_everything(&bytes);
    }
}
